"""Clients and servers in one process, without sockets, whose time a test controls."""

import importlib
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from .._binding import backend_module
from ..engine import Engine
from ..errors import UsageError
from ..hooks import LAST_WORDS
from ..rpc import BaseRPC
from .clock import Clock
from .memory import Connection, MemoryClient, MemoryServer

__all__ = ['Network', 'pair']

# Where servers listen and clients connect unless they are told otherwise.
ENDPOINT = 'inproc://server'

CLOCKS = {'tornado': 'AsyncioClock', 'gevent': 'GeventClock'}


class Network:
    """Real clients and servers, connected in memory.

    To be used as ``async with Network() as network:``, on gevent ``with``; at the end all
    of its clients and servers stop, at once.  They live in one event loop and one thread.

    Everything pseud does there goes by ``network.clock``: timeouts and deadlines, pauses
    before a connection is made anew, the grace of ``stop``, heartbeat plugins.  Nothing
    times out unless the clock is advanced.

    Args:
        backend: ``'tornado'`` or ``'gevent'``; by default what `pseud.Client` is of.

    Attributes:
        clock: the `Clock`.
    """

    def __init__(self, backend: str | None = None) -> None:
        if backend is None:
            backend = backend_module().__name__.rpartition('._')[2]
        if backend not in CLOCKS:
            raise ValueError(f'backend must be one of {[*CLOCKS]}, not {backend!r}')
        self._classes = importlib.import_module(f'.._{backend}', __package__)
        module = importlib.import_module(f'._{backend}', __package__)
        self.backend = backend
        self.clock: Clock = getattr(module, CLOCKS[backend])()
        self.listening: dict[str, MemoryServer] = {}
        self.clients: dict[MemoryClient, None] = {}
        self._connections: list[Connection] = []
        self._members: list[BaseRPC] = []
        self._cut: set[Engine] = set()
        self._held: set[Engine] = set()

    # ------------------------------------------------------------------ for users

    def server(
        self, name: str = '', *, endpoint: str = ENDPOINT, **settings: Any
    ) -> Any:
        """A new `pseud.Server`, bound.

        Args:
            name: of the service.
            endpoint: any text; a network with several servers needs several.
            settings: what the class takes.  ``security_plugin`` is ``'trusted_peer'``
                unless given.

        Raises:
            UsageError: its ``security_plugin`` needs sockets.
            OSError: another server is bound there.
        """
        settings.setdefault('security_plugin', 'trusted_peer')
        server = self.adopt(self._classes.Server(name, **settings))
        server.bind(endpoint)
        return server

    def client(
        self,
        user_id: str = 'client',
        *,
        name: str = '',
        endpoint: str = ENDPOINT,
        **settings: Any,
    ) -> Any:
        """A new `pseud.Client`, which connects as soon as the loop has its turn.

        Args:
            user_id: as whom the server knows it.
            name: of the service that it wants.
            endpoint: of its server.
            settings: what the class takes.  ``security_plugin`` is ``'trusted_peer'``
                unless given.

        Raises:
            UsageError: its ``security_plugin`` needs sockets.
        """
        settings.setdefault('security_plugin', 'trusted_peer')
        client = self.adopt(self._classes.Client(name, user_id=user_id, **settings))
        client.connect(endpoint)
        return client

    def adopt(self, rpc: Any) -> Any:
        """Take in a client or server of yours, before it binds, connects or starts.

        Then its endpoints are those of this network, whatever they look like.

        Returns:
            ``rpc``.

        Raises:
            TypeError: it is no `pseud.Client` and no `pseud.Server`.
            UsageError: it is in use already.
        """
        if not isinstance(rpc, BaseRPC):
            raise TypeError(
                f'a pseud.Client or a pseud.Server can live in memory, not {rpc!r}'
            )
        engine = rpc._engine
        if engine.guard is not None or engine.links or engine.closed:
            raise UsageError(f'{engine.label} is in use already: adopt a new one')
        make = engine.make_backend

        def make_backend() -> Any:
            backend = make()
            if backend.name != self.backend:
                raise UsageError(
                    f'{engine.label} is for {backend.name}, and this network for '
                    f'{self.backend}: see its argument backend'
                )
            clock, soon = self.clock, backend.call_soon
            backend.now = clock.now
            backend.call_at = lambda when, call: clock.call_at(when, call, soon)
            return backend

        engine.make_backend = make_backend
        engine.make_server_link = lambda engine: MemoryServer(self, engine)
        engine.make_client_link = lambda *where: MemoryClient(self, *where)
        self._members.append(rpc)
        return rpc

    def cut(self, rpc: Any) -> None:
        """End the connections of a client or server, until `reconnect`.

        Both sides notice at once.  What was on its way is lost.
        """
        self._cut.add(self._engine_of(rpc))
        for connection in self._connections_of(rpc):
            connection.cut()

    def reconnect(self, rpc: Any) -> None:
        """Let a client or server connect again, as soon as the loop has its turn."""
        self._cut.discard(self._engine_of(rpc))
        self.open_clients()

    def hold(self, rpc: Any) -> None:
        """Keep back all messages to and from a client or server, until `release`."""
        self._held.add(self._engine_of(rpc))
        for connection in self._connections_of(rpc):
            connection.hold(True)

    def release(self, rpc: Any) -> None:
        """Let the messages arrive that are held, in their order, and all that follow."""
        self._held.discard(self._engine_of(rpc))
        for connection in self._connections_of(rpc):
            connection.hold(self._holds(connection))

    # ------------------------------------------------------------------ for the links

    def server_for(self, client: MemoryClient) -> MemoryServer | None:
        """Where a client connects to, if that can be."""
        server = self.listening.get(client.endpoint)
        if server is None or server.engine.backend is None:
            return None
        return None if self._cut & {client.engine, server.engine} else server

    def open_clients(self) -> None:
        """A server may be there for those who wait for one."""
        for client in self.clients:
            client.open_soon()

    def opened(self, connection: Connection) -> None:
        """A client has connected."""
        self._connections = [each for each in self._connections if not each.over]
        self._connections.append(connection)
        connection.hold(self._holds(connection))

    def _holds(self, connection: Connection) -> bool:
        return not self._held.isdisjoint(connection.engines)

    def _engine_of(self, rpc: Any) -> Engine:
        if rpc not in self._members:
            raise ValueError(f'{rpc!r} is not in this network')
        engine: Engine = rpc._engine
        return engine

    def _connections_of(self, rpc: Any) -> list[Connection]:
        engine = self._engine_of(rpc)
        return [each for each in self._connections if engine in each.engines]

    # ------------------------------------------------------------------ its life

    def _enter(self) -> Any:
        return self

    def _stop(self) -> Iterator[None]:
        """Steps until all have stopped."""
        ends = [rpc._engine.ending.stop(0) for rpc in reversed(self._members)]
        yield from self.clock.steps(0)
        if not all(end is None or end.done() for end in ends):
            yield from self.clock.steps(LAST_WORDS)

    def __enter__(self) -> Any:
        if self.backend != 'gevent':
            raise UsageError('on asyncio, write: async with')
        entered = self._enter()
        self.clock.advance(0)
        return entered

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.clock.run(self._stop())

    async def __aenter__(self) -> Any:
        if self.backend == 'gevent':
            raise UsageError('on gevent, write: with (without async)')
        entered = self._enter()
        await self.clock.advance(0)
        return entered

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.clock.run(self._stop())


class _Pair(Network):
    """A network that begins with a server and a client of it."""

    def __init__(
        self, user_id: str, backend: str | None, settings: dict[str, Any]
    ) -> None:
        super().__init__(backend)
        self._user_id = user_id
        self._settings = settings

    def _enter(self) -> tuple[Any, Any, Network]:
        server = self.server(**self._settings)
        client = self.client(self._user_id, **self._settings)
        return server, client, self


def pair(
    user_id: str = 'client', *, backend: str | None = None, **settings: Any
) -> _Pair:
    """A server and a client of it, connected in memory, and their `Network`.

    ``async with pair() as (server, client, network):``, on gevent ``with``.

    Args:
        user_id: as whom the server knows the client.
        backend: ``'tornado'`` or ``'gevent'``; by default what `pseud.Client` is of.
        settings: what both classes take.
    """
    return _Pair(user_id, backend, settings)
