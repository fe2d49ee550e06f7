"""The link of a server: one socket for all clients, who is where, and who was lost."""

import errno
import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import zmq
from zmq.backend import zmq_poll

from . import monitor, zap
from ._core.peer import Peer
from ._core.wire import Buffer
from .link import ServerSide
from .native import seed_random
from .pump import (
    MORE,
    NOBLOCK,
    SocketLink,
    connect,
    read_frames,
    send,
    send_payload,
    skip_rest,
)
from .transit import Transit

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ['ServerLink']

SRCFD = int(zmq.SRCFD)
# Routing ids in front of the delimiter: one for each ØMQ device on the way, and room.
MAX_ENVELOPE = 8
MAX_ROUTING_ID = 255  # bytes, ZMQ_ROUTING_ID
# In place of the descriptor of a peer that was expelled: equals none.
IGNORED = -2
# Seconds after which a connection that speaks must have been told of.  With several I/O
# threads, one may tell when the other has read.
BELATED = 1.0
# Milliseconds that the address of a server that was stopped may take to be free again:
# libzmq closes its sockets later, in a thread of its own.
RELEASED = 200


class ServerLink(SocketLink, ServerSide):
    """A ROUTER, bound; or connected to a device."""

    kind = zmq.ROUTER
    monitored = monitor.COME | monitor.LOST

    def __init__(self, engine: 'Engine') -> None:
        seed_random()
        self.zap_domain = b''
        if engine.admission.needs_zap:
            self.zap_domain = zap.register(engine.context, engine.admission.ask)
        try:
            super().__init__(engine)
        except BaseException:
            self.forget_domain()
            raise
        # what can not be routed is an error, not lost
        self.socket.router_mandatory = True
        if engine.settings.name:
            # v1 clients address a server by it
            self.socket.routing_id = engine.settings.name.encode()
        if self.zap_domain:
            self.socket.zap_domain = self.zap_domain
        self.up: set[int] = set()  # descriptors of the connections that there are
        self.by_fd: dict[int, set[Peer]] = {}
        self.leaving: list[Peer] = []  # reported lost

    def close(self) -> None:
        super().close()
        self.forget_domain()

    def forget_domain(self) -> None:
        if self.zap_domain:
            zap.unregister(self.engine.context, self.zap_domain)

    def bind(self, endpoint: str) -> str:
        if self.engine.auth.needs_zap and endpoint.startswith('inproc:'):
            raise ValueError(
                'inproc connections are never authenticated (ZMTP has no part in them): '
                f'bind another endpoint, or use no security_plugin; not {endpoint!r}'
            )
        for left in reversed(range(RELEASED)):
            try:
                self.socket.bind(endpoint)
                break
            except zmq.ZMQError as error:
                if error.errno != errno.EADDRINUSE or not left:
                    raise OSError(
                        error.errno, f'can not bind to {endpoint!r}: {error.strerror}'
                    ) from error
            zmq_poll([], 1)  # a sleep that switches to no greenlet
        bound = cast(bytes, self.socket.last_endpoint)
        return bound.rstrip(b'\0').decode()

    def connect(self, endpoint: str) -> None:
        connect(self.socket, endpoint)

    def disconnect(self, endpoint: str) -> None:
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
        known_as = _property(first, 'User-Id') if engine.auth.identifies else None
        try:
            fd = first.get(SRCFD)
        except zmq.ZMQError:  # inproc
            fd = -1
        peer = engine.core.peers.get(key)
        if peer is not None and (
            peer.address.fd != fd or peer.address.known_as != known_as
        ):
            if peer.address.ignored == fd and peer.address.known_as == known_as:
                return  # it was expelled
            # a routing id that its client chose, on another connection now
            self.lost(peer, 'it connected anew')
            peer = None
        if peer is None:
            peer = self.meet(key, envelope, first, fd, known_as)
        engine.receive(peer, payload)
        if peer.ready and not peer.address.known:
            self.know(peer, fd)

    def know(self, peer: Peer, fd: int) -> None:
        """Look out for the loss of a new peer, which may have been told already."""
        peer.address.known = True
        peers = self.by_fd.setdefault(fd, set())
        peers.add(peer)
        backend = self.engine.backend
        if not peer.watched:
            pass
        elif fd not in self.up:
            backend.call_at(backend.now() + BELATED, lambda: self.miss(peer))
        elif len(peers) > 1:  # the next connection has the descriptor already
            for each in peers:
                if each.watched and any(
                    other.address.newer(each.address) for other in peers
                ):
                    self.leaving.append(each)
            backend.call_soon(self.settle)

    def miss(self, peer: Peer) -> None:
        """Its connection had ended before its first message was read."""
        if peer.address.fd not in self.up:
            self.lost(peer, 'the connection was closed')

    def meet(
        self, key: Any, envelope: list[bytes], frame: Any, fd: int, known_as: str | None
    ) -> Peer:
        self.note_losses()
        ip = _property(frame, 'Peer-Address') or ''
        address = ip or 'this machine'
        challenges = self.engine.core.challenges
        user_id = None if challenges else known_as  # else what it logs in as
        peer = Peer(
            key,
            self.engine.settings.limits,
            label=f'{user_id} at {address}' if user_id else f'a client at {address}',
            user_id=user_id,
            link=self,
            address=_Address(envelope, fd, known_as, ip),
            # nobody tells when these go: they are behind a device, or inproc
            watched=fd >= 0 and len(envelope) == 1,
            by_device=len(envelope) > 1,
        )
        peer.admitted = not challenges
        return peer

    def send(self, peer: Peer, payload: Sequence[Buffer]) -> bool:
        address = peer.address
        if address.chosen:  # another may have chosen the same by now
            self.note_losses()
            if peer in self.leaving:
                return False
        transit = address.transit
        if transit.frames and transit.full():
            return False
        envelope = address.envelope
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
        send_payload(self.socket, payload, transit)
        return True

    def lost(self, peer: Peer, reason: str) -> None:
        address = peer.address
        fd = address.fd if address.ignored is None else address.ignored
        peers = self.by_fd.get(fd)
        if peers is not None:
            peers.discard(peer)
            if not peers:
                del self.by_fd[fd]
        self.engine.handle(self.engine.core.lost(peer, reason))

    def give_up(self, peer: Peer, reason: str) -> None:
        self.lost(peer, reason)

    def ignore(self, peer: Peer) -> None:
        address = peer.address
        address.ignored, address.fd = address.fd, IGNORED

    def shut_down(self, peer: Peer) -> None:
        # libzmq has no call that closes one connection of a socket.  So its descriptor is
        # shut down, which is what a client that dies does to it.
        # Behind a device all its clients share a connection; inproc has none;
        # a forked child shares those of its parent.
        if not peer.watched or self.forked():
            return
        try:
            self.shut_down_descriptor(peer, peer.address.ignored)
        except OSError:  # the peer was faster
            pass

    def shut_down_descriptor(self, peer: Peer, fd: int) -> None:
        copy = os.dup(fd)
        try:
            # Only now: before libzmq closes a descriptor it says so.  If it has not, our
            # copy is of that connection, whoever gets the number next.
            self.note_losses()
            if peer in self.by_fd.get(fd, ()):
                with socket.socket(fileno=os.dup(copy)) as connection:
                    connection.shutdown(socket.SHUT_RDWR)
        finally:
            os.close(copy)

    def observed(self, event: int, value: int) -> None:
        self.note(event, value)
        if event == monitor.LOST:
            self.settle()

    def note(self, event: int, fd: int) -> None:
        if event & monitor.COME:
            self.up.add(fd)
        else:
            self.up.discard(fd)
            self.leaving.extend(self.by_fd.pop(fd, ()))

    def note_losses(self) -> None:
        """Before a descriptor gets a new peer: its number may have been another's.

        What the monitor says of that one was said before this one could connect.
        """
        for event, fd in monitor.events(self.monitor, self.monitor_pollin):
            self.note(event, fd)
        if self.leaving:
            self.engine.backend.call_soon(self.settle)

    def settle(self) -> None:
        """See to the peers that were reported lost."""
        self.drain_some()  # what arrived before counts
        leaving, self.leaving = self.leaving, []
        for peer in leaving:
            self.lost(peer, 'the connection was closed')


