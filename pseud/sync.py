"""`SyncClient`: plain blocking calls, for the REPL, WSGI processes and cron jobs.

It needs no event loop.
"""

from typing import Any

from zope.interface import implementer

from .caller import Caller, CallsFunctions
from .errors import UsageError
from .exposure import warn_client
from .interfaces import IAuthenticationBackend, IClient
from .plugins import plugin
from .registry import create_local_registry
from .settings import Settings
from .sync_engine import SyncEngine

__all__ = ['SyncClient']


@implementer(IClient)
class SyncClient(CallsFunctions):
    """Calls servers, and waits for the answers: ``client.some.function(1, 2)``.

    Attributes that are not defined here are remote functions.  Nobody can call it.
    Threads may share it; each call uses a connection of its own.  A forked child may go
    on with it, too.

    Args:
        name: of the service that is wanted; any, if it is left out.
        context: a ``zmq.Context``; the process-wide one by default.
        settings: as for `Client`, see `pseud.settings.Settings`.
    """

    def __init__(self, name: str = '', *, context: Any = None, **settings: Any) -> None:
        self.settings = Settings(name=name, **settings)
        self.settings.check_client()
        if self.settings.heartbeat_plugin != Settings.heartbeat_plugin:
            raise ValueError(
                'a SyncClient has no event loop that could watch anybody: take a '
                'pseud.Client, or leave out heartbeat_plugin'
            )
        self.registry = create_local_registry(self.settings.name)
        auth = plugin(
            self, IAuthenticationBackend, self.settings.security_plugin, self.registry
        )
        if self.settings.protocol == 1 and auth.credentials() is not None:
            raise ValueError(
                'a SyncClient can not log in by protocol 1: take a pseud.Client, or '
                'another security_plugin'
            )
        self._engine = SyncEngine(self.settings, auth, context)
        self._caller = Caller(self._engine, self.settings.timeout)

    def __repr__(self) -> str:
        return f'<SyncClient {self.settings.name!r} {self._engine.endpoints}>'

    def __dir__(self) -> list[str]:
        """What is defined here, and the functions that were called so far."""
        called = {name.partition('.')[0] for name in self._engine.called}
        return sorted({*super().__dir__(), *called})

    def __enter__(self) -> 'SyncClient':
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def connect(self, endpoint: str) -> None:
        """Connect to a server, now or as soon as it is there; again when it was lost.

        Args:
            endpoint: ØMQ address.  May be called for several: a call goes to one that is
                connected.

        Raises:
            ValueError: it is no address.
        """
        self._engine.connect(endpoint)
        warn_client(endpoint, self._engine.auth, self.settings)

    def disconnect(self, endpoint: str) -> None:
        """Undo `connect`.

        Raises:
            ValueError: it is not connected there.
        """
        self._engine.disconnect(endpoint)

    def start(self) -> None:
        """Nothing to do: calls connect by themselves."""

    def stop(self, grace: float = 0) -> None:
        """Close the connections; calls that other threads are making end first."""
        self._engine.close()

    close = stop

    def bind(self, endpoint: str) -> None:
        """Clients connect.

        Raises:
            UsageError: always.
        """
        raise UsageError('a SyncClient connects to servers; use a Server to be called')

    def on_join(self, function: Any) -> Any:
        """A SyncClient connects as calls need it, and looks only while it calls.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            'a SyncClient has no event loop that could notice who comes and goes: '
            'use pseud.Client'
        )

    on_leave = on_unresponsive = on_responsive = on_join

    def register_rpc(
        self,
        func: Any = None,
        name: str | None = None,
        domain: str = 'default',
        with_identity: bool = False,
    ) -> Any:
        """Nobody can call a SyncClient.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            'a SyncClient can not be called, it has no event loop: use pseud.Client'
        )
