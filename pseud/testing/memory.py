"""Links in memory: what sockets and the wire between them do, within one loop.

A message arrives in the next turn of the receiver's loop, or when a test no longer holds
it back.  Frames are copied, as a network does.
"""

import errno
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import zmq

from .. import monitor
from .._core.peer import Peer
from .._core.wire import Buffer
from ..errors import UsageError
from ..link import ClientSide, ServerSide

if TYPE_CHECKING:
    from ..engine import Engine
    from .network import Network

__all__ = ['Connection', 'MemoryClient', 'MemoryServer']

PLAIN_SERVER = int(zmq.PLAIN_SERVER)
PLAIN_USERNAME = int(zmq.PLAIN_USERNAME)

_numbers = itertools.count(1)

Payload = list[Buffer]


class Pipe:
    """Messages on their way to one side of a connection, in order.

    Args:
        network: where.
        engine: who receives them.
        arrived: takes each of them; None says that the other side has closed.
    """

    def __init__(
        self,
        network: 'Network',
        engine: 'Engine',
        arrived: Callable[[Payload | None], None],
    ) -> None:
        self.network = network
        self.engine = engine
        self.arrived = arrived
        self.waiting: deque[Payload | None] = deque()
        self.held = False
        self.closed = False

    def put(self, payload: Sequence[Buffer] | None) -> None:
        """Send this; None is the last."""
        if self.closed:
            return
        if payload is not None:
            head, frames = payload[:1], payload[1:]
            copies = [memoryview(bytearray(frame)) for frame in frames]
            payload = [*map(bytes, head), *copies]
        self.waiting.append(payload)
        self.deliver_soon()

    def hold(self, held: bool) -> None:
        """From now on nothing arrives, or all does again."""
        self.held = held
        self.deliver_soon()

    def close(self) -> None:
        """Nothing arrives any more."""
        self.closed = True
        self.waiting.clear()

    def deliver_soon(self) -> None:
        self.network.clock.stir()
        self.engine.backend.call_soon(self._deliver)

    def _deliver(self) -> None:
        """Take in what is here by now; answers leave together."""
        engine = self.engine
        engine.sender.reading = True
        try:
            for _ in range(len(self.waiting)):
                # a function that runs meanwhile may hold or cut it
                if self.held or not self.waiting:
                    break
                self.network.clock.stir()
                payload = self.waiting.popleft()
                if payload is None:
                    self.closed = True
                self.arrived(payload)
        finally:
            engine.sender.reading = False
            settled(engine)


def settled(engine: 'Engine') -> None:
    """Something has happened to it: send what that means; it may have been the last."""
    engine.sender.flush()
    engine.ending.finish_if_idle()


class Connection:
    """One connection of a client to a server; to the server also its client's address.

    Attributes:
        user_id: what the client states; None without.
        peer: the client, as the server knows it.
        ignored: the client was expelled.
    """

    text = 'this process'

    def __init__(
        self, client: 'MemoryClient', server: 'MemoryServer', user_id: str | None
    ) -> None:
        self.client = client
        self.server = server
        self.user_id = user_id
        self.peer: Peer | None = None
        self.ignored = False
        self.engines = (server.engine, client.engine)
        network = client.network
        self.to_client = Pipe(network, client.engine, client.arrived)
        self.to_server = Pipe(
            network, server.engine, lambda payload: server.arrived(self, payload)
        )

    @property
    def over(self) -> bool:
        """Both sides have closed it, or know that the other has."""
        return self.to_client.closed and self.to_server.closed

    def hold(self, held: bool) -> None:
        """Keep what is on its way, both ways; or let it arrive."""
        self.to_client.hold(held)
        self.to_server.hold(held)

    def cut(self) -> None:
        """Both sides lose it at once, and what was on its way is gone."""
        self.to_client.close()
        self.to_server.close()
        self.server.lost(self)
        if self.client.connection is self:
            self.client.lose()
        for engine in self.engines:
            settled(engine)


