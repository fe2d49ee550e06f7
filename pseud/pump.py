"""ØMQ sockets on an event loop: frames in, frames out, never waiting.

The socket's descriptor is edge-triggered: it tells of a change once, and any send or
receive may swallow the news.  So `Link.drain` reads until a poll of the socket says
that nothing is left, and after every send from outside the socket is polled again.
Polling it costs two thirds of reading EVENTS, which makes an enum of the option; flags
are plain ints for the same reason.
"""

import errno
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import zmq
from zmq.backend import Socket as _Plain
from zmq.backend import zmq_poll
from zmq.utils.monitor import parse_monitor_message

from ._core import v1, wire
from ._core.peer import Peer
from ._core.wire import Buffer
from .errors import PseudError, UnauthorizedError

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ['ClientLink', 'Link', 'ServerLink']

logger = logging.getLogger(__name__)

# zmq.Socket.send wraps this one for options that are not used here, at twice the cost
_send: Any = _Plain.send

FD = int(zmq.FD)
POLLIN = int(zmq.POLLIN)
NOBLOCK = int(zmq.NOBLOCK)
MORE = int(zmq.NOBLOCK) | int(zmq.SNDMORE)
SRCFD = int(zmq.SRCFD)

# ØMQ messages read before other callbacks of the loop get their turn.
BURST = 64
# Routing ids in front of the delimiter: one for each ØMQ device on the way, and room.
MAX_ENVELOPE = 8
# How often a connection that the monitor reports lost is tried, and when (seconds): the
# descriptor may belong to a newer one already, and the report comes before the fact.
CONFIRM_AFTER = (0.0, 0.01, 0.05, 0.25, 1.0)

_LOST = int(zmq.EVENT_DISCONNECTED)
_UP = int(zmq.EVENT_HANDSHAKE_SUCCEEDED)
_REFUSED = int(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
_PROTOCOL = int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)


class Link:
    """One socket and its monitor, watched by the engine's backend."""

    monitored = _LOST

    def __init__(self, engine: 'Engine', kind: int) -> None:
        self.engine = engine
        self.link = self  # a peer's ``link.link`` is a Link on either side
        settings = engine.settings
        socket = self.socket = engine.context.socket(kind)
        self.pollin = [(socket, POLLIN)]
        socket.linger = int(settings.linger * 1000)
        socket.maxmsgsize = engine.settings.limits.max_message + (1 << 20)
        if settings.heartbeat_interval:
            interval = max(1, int(settings.heartbeat_interval * 1000))
            socket.heartbeat_ivl = interval
            socket.heartbeat_timeout = 4 * interval
        for option, value in engine.auth.socket_options().items():
            socket.set(option, value)
        self.monitor = socket.get_monitor_socket(self.monitored)
        self.watches: list[Any] = []
        self.draining = False

    def start(self) -> None:
        """Begin to read."""
        backend = self.engine.backend
        self.watches = [
            backend.watch(self.socket.get(FD), self.drain),
            backend.watch(self.monitor.get(FD), self.observe),
        ]
        backend.call_soon(self.drain)
        backend.call_soon(self.observe)

    def close(self) -> None:
        """Stop reading; what was sent has the engine's linger time to leave."""
        for watch in self.watches:
            watch.cancel()
        self.watches.clear()
        self.socket.disable_monitor()
        self.monitor.close(0)
        self.socket.close()

    def drain(self) -> None:
        """Take in what has arrived; after a burst let others have their turn.

        Answers leave once nothing is left to read: the first wakes libzmq's I/O thread,
        the others find it awake.
        """
        if self.draining or self.socket.closed:
            return
        engine = self.engine
        core, read = engine.core, self.read
        pollin = self.pollin
        self.draining = engine.reading = True
        try:
            # The descriptor stirs because something has arrived, most of the time: to
            # look first would cost more than the exception now and then.
            readable = True
            for _ in range(BURST):
                if readable:
                    try:
                        read()
                    except zmq.Again:
                        pass
                    except Exception:
                        logger.exception(
                            'a bug in pseud: what a message meant got lost'
                        )
                    if self.socket.closed:
                        return
                elif core.dirty:
                    engine.flush()
                else:
                    break
                readable = bool(zmq_poll(pollin, 0))
            else:
                engine.flush()
                engine.backend.call_soon(self.drain)
        finally:
            self.draining = engine.reading = False
        if engine.blocked:
            engine.retry_blocked()

    def look_again(self) -> None:
        """After a send from outside `drain`: it may have swallowed the news of input."""
        if zmq_poll(self.pollin, 0):
            self.engine.backend.call_soon(self.drain)

    def read(self) -> None:
        """Read one message."""
        raise NotImplementedError

    def send(self, peer: Peer, payload: Sequence[Buffer]) -> bool:
        """Send a message to a peer; False when its pipe is full (or not there yet)."""
        raise NotImplementedError

    def send_payload(self, payload: Sequence[Buffer]) -> None:
        socket = self.socket
        last = len(payload) - 1
        for at, frame in enumerate(payload):
            flags = MORE if at < last else NOBLOCK
            _send(socket, frame, flags, len(frame) < wire.LARGE)

    def observe(self) -> None:
        """Read the monitor: connections that come and go."""
        monitor = self.monitor
        while not monitor.closed and zmq_poll([(monitor, POLLIN)], 0):
            event = parse_monitor_message(monitor.recv_multipart(NOBLOCK))
            try:
                self.observed(int(event['event']), int(event['value']))
            except Exception:
                logger.exception('a bug in pseud: a change of a connection got lost')
        if not self.socket.closed:
            self.engine.flush()

    def observed(self, event: int, value: int) -> None:
        """Act on a monitor event."""
        raise NotImplementedError


