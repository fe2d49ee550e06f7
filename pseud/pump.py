"""ØMQ sockets on an event loop: frames in, frames out, never waiting.

The socket's descriptor is edge-triggered: it tells of a change once, and any send or
receive may swallow the news.  So `SocketLink.drain` reads until a poll of the socket says
that nothing is left, and after every send from outside the socket is polled again.
Polling it costs two thirds of reading EVENTS, which makes an enum of the option; flags
are plain ints for the same reason.
"""

import abc
import logging
from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, Any

import zmq
from zmq.backend import Socket as _Plain
from zmq.backend import zmq_poll

from . import monitor
from ._core import wire
from ._core.wire import Buffer
from .guard import FORKED
from .link import Link
from .native import threads_are_greenlets
from .settings import Settings
from .transit import Transit

if TYPE_CHECKING:
    from .engine import Engine

__all__ = [
    'MORE',
    'NOBLOCK',
    'POLLIN',
    'SocketLink',
    'connect',
    'open_socket',
    'read_frames',
    'send',
    'send_payload',
    'skip_rest',
]

logger = logging.getLogger(__name__)

# zmq.Socket.send wraps this one for options that are not used here, at twice the cost
send: Any = _Plain.send

FD = int(zmq.FD)
POLLIN = int(zmq.POLLIN)
NOBLOCK = int(zmq.NOBLOCK)
MORE = int(zmq.NOBLOCK) | int(zmq.SNDMORE)

# Bytes that a frame may have beyond the largest body: the head of a batch.
HEAD_ROOM = 1 << 20
# ØMQ messages read before other callbacks of the loop get their turn.
BURST = 64
# Bursts that are read before a connection is given up, for answers that came in time.
BURSTS = 16
# Messages that may wait in ØMQ to be sent to one peer (ZMQ_SNDHWM).  It does not count
# bytes, as our queues do: there, what a peer makes wait that does not read is bounded.
SENDING = 128
# And to be read, while we compute (ZMQ_RCVHWM).  Beyond that libzmq reads nothing from the
# peer any more, heartbeats neither, and so gives it up: there must be room for a message
# for each call that may be under way, and more.  If the connection breaks then, libzmq
# 4.3.5 ends the process with the next heartbeat (``Assertion failed: !_io_error``): a
# burst of small messages must not get there.
ARRIVING = 1 << 20
# Frames of one message; more are dropped unseen, as each costs far more than it weighs.
MAX_FRAMES = 4096


class SocketLink(Link):
    """One socket and its monitor, watched by the engine's backend."""

    kind: int  # of the ØMQ socket
    monitored: int  # events that `observed` wants to see

    def __init__(self, engine: 'Engine') -> None:
        self.engine = engine
        self.watches: list[Any] = []
        self.draining = False
        self.crowded = False  # the last time, there were several messages
        self.open()

    def open(self) -> None:
        """Make the socket and its monitor."""
        engine = self.engine
        settings, auth = engine.settings, engine.auth
        self.socket = open_socket(engine.context, self.kind, settings, auth)
        self.pollin = [(self.socket, POLLIN)]
        self.monitor = monitor.watch(engine.context, self.socket, self.monitored)
        self.monitor_pollin = [(self.monitor, POLLIN)]

    def start(self) -> None:
        backend = self.engine.backend
        self.watches = [
            backend.watch(self.socket.get(FD), self.drain),
            backend.watch(self.monitor.get(FD), self.observe),
        ]
        backend.call_soon(self.drain)
        backend.call_soon(self.observe)

    def close(self) -> None:
        self.ended = True
        self.close_socket()

    def close_socket(self) -> None:
        self.unwatch()
        if not self.socket.closed:
            try:
                self.socket.disable_monitor()
            except zmq.ZMQError:  # the context was terminated
                pass
            self.monitor.close(0)
            self.socket.close()

    def drain(self, patient: bool = False) -> None:
        """Take in what has arrived; after a burst let others have their turn.

        Where messages come one at a time, the answer leaves before anything else is
        looked at.  In a crowd answers leave once nothing is left to read: the first wakes
        libzmq's I/O thread, the others find it awake.

        Args:
            patient: let the burst take the time it needs.
        """
        if self.draining or self.socket.closed or self.forked():
            return
        engine = self.engine
        core, sender, read = engine.core, engine.sender, self.read
        pollin, now = self.pollin, engine.backend.now
        until = engine.backend.new_turn()
        if patient:
            until = inf
        count = 0
        self.draining = sender.reading = True
        try:
            # The descriptor stirs because something has arrived, most of the time: to
            # look first would cost more than the exception now and then.
            readable = True
            while True:
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
                    if core.dirty and not self.crowded:
                        sender.flush()
                elif core.dirty:
                    sender.flush()
                else:
                    self.crowded = count > 2
                    break
                readable = bool(zmq_poll(pollin, 0))
                count += 1
                if count == BURST or (readable and now() >= until):
                    self.crowded = True
                    sender.flush()
                    # unlike call_soon, lets gevent's hub look for other events first
                    engine.backend.call_at(now(), self.drain)
                    break
        finally:
            self.draining = sender.reading = False
            if core.dirty:  # for other links, or this one was closed meanwhile
                sender.flush_soon()
        if sender.blocked:
            sender.retry()

    def forked(self) -> bool:
        """Whether this is a child of the process that the socket belongs to.

        Its loop may well call us there: to read would never end.
        """
        guard = self.engine.guard
        if guard is None or guard.thread != FORKED:
            return False
        self.unwatch()
        return True

    def unwatch(self) -> None:
        for watch in self.watches:
            watch.cancel()
        self.watches.clear()

    def drain_some(self) -> None:
        """Take in what has arrived, as far as that ends: input may never stop."""
        for _ in range(BURSTS):
            if self.socket.closed or not zmq_poll(self.pollin, 0):
                return
            self.drain(patient=True)

    def look_again(self) -> None:
        # a send from outside `drain` may have swallowed the news of input
        if self.draining or self.socket.closed:
            return
        if zmq_poll(self.pollin, 0):
            self.engine.backend.call_soon(self.drain)

    @abc.abstractmethod
    def read(self) -> None:
        """Read one message."""

    def observe(self) -> None:
        """Read the monitor: connections that come and go."""
        if self.forked():
            return
        for event, value in monitor.events(self.monitor, self.monitor_pollin):
            try:
                self.observed(event, value)
            except Exception:
                logger.exception('a bug in pseud: a change of a connection got lost')
        if not self.socket.closed:
            self.engine.sender.flush()

    @abc.abstractmethod
    def observed(self, event: int, value: int) -> None:
        """Act on a monitor event."""