class MemoryServer(ServerSide):
    """Where a server listens."""

    exposed = False

    def __init__(self, network: 'Network', engine: 'Engine') -> None:
        auth, settings = engine.auth, engine.settings
        asks = auth.needs_zap or auth.challenges or auth.encrypted
        if asks and auth.name != 'trusted_peer':
            raise UsageError(
                f'security_plugin={auth.name!r} asks about connections of sockets, and '
                "there are none in memory: take 'trusted_peer', which believes the "
                "clients' user ids, or test this one over tcp"
            )
        if settings.allow is not None or settings.deny is not None:
            raise UsageError(
                'allow and deny are about addresses, and there are none in memory: leave '
                'them out, or test them over tcp'
            )
        self.network = network
        self.engine = engine
        self.connections: dict[Connection, None] = {}  # in order

    def start(self) -> None:
        self.network.open_clients()

    def bind(self, endpoint: str) -> str:
        endpoint = endpoint.replace('*', str(next(_numbers)))
        listening = self.network.listening
        if listening.setdefault(endpoint, self) is not self:
            raise OSError(
                errno.EADDRINUSE,
                f'another server of this network is bound to {endpoint!r}',
            )
        self.network.open_clients()
        return endpoint

    def connect(self, endpoint: str) -> None:
        raise UsageError('a Server binds, in memory: there are no devices')

    def disconnect(self, endpoint: str) -> None:
        raise ValueError(f'not connected to {endpoint!r}')

    def close(self) -> None:
        self.ended = True
        listening = self.network.listening
        for endpoint in [key for key, value in listening.items() if value is self]:
            del listening[endpoint]
        for connection in list(self.connections):
            self.end(connection)

    def end(self, connection: Connection) -> None:
        """Close a connection; what was sent before arrives."""
        connection.to_server.close()
        connection.to_client.put(None)
        self.lost(connection)

    def lost(self, connection: Connection) -> None:
        self.connections.pop(connection, None)
        if connection.peer is not None:
            engine = self.engine
            reason = 'the connection was closed'
            engine.handle(engine.core.lost(connection.peer, reason))

    def arrived(self, connection: Connection, payload: Payload | None) -> None:
        if payload is None:
            self.lost(connection)
            return
        if connection.ignored:
            return
        if connection.peer is None:
            connection.peer = self.meet(connection)
        self.engine.receive(connection.peer, payload)

    def meet(self, connection: Connection) -> Peer:
        return Peer(
            connection,
            self.engine.settings.limits,
            label=f'{connection.user_id or "a client"} in {connection.text}',
            user_id=connection.user_id,
            link=self,
            address=connection,
        )

    def send(self, peer: Peer, payload: Sequence[Buffer]) -> bool:
        peer.address.to_client.put(payload)
        return True

    def drain_some(self) -> None:
        """Nothing waits unread."""

    def look_again(self) -> None:
        end_soon(self.engine)

    def ignore(self, peer: Peer) -> None:
        peer.address.ignored = True

    def shut_down(self, peer: Peer) -> None:
        self.end(peer.address)

    def give_up(self, peer: Peer, reason: str) -> None:
        self.engine.handle(self.engine.core.lost(peer, reason))
        self.end(peer.address)


class MemoryClient(ClientSide):
    """A client's link to an endpoint, whether somebody listens there or not."""

    exposed = False

    def __init__(self, network: 'Network', engine: 'Engine', endpoint: str) -> None:
        if engine.auth.encrypted:
            raise UsageError(
                f'security_plugin={engine.auth.name!r} encrypts connections of sockets, '
                "and there are none in memory: take 'trusted_peer' and a user_id, or test "
                'this one over tcp'
            )
        super().__init__(engine, endpoint)
        self.network = network
        self.connection: Connection | None = None
        network.clients[self] = None

    def start(self) -> None:
        self.open_soon()

    def open_soon(self) -> None:
        """Connect in the next turn of the loop, unless the engine knows of none yet."""
        if self.engine.backend is not None:
            self.network.clock.stir()
            self.engine.backend.call_soon(self.open)

    def open(self) -> None:
        """Connect, if somebody listens; else the network has us try again."""
        server = self.network.server_for(self)
        if self.ended or self.connection is not None or server is None:
            return
        engine = self.engine
        user_id: Any = engine.auth.socket_options().get(PLAIN_USERNAME)
        expected = PLAIN_SERVER in server.engine.auth.socket_options()
        if expected is (user_id is None):
            error = monitor.refusal(self.endpoint, engine.settings, monitor.PROTOCOL, 0)
            engine.refused(self.endpoint, error)
            return
        if user_id is not None:
            user_id = user_id.decode()
        self.connection = connection = Connection(self, server, user_id)
        server.connections[connection] = None
        self.network.opened(connection)
        if engine.settings.protocol == 1:
            connection.to_server.put([])  # a probe, see client_link
        self.connected()
        settled(engine)

    def replace(self, lasted: bool) -> None:
        self.end()
        backend = self.engine.backend
        # without chance: tests are to go the same way each time
        backend.call_at(backend.now() + self.next_pause(lasted), self.open)

    def close(self) -> None:
        self.ended = True
        self.network.clients.pop(self, None)
        self.end()

    def end(self) -> None:
        """Close the connection, if there is one; what was sent before arrives."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.to_client.close()
            connection.to_server.put(None)

    def lose(self) -> None:
        """The connection was closed, by the server or by nobody."""
        self.connection = None
        self.disconnected()

    def arrived(self, payload: Payload | None) -> None:
        if payload is None:
            self.lose()
        elif self.peer is not None:
            self.engine.receive(self.peer, payload)

    def send(self, peer: Peer, payload: Sequence[Buffer]) -> bool:
        if peer is not self.peer or self.connection is None:
            return False
        self.connection.to_server.put(payload)
        return True

    def drain_some(self) -> None:
        """Nothing waits unread."""

    def look_again(self) -> None:
        end_soon(self.engine)


def end_soon(engine: 'Engine') -> None:
    """After its last message, an engine that stops has nothing to wait for."""
    if engine.core.draining is not None:
        engine.backend.call_soon(engine.ending.finish_if_idle)