class _Address:
    """Where a server finds a peer, and as whom ZAP let its connection in.

    Attributes:
        envelope: routing ids.
        fd: descriptor of the connection; -1 without.
        known_as: ZAP's User-Id.
        ip: IP address, empty for ipc.
        text: what people call it.
        transit: large frames that are on their way to it.
        chosen: its client chose the routing id; those of libzmq begin with NUL.
        known: the link looks out for the loss of ``fd``.
        ignored: after it was expelled, its descriptor; ``fd`` is none then.
    """

    __slots__ = (
        'chosen',
        'envelope',
        'fd',
        'ignored',
        'ip',
        'known',
        'known_as',
        'text',
        'transit',
    )

    def __init__(
        self, envelope: list[bytes], fd: int, known_as: str | None, ip: str
    ) -> None:
        self.envelope = envelope
        self.fd = fd
        self.known_as = known_as
        self.ip = ip
        self.text = ip or 'this machine'
        self.ignored: int | None = None
        self.known = False
        self.chosen = not envelope[0].startswith(b'\0')
        self.transit = Transit()

    def newer(self, other: '_Address') -> bool:
        """Whether its connection is the later one, as far as libzmq's ids tell."""
        if self.chosen or other.chosen:
            return False
        ids = (int.from_bytes(each.envelope[0][1:]) for each in (self, other))
        return 0 < (next(ids) - next(ids)) % (1 << 32) < 1 << 31


def _property(frame: Any, name: str) -> str | None:
    try:
        value: str = frame.get(name)
    except zmq.ZMQError:  # the transport does not say
        return None
    return value
