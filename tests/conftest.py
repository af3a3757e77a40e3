"""What every test may ask for."""

from tests.support import properties
from tests.support.fixtures import node, postgres_server, redis_server, soketi, soketi_without_client_events
from tests.support.stores import place, server_place

properties.load()

__all__ = ["node", "place", "postgres_server", "redis_server", "server_place", "soketi", "soketi_without_client_events"]
