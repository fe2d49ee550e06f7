"""The link of a client: one connection to one endpoint, made again when it is lost."""

import logging
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

import zmq

from . import monitor
from ._core import events
from ._core.peer import Peer
from ._core.wire import Buffer
from .errors import NotSentError, PseudError
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

__all__ = ['ClientLink']

logger = logging.getLogger(__name__)

# A connection that ended within so many seconds is made anew after a pause.
LASTED = 1.0
PAUSE, MAX_PAUSE = 0.1, 5.0


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
        self.silence = monitor.Silence(engine.auth.encrypted)
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
        engine.handle(engine.core.connected(self.peer, self.up_since))
        if self.peer.protocol == 1:  # has no WELCOME
            engine.handle([(events.READY, self.peer)])

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

    def refused(self, peer: Peer, reason: str, unauthorized: bool) -> None:
        """The server wants none of us, over a connection that is up."""
        if peer is not self.peer:
            return
        engine = self.engine
        if unauthorized:  # nothing ran, as it held or refused what we sent
            error = monitor.not_believed(self.endpoint, engine.settings, reason)
            self.give_up(peer, reason, error)
            engine.refused(self.endpoint, error)
            return
        # It answers what we sent already.  Users, names and limits change: ask again.
        engine.refused(self.endpoint, NotSentError(f'{self.endpoint}: {reason}'))
        when = engine.backend.now() + LASTED
        engine.backend.call_at(when, lambda: self.give_up(peer, reason))

    def give_up(self, peer: Peer, reason: str, error: PseudError | None = None) -> None:
        """End a connection, if it is still the one that there is, and make another."""
        if peer is self.peer:
            self.peer = None
            self.engine.handle(self.engine.core.lost(peer, reason, error))
            if not self.ended:
                self.replace(False)

    def observed(self, event: int, value: int) -> None:
        if event == monitor.UP:
            self.silence.count = 0
            self.connected()
        elif event == monitor.LOST:
            self.drain_some()  # what arrived before counts
            if self.peer is not None:
                self.engine.refused(self.endpoint, None)  # the next may be taken in
                self.lost('the connection was closed')
                if not self.ended:
                    now = self.engine.backend.now()
                    self.replace(now - self.up_since >= LASTED)
        elif event == monitor.FAILED and not self.silence.refuses():
            pass
        else:
            settings = self.engine.settings
            error = monitor.refusal(self.endpoint, settings, event, value)
            self.engine.refused(self.endpoint, error)
            if not self.ended:
                # libzmq tries again at once, or never; but users and keys change
                self.replace(False)