def _rest(frame: zmq.Frame, recv: Any) -> list[Buffer]:
    """The payload: what follows ``frame``, the delimiter."""
    if not frame.more:
        return []
    frame = recv(NOBLOCK, False)
    payload: list[Buffer] = [frame.bytes]
    while frame.more:
        frame = recv(NOBLOCK, False)
        payload.append(frame.buffer)
    return payload


def _skip(frame: zmq.Frame, recv: Any) -> None:
    while frame.more:
        frame = recv(NOBLOCK, False)


def _connect(socket: 'zmq.Socket[bytes]', endpoint: str) -> None:
    try:
        socket.connect(endpoint)
    except zmq.ZMQError as error:
        raise ValueError(
            f'can not connect to {endpoint!r}: {error.strerror}; an endpoint looks like '
            "'tcp://192.0.2.1:5555' or 'ipc:///run/service'"
        ) from error


class ClientLink(Link):
    """A DEALER connected to one endpoint, so that answers and calls keep to it."""

    # HANDSHAKE_FAILED_NO_DETAIL is left out: a server that dies meanwhile causes it too
    monitored = _LOST | _UP | _REFUSED | _PROTOCOL

    def __init__(self, engine: 'Engine', endpoint: str) -> None:
        super().__init__(engine, zmq.DEALER)
        self.endpoint = endpoint
        self.peer: Peer | None = None
        # a message goes out on a connection that is up, or not at all
        self.socket.immediate = True
        try:
            _connect(self.socket, endpoint)
        except ValueError:
            self.close()
            raise

    def start(self) -> None:
        super().start()
        if self.endpoint.startswith('inproc:'):  # has no handshake, and no monitor
            self.connected()

    def connected(self) -> None:
        if self.peer is not None:
            self.lost('it connected anew')
        engine = self.engine
        self.peer = Peer(
            self.endpoint,
            engine.settings.limits,
            label=self.endpoint,
            link=self,
            protocol=engine.settings.protocol,
        )
        engine.refused(self.endpoint, None)
        engine.core.connected(self.peer, engine.backend.now())

    def lost(self, reason: str) -> None:
        peer, self.peer = self.peer, None
        if peer is not None:
            self.engine.handle(self.engine.core.lost(peer, reason))

    def read(self) -> None:
        recv = self.socket.recv
        frame = recv(NOBLOCK, False)
        if len(frame.buffer):  # no delimiter: nobody we know sends that
            _skip(frame, recv)
            return
        payload = _rest(frame, recv)
        if self.peer is not None:
            self.engine.receive(self.peer, payload)

    def send(self, peer: Peer, payload: Sequence[Buffer]) -> bool:
        if peer is not self.peer:
            return False
        try:
            _send(self.socket, b'', MORE)
        except zmq.Again:
            return False
        if len(payload) == 1:
            _send(self.socket, payload[0], NOBLOCK)
        else:
            self.send_payload(payload)
        return True

    def observed(self, event: int, value: int) -> None:
        if event == _UP:
            self.connected()
        elif event == _LOST:
            self.drain()  # what arrived before counts
            self.lost('the connection was closed')
        else:
            self.engine.refused(self.endpoint, self.refusal(event, value))

    def refusal(self, event: int, value: int) -> PseudError:
        settings = self.engine.settings
        who = (
            f'user {settings.user_id!r}'
            if settings.user_id
            else 'a client without name'
        )
        if event == _REFUSED:
            return UnauthorizedError(
                f'{self.endpoint} refused {who}: unknown, or the wrong password or key '
                f'(ZAP status {value}); security_plugin is {settings.security_plugin!r}'
            )
        return UnauthorizedError(
            f'the handshake with {self.endpoint} failed: its security_plugin does not go '
            f'with {settings.security_plugin!r} here, its key is another, or it is no '
            'pseud server'
        )


