"""pytest fixtures for tests of programs that use pseud: see `pseud.testing.Harness`.

pytest loads this where pseud is installed, whether anybody wants it or not: so it is small,
not inside of pseud, and imports nothing of it before a fixture is asked for.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pseud import SyncClient
    from pseud.testing import Harness, Relay

__all__ = [
    'pseud_client',
    'pseud_harness',
    'pseud_relay',
    'pseud_server',
    'pseud_sync_client',
]


@pytest.fixture
def pseud_harness() -> 'Iterator[Harness]':
    """Stops what a test makes with it, and fails if something is left: a Harness."""
    from pseud.testing import Harness

    with Harness() as harness:
        yield harness


@pytest.fixture
def pseud_server(pseud_harness: 'Harness') -> Callable[..., tuple[Any, str]]:
    """Makes servers: ``server, address = pseud_server('name', **settings)``."""
    return pseud_harness.serve


@pytest.fixture
def pseud_client(pseud_harness: 'Harness') -> Callable[..., Any]:
    """Makes clients: ``client = pseud_client(address, **settings)``."""
    return pseud_harness.client


@pytest.fixture
def pseud_sync_client(pseud_harness: 'Harness') -> 'Callable[..., SyncClient]':
    """Makes SyncClients: ``client = pseud_sync_client(address, **settings)``."""
    return pseud_harness.sync_client


@pytest.fixture
def pseud_relay(pseud_harness: 'Harness') -> 'Callable[[str], Relay]':
    """Makes relays: ``relay = pseud_relay(address)``."""
    return pseud_harness.relay
