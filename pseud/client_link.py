"""The link of a client: one connection to one endpoint, made again when it is lost."""

import logging
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

import zmq

from . import monitor
from ._core.peer import Peer
from ._core.wire import Buffer
from .link import MAX_PAUSE, ClientSide
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

__all__ = ['ClientLink']

logger = logging.getLogger(__name__)


class ClientLink(SocketLink, ClientSide):
    """A DEALER connected to one endpoint, so that answers and calls keep to it.

    Nothing is sent before the monitor tells of a connection, and after a loss the socket
    is replaced: no call goes out on a later connection than it was made for.
    (ZMQ_IMMEDIATE would see to that, too, but then libzmq 4.3.5 drops answers that had
    arrived and were not read yet.)
    """

    kind = zmq.DEALER
    monitored = monitor.CONNECTING

    def __init__(self, engine: 'Engine', endpoint: str) -> None:
        ClientSide.__init__(self, engine, endpoint)
        # inproc has no handshake, and no monitor
        self.watched = not endpoint.startswith('inproc:')
        self.silence = monitor.Silence(engine.auth.encrypted)
        self.retrying = False  # libzmq is, after a handshake that came to nothing
        SocketLink.__init__(self, engine)

    def open(self) -> None:
        super().open()
        self.transit = Transit()
        if self.engine.settings.protocol == 1:
            # has no HELLO: an empty message lets the server know us, before any call
            self.socket.probe_router = True
        try:
            connect(self.socket, self.endpoint)
        except ValueError:
            self.close_socket()
            raise

    def replace(self, lasted: bool) -> None:
        self.socket.linger = 0
        self.close_socket()
        backend = self.engine.backend
        if pause := self.next_pause(lasted):
            spread = 0.5 + random.random()
            backend.call_at(backend.now() + spread * pause, self.reopen)
        else:
            self.reopen()

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
        if not self.watched:
            self.connected()

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
        if self.transit.frames and self.transit.full():
            return False
        try:
            send(self.socket, b'', MORE)
        except zmq.Again:
            return False
        try:
            send_payload(self.socket, payload, self.transit)
        except (
            zmq.Again
        ):  # the connection ended between two frames, as we shall be told
            pass
        return True

    def observed(self, event: int, value: int) -> None:
        if event == monitor.UP:
            self.silence.count = 0
            self.connected()
        elif event == monitor.LOST or (event == monitor.PROTOCOL and self.peer):
            # the latter of a connection that is up: what came was not encrypted for us
            was_up = self.peer is not None
            self.drain_some()  # what arrived before counts
            self.disconnected()
            if not was_up and not self.retrying and not self.ended:
                # what came was no handshake at all: libzmq never tries again
                self.replace(False)
            self.retrying = False
        elif event == monitor.FAILED and not self.silence.refuses():
            self.retrying = True
        else:
            settings = self.engine.settings
            error = monitor.refusal(self.endpoint, settings, event, value)
            self.engine.refused(self.endpoint, error)
            if not self.ended:
                # libzmq tries again at once, or never; but users and keys change
                self.replace(False)
