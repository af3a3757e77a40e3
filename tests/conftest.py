"""What every test may ask for."""

from tests.support import properties
from tests.support.fixtures import node, soketi, soketi_without_client_events

properties.load()

__all__ = ["node", "soketi", "soketi_without_client_events"]
