"""The links of a client and of a server: who is at the other end, and who was lost."""

import errno
import logging
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import zmq

from . import monitor
from ._core import v1, wire
from ._core.peer import Peer
from ._core.wire import Buffer
from .pump import (
    MORE,
    NOBLOCK,
    Link,
    connect,
    read_frames,
    send,
    send_payload,
    skip_rest,
)

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ['ClientLink', 'ServerLink']

logger = logging.getLogger(__name__)

SRCFD = int(zmq.SRCFD)
# Routing ids in front of the delimiter: one for each ØMQ device on the way, and room.
MAX_ENVELOPE = 8
# A connection that ended within so many seconds is made anew after a pause.
LASTED = 1.0
PAUSE, MAX_PAUSE = 0.1, 5.0
MAX_ROUTING_ID = 255  # bytes, ZMQ_ROUTING_ID
# How often a connection that the monitor reports lost is tried, and when (seconds): the
# descriptor may belong to a newer one already, and the report comes before the fact.
CONFIRM_AFTER = (0.0, 0.01, 0.05, 0.25, 1.0)


class ClientLink(Link):
    """A DEALER connected to one endpoint, so that answers and calls keep to it.

    Nothing is sent before the monitor tells of a connection, and after a loss the socket
    is replaced: no call goes out on a later connection than it was made for.
    (ZMQ_IMMEDIATE would see to that, too, but then libzmq 4.3.5 drops answers that had
    arrived and were not read yet.)
    """

    kind = zmq.DEALER
    monitored = monitor.CONNECTING

    def __init__(self, engine: 'Engine', endpoint: str) -> None:
        self.endpoint = endpoint
        self.peer: Peer | None = None
        self.up_since = 0.0
        self.pause = 0.0
        super().__init__(engine)

    def open(self) -> None:
        super().open()
        try:
            connect(self.socket, self.endpoint)
        except ValueError:
            self.close_socket()
            raise

    def replace(self, lasted: bool) -> None:
        """Close the socket of a connection that is gone, and open another.

        Args:
            lasted: the connection had been up for a while: open at once.  Else after a
                pause that doubles: a server that refuses, or takes in and throws out,
                must not be stormed.
        """
        self.socket.linger = 0
        self.close_socket()
        backend = self.engine.backend
        if lasted:
            self.pause = 0.0
            self.reopen()
        else:
            self.pause = min(max(2 * self.pause, PAUSE), MAX_PAUSE)
            spread = 0.5 + random.random()
            backend.call_at(backend.now() + spread * self.pause, self.reopen)

    def reopen(self) -> None:
        """Open a new socket, unless the link is no longer wanted."""
        if self.ended:
            return
        try:
            self.open()
        except (zmq.ZMQError, ValueError):  # no descriptors left, for instance
            logger.warning(
                'can not connect to %s again yet', self.endpoint, exc_info=True
            )
            backend = self.engine.backend
            backend.call_at(backend.now() + MAX_PAUSE, self.reopen)
            return
        self.start()

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
        self.up_since = engine.backend.now()
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
            skip_rest(frame, recv)
            return
        payload = read_frames(recv) if frame.more else []
        if self.peer is not None:
            self.engine.receive(self.peer, payload)

    def send(self, peer: Peer, payload: Sequence[Buffer]) -> bool:
        if peer is not self.peer:
            return False
        try:
            send(self.socket, b'', MORE)
        except zmq.Again:
            return False
        try:
            send_payload(self.socket, payload)
        except (
            zmq.Again
        ):  # the connection ended between two frames, as we shall be told
            pass
        return True

    def observed(self, event: int, value: int) -> None:
        if event == monitor.UP:
            self.connected()
        elif event == monitor.LOST:
            self.drain_some()  # what arrived before counts
            if self.peer is not None:
                self.lost('the connection was closed')
                if not self.ended:
                    now = self.engine.backend.now()
                    self.replace(now - self.up_since >= LASTED)
        else:
            settings = self.engine.settings
            error = monitor.refusal(self.endpoint, settings, event, value)
            self.engine.refused(self.endpoint, error)
            if event == monitor.REFUSED and not self.ended:
                self.replace(
                    False
                )  # libzmq does not try again, but we do: users change