class ServerLink(Link):
    """A ROUTER, bound; or connected to a device."""

    def __init__(self, engine: 'Engine') -> None:
        super().__init__(engine, zmq.ROUTER)
        # what can not be routed is an error, not lost
        self.socket.router_mandatory = True
        if engine.settings.name:
            # v1 clients address a server by it
            self.socket.routing_id = engine.settings.name.encode()
        if engine.auth.needs_zap:
            self.socket.zap_domain = engine.zap_domain
        self.by_fd: dict[int, set[Peer]] = {}

    def bind(self, endpoint: str) -> str:
        """Listen; returns the endpoint with the port that was chosen."""
        try:
            self.socket.bind(endpoint)
        except zmq.ZMQError as error:
            raise OSError(
                error.errno, f'can not bind to {endpoint!r}: {error.strerror}'
            ) from error
        bound = cast(bytes, self.socket.last_endpoint)
        return bound.rstrip(b'\0').decode()

    def connect(self, endpoint: str) -> None:
        """Serve the clients of a device there."""
        _connect(self.socket, endpoint)

    def disconnect(self, endpoint: str) -> None:
        """Undo `connect`."""
        try:
            self.socket.disconnect(endpoint)
        except zmq.ZMQError as error:
            raise ValueError(
                f'not connected to {endpoint!r}: {error.strerror}'
            ) from error

    def read(self) -> None:
        recv = self.socket.recv
        first = frame = recv(NOBLOCK, False)
        envelope = [first.bytes]
        while True:
            if not frame.more:
                return  # no delimiter: somebody else's protocol
            frame = recv(NOBLOCK, False)
            part = frame.bytes
            if not part:
                break
            envelope.append(part)
            if len(envelope) > MAX_ENVELOPE:
                _skip(frame, recv)
                return
        payload = _rest(frame, recv)
        engine = self.engine
        key: Any = envelope[0] if len(envelope) == 1 else tuple(envelope)
        user_id = _property(first, 'User-Id') if engine.auth.identifies else None
        try:
            fd = first.get(SRCFD)
        except zmq.ZMQError:  # inproc
            fd = -1
        peer = engine.core.peers.get(key)
        if peer is not None and (peer.link.fd != fd or peer.user_id != user_id):
            # a routing id that its client chose, on another connection now
            self.lost(peer, 'it connected anew')
            peer = None
        if peer is None:
            peer = self.meet(key, envelope, first, fd, user_id)
        engine.receive(peer, payload)
        if peer.ready and not peer.link.known:
            peer.link.known = True
            self.by_fd.setdefault(fd, set()).add(peer)

    def meet(
        self, key: Any, envelope: list[bytes], frame: Any, fd: int, user_id: str | None
    ) -> Peer:
        address = _property(frame, 'Peer-Address') or 'this machine'
        return Peer(
            key,
            self.engine.settings.limits,
            label=f'{user_id} at {address}' if user_id else f'a client at {address}',
            user_id=user_id,
            link=_Address(self, envelope, fd),
        )

    def send(self, peer: Peer, payload: Sequence[Buffer]) -> bool:
        envelope = peer.link.envelope
        try:
            _send(self.socket, envelope[0], MORE)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != errno.EHOSTUNREACH:
                raise
            self.lost(peer, 'the connection was closed')
            return True
        for part in envelope[1:]:
            _send(self.socket, part, MORE)
        _send(self.socket, b'', MORE)
        if len(payload) == 1:
            _send(self.socket, payload[0], NOBLOCK)
        else:
            self.send_payload(payload)
        return True

    def lost(self, peer: Peer, reason: str) -> None:
        peers = self.by_fd.get(peer.link.fd)
        if peers is not None:
            peers.discard(peer)
            if not peers:
                del self.by_fd[peer.link.fd]
        self.engine.handle(self.engine.core.lost(peer, reason))

    def observed(self, event: int, value: int) -> None:
        self.drain()  # what arrived before counts
        for peer in list(self.by_fd.get(value, ())):
            self.confirm(peer, 0)

    def confirm(self, peer: Peer, attempt: int) -> None:
        """Find out whether a peer that was reported lost really is."""
        if peer.gone or self.socket.closed:
            return
        if peer.lockstep:  # what it did not ask for would pass for an answer
            self.lost(peer, 'the connection was closed')
            return
        if peer.protocol == 1:
            probe: list[Buffer] = [v1.VERSION, b'', v1.HEARTBEAT, b'']
        else:
            probe = [wire.encode([(wire.PING, 0)])]
        self.send(peer, probe)
        attempt += 1
        if not peer.gone and attempt < len(CONFIRM_AFTER):
            when = self.engine.backend.now() + CONFIRM_AFTER[attempt]
            self.engine.backend.call_at(when, lambda: self.confirm(peer, attempt))


class _Address:
    """Where a server finds a peer: on which link, by which routing ids."""

    __slots__ = ('envelope', 'fd', 'known', 'link')

    def __init__(self, link: ServerLink, envelope: list[bytes], fd: int) -> None:
        self.link = link
        self.envelope = envelope
        self.fd = fd
        self.known = False

    def send(self, peer: Peer, payload: Sequence[Buffer]) -> bool:
        return self.link.send(peer, payload)

    def look_again(self) -> None:
        self.link.look_again()


def _property(frame: Any, name: str) -> str | None:
    try:
        value: str = frame.get(name)
    except zmq.ZMQError:  # the transport does not say
        return None
    return value