def open_socket(
    context: 'zmq.Context[zmq.Socket[bytes]]', kind: int, settings: Settings, auth: Any
) -> 'zmq.Socket[bytes]':
    """A socket with the options that all of ours have."""
    socket = context.socket(kind, socket_class=zmq.Socket)
    socket.linger = int(settings.linger * 1000)
    socket.sndhwm, socket.rcvhwm = SENDING, ARRIVING
    socket.maxmsgsize = settings.limits.max_message + HEAD_ROOM
    if settings.heartbeat_interval:
        interval = max(1, int(settings.heartbeat_interval * 1000))
        socket.heartbeat_ivl = interval
        socket.heartbeat_timeout = 4 * interval
    for option, value in auth.socket_options().items():
        socket.set(option, value)
    return socket


def read_frames(recv: Any) -> list[Buffer]:
    """A head, as bytes, and the frames that follow it, uncopied."""
    frame = recv(NOBLOCK, False)
    payload: list[Buffer] = [frame.bytes]
    while frame.more:
        frame = recv(NOBLOCK, False)
        payload.append(frame.buffer)
        if len(payload) > MAX_FRAMES:
            skip_rest(frame, recv)
            return [b'']  # no head: a violation
    return payload


def skip_rest(frame: zmq.Frame, recv: Any) -> None:
    """Read the frames that follow, and forget them."""
    while frame.more:
        frame = recv(NOBLOCK, False)


def send_payload(
    socket: 'zmq.Socket[bytes]',
    payload: Sequence[Buffer],
    transit: Transit | None = None,
) -> None:
    """Send the frames that follow a delimiter; the pipe has room, as that one went.

    Large ones are not copied, and noted in ``transit`` until they have left.
    """
    if len(payload) == 1:
        send(socket, payload[0], NOBLOCK)
        return
    last = len(payload) - 1
    limit = inf if threads_are_greenlets() else wire.LARGE
    for at, frame in enumerate(payload):
        flags, size = MORE if at < last else NOBLOCK, len(frame)
        if size < limit:
            send(socket, frame, flags)
        elif transit is None:
            send(socket, frame, flags, False)
        else:
            transit.add(size, send(socket, frame, flags, False, True))


def connect(socket: 'zmq.Socket[bytes]', endpoint: str) -> None:
    """Connect a socket.

    Raises:
        ValueError: ``endpoint`` is no address.
    """
    try:
        socket.connect(endpoint)
    except zmq.ZMQError as error:
        raise ValueError(
            f'can not connect to {endpoint!r}: {error.strerror}; an endpoint looks like '
            "'tcp://192.0.2.1:5555' or 'ipc:///run/service'"
        ) from error
