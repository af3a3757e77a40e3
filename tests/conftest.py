"""What every test may ask for."""

from tests.support.fixtures import node, soketi, soketi_without_client_events

__all__ = ["node", "soketi", "soketi_without_client_events"]