class ServerLink(Link):
    """A ROUTER, bound; or connected to a device."""

    kind = zmq.ROUTER
    monitored = monitor.LOST

    def __init__(self, engine: 'Engine') -> None:
        super().__init__(engine)
        # what can not be routed is an error, not lost
        self.socket.router_mandatory = True
        if engine.settings.name:
            # v1 clients address a server by it
            self.socket.routing_id = engine.settings.name.encode()
        if engine.auth.needs_zap:
            self.socket.zap_domain = engine.zap_domain
        self.by_fd: dict[int, set[Peer]] = {}
        self.leaving: list[Peer] = []  # reported lost, to be confirmed

    def bind(self, endpoint: str) -> str:
        """Listen; returns the endpoint with the port that was chosen."""
        if self.engine.auth.needs_zap and endpoint.startswith('inproc:'):
            raise ValueError(
                'inproc connections are never authenticated (ZMTP has no part in them): '
                f'bind another endpoint, or use no security_plugin; not {endpoint!r}'
            )
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
        connect(self.socket, endpoint)

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
            if len(envelope) > MAX_ENVELOPE or len(part) > MAX_ROUTING_ID:
                skip_rest(frame, recv)
                return
        payload = read_frames(recv) if frame.more else []
        engine = self.engine
        key: Any = envelope[0] if len(envelope) == 1 else tuple(envelope)
        user_id = _property(first, 'User-Id') if engine.auth.identifies else None
        try:
            fd = first.get(SRCFD)
        except zmq.ZMQError:  # inproc
            fd = -1
        peer = engine.core.peers.get(key)
        if peer is not None and (peer.address.fd != fd or peer.user_id != user_id):
            # a routing id that its client chose, on another connection now
            self.lost(peer, 'it connected anew')
            peer = None
        if peer is None:
            peer = self.meet(key, envelope, first, fd, user_id)
        engine.receive(peer, payload)
        if peer.ready and not peer.address.known:
            peer.address.known = True
            self.by_fd.setdefault(fd, set()).add(peer)

    def meet(
        self, key: Any, envelope: list[bytes], frame: Any, fd: int, user_id: str | None
    ) -> Peer:
        self.note_losses()
        address = _property(frame, 'Peer-Address') or 'this machine'
        return Peer(
            key,
            self.engine.settings.limits,
            label=f'{user_id} at {address}' if user_id else f'a client at {address}',
            user_id=user_id,
            link=self,
            address=_Address(envelope, fd),
            # nobody tells when these go: they are behind a device, or inproc
            watched=fd >= 0 and len(envelope) == 1,
        )

    def send(self, peer: Peer, payload: Sequence[Buffer]) -> bool:
        envelope = peer.address.envelope
        try:
            send(self.socket, envelope[0], MORE)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != errno.EHOSTUNREACH:
                raise
            self.lost(peer, 'the connection was closed')
            return True
        for part in envelope[1:]:
            send(self.socket, part, MORE)
        send(self.socket, b'', MORE)
        send_payload(self.socket, payload)
        return True

    def lost(self, peer: Peer, reason: str) -> None:
        peers = self.by_fd.get(peer.address.fd)
        if peers is not None:
            peers.discard(peer)
            if not peers:
                del self.by_fd[peer.address.fd]
        self.engine.handle(self.engine.core.lost(peer, reason))

    def observed(self, event: int, value: int) -> None:
        self.leaving.extend(self.by_fd.pop(value, ()))
        self.settle()

    def note_losses(self) -> None:
        """Before a descriptor gets a new peer: its number may have been another's.

        What the monitor says of that one was said before this one could connect.
        """
        for _, fd in monitor.events(self.monitor, self.monitor_pollin):
            self.leaving.extend(self.by_fd.pop(fd, ()))
        if self.leaving:
            self.engine.backend.call_soon(self.settle)

    def settle(self) -> None:
        """See to the peers that were reported lost."""
        self.drain_some()  # what arrived before counts
        leaving, self.leaving = self.leaving, []
        for peer in leaving:
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
        self.look_again()
        attempt += 1
        if peer.gone:
            return
        if attempt == len(CONFIRM_AFTER):  # it is there: another had its descriptor
            self.by_fd.setdefault(peer.address.fd, set()).add(peer)
        else:
            when = self.engine.backend.now() + CONFIRM_AFTER[attempt]
            self.engine.backend.call_at(when, lambda: self.confirm(peer, attempt))


class _Address:
    """Where a server finds a peer: by which routing ids, on which descriptor."""

    __slots__ = ('envelope', 'fd', 'known')

    def __init__(self, envelope: list[bytes], fd: int) -> None:
        self.envelope = envelope
        self.fd = fd
        self.known = False


def _property(frame: Any, name: str) -> str | None:
    try:
        value: str = frame.get(name)
    except zmq.ZMQError:  # the transport does not say
        return None
    return value
