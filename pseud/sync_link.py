"""One blocking connection to a server: a REQ socket, with a protocol core of its own."""

import os
from math import inf
from time import monotonic
from typing import Any

import zmq
from zmq.backend import zmq_poll

from . import monitor, remote
from ._core import events as ev
from ._core.endpoint import Endpoint
from ._core.events import Event
from ._core.peer import Peer
from .errors import (
    NotSentError,
    PeerLostError,
    PseudError,
    RemoteProtocolError,
    SerializationError,
    TimeoutError,
)
from .packer import PackerV2, unreadable
from .packer_v1 import PackerV1
from .pump import POLLIN, connect, open_socket, read_frames, send_payload
from .settings import Settings

__all__ = ['LONGEST_POLL', 'Failure', 'SyncLink', 'make_packer']

# A signal that comes just before a poll begins does not end it: Ctrl-C is obeyed when it
# is over.  Milliseconds.
LONGEST_POLL = 200

# Seconds that libzmq has to connect again after a loss; it may have given up.
RENEW = 0.1

CLOSED = 'the connection was closed'


class SyncLink:
    """A connection to one endpoint, for one call at a time.

    Args:
        endpoint: ØMQ address.
        settings: of the client.
        auth: its authentication plugin.
        context: for the socket.
        agent: name and version of this software.

    Attributes:
        peer: the server, while connected.
        refusal: why it does not let us in, or None.
    """

    def __init__(
        self, endpoint: str, settings: Settings, auth: Any, context: Any, agent: str
    ) -> None:
        self.endpoint = endpoint
        self.settings = settings
        self.auth = auth
        self.context = context
        self.peer: Peer | None = None
        self.refusal: PseudError | None = None
        self.silence = monitor.Silence(auth.encrypted)
        self.packer = make_packer(settings)
        self.core = Endpoint(
            server=False,
            name=settings.name,
            limits=settings.limits,
            uid_prefix=os.urandom(8),
            lockstep=True,
            credentials=auth.credentials(),
            agent=agent,
        )
        self.core.waits_for = endpoint
        self._open()

    def _open(self) -> None:
        self.renew_at = inf
        self.socket = open_socket(self.context, zmq.REQ, self.settings, self.auth)
        self.socket.linger = 0  # what nobody waits for any more need not arrive
        self.monitor = monitor.watch(self.context, self.socket, monitor.CONNECTING)
        self.monitor_pollin = [(self.monitor, POLLIN)]
        self.pollin = [(self.socket, POLLIN), (self.monitor, POLLIN)]
        try:
            connect(self.socket, self.endpoint)
        except ValueError:
            self.close()
            raise
        if self.endpoint.startswith('inproc:'):  # has no handshake, and no monitor
            self._connected()

    def close(self) -> None:
        """Give up the connection, and whatever was asked over it."""
        self.socket.disable_monitor()
        self.monitor.close(0)
        self.socket.close()

    def observe(self) -> list[Event]:
        """Take note of what has happened to the connection."""
        happened: list[Event] = []
        for event, value in monitor.events(self.monitor, self.monitor_pollin):
            if event == monitor.UP:
                happened += self._lost()
                self._connected()
                self.renew_at = inf
            elif event == monitor.LOST or (event == monitor.PROTOCOL and self.peer):
                # the latter of a connection that is up: what came was not encrypted for us
                happened += self._lost()
                self.renew_at = monotonic() + RENEW
            elif event == monitor.FAILED and not self.silence.refuses():
                pass
            else:
                self.refusal = monitor.refusal(
                    self.endpoint, self.settings, event, value
                )
        if monotonic() >= self.renew_at:
            # after bytes that are none of its protocol, libzmq never tries again
            self.close()
            self._open()
        return happened

    def _connected(self) -> None:
        self.refusal = None
        self.silence.count = 0
        self.peer = Peer(
            self.endpoint,
            self.settings.limits,
            label=self.endpoint,
            protocol=self.settings.protocol,
        )
        self.core.connected(self.peer, monotonic())

    def _lost(self) -> list[Event]:
        peer, self.peer = self.peer, None
        if peer is None:
            return []
        return self.core.lost(peer, CLOSED)

    def call(
        self,
        name: str,
        args: tuple[Any, ...],
        kwargs: Any,
        timeout: float | None,
        deadline: float | None,
    ) -> tuple[bool, Any]:
        """Make a call over a connection that is up.

        Args:
            timeout: as the caller knows it; errors name it.
            deadline: what is left of it may be less, as it took time to connect.

        Returns:
            (whether the link may be used again, the result or the exception).

        Raises:
            PseudError: the call was not made; the link may be used again.
        """
        body, buffers = self.packer.pack_call(args, kwargs)
        peer = self.peer
        assert peer is not None
        now = monotonic()
        left = None if deadline is None else deadline - now
        call_id = self.core.call(peer, name, body, buffers, left, now, self)
        self.core.pending[call_id] = (self, deadline, peer, name, timeout, True)
        if not self._send(peer, now):
            # which of both knows about the loss first ends the call
            events = self.observe() + self.core.lost(peer, CLOSED)
            return False, _outcome(events, self)
        return self._wait(peer, deadline)

    def _send(self, peer: Peer, now: float) -> bool:
        """Send what waits in the core; False if the connection is gone."""
        payload = self.core.take(peer, now)
        try:
            send_payload(self.socket, payload)
        except zmq.Again:
            return False
        self.core.sent(peer)
        return True

    def _wait(self, peer: Peer, deadline: float | None) -> tuple[bool, Any]:
        while True:
            remaining = LONGEST_POLL
            if deadline is not None:
                left = int((deadline - monotonic()) * 1000) + 1
                remaining = max(0, min(remaining, left))
            ready = zmq_poll(self.pollin, remaining)
            if ready and ready[0][0] is self.socket:
                payload = read_frames(self.socket.recv)
                events = self.core.receive(peer, payload, monotonic())
                outcome = self._answer(peer, events)
                # else it was no answer, or there will be none over this connection
                return not self.core.pending and not peer.closed, outcome
            if ready and zmq_poll(self.pollin[:1], 0):
                continue  # the answer came just before the connection went
            events = self.observe() if ready else self.core.expire(monotonic())
            outcome = _outcome(events, self)
            if outcome is not None:
                return False, outcome

    def ping(self, timeout: float, deadline: float) -> float:
        """Ask for a sign of life over a connection that is up; the last thing it does.

        Args:
            timeout: as the caller knows it; errors name it.
            deadline: when there must have been one.

        Returns:
            Seconds that it took.

        Raises:
            TimeoutError: there was none in time.
            PeerLostError: the connection was closed meanwhile.
            UnauthorizedError, NotSentError: the server wants none of us, or takes no calls.
        """
        peer = self.peer
        assert peer is not None
        began = now = monotonic()
        self.core.ping(peer)
        there = self._send(peer, began)
        while there and now < deadline:
            wait = min(LONGEST_POLL, int((deadline - now) * 1000) + 1)
            ready = zmq_poll(self.pollin, wait)
            now = monotonic()
            if ready and ready[0][0] is self.socket:
                payload = read_frames(self.socket.recv)
                self._judge(peer, self.core.receive(peer, payload, now))
                return now - began
            self.observe()
            there = self.peer is peer
        if not there:
            raise self.refusal or PeerLostError(f'{self.endpoint}: {CLOSED}')
        raise TimeoutError(
            f'{self.endpoint} is there, but did not answer within {timeout:g} s: its '
            'event loop is busy or hangs, or it is no pseud server of version 2'
        )

    def _judge(self, peer: Peer, events: list[Event]) -> None:
        """Raise what the answer to a ping says, other than that all is well."""
        for event in events:
            if event[0] == ev.REFUSED and event[3]:
                raise monitor.not_believed(self.endpoint, self.settings, event[2])
        if peer.rejected is not None:
            raise NotSentError(f'{self.endpoint}: {peer.rejected}')
        if peer.away is not None:
            raise NotSentError(f'{self.endpoint} takes no new calls: {peer.away}')
        if all(event[0] != ev.BEAT for event in events):
            raise RemoteProtocolError(
                f'{self.endpoint} sent something that is no answer'
            )

    def _answer(self, peer: Peer, events: list[Event]) -> Any:
        for event in events:
            if event[0] == ev.RESULT:
                _, _, body, buffers, _ = event
                try:
                    return self.packer.unpack(body, buffers)
                except SerializationError as error:
                    return Failure(unreadable(error))
            if event[0] == ev.ERROR:
                _, _, body, _, protocol = event
                return Failure(remote.load(body, self.packer, protocol), peer)
        return _outcome(events, self) or Failure(
            RemoteProtocolError(f'{self.endpoint} sent something that is no answer')
        )


def make_packer(settings: Settings) -> PackerV1 | PackerV2:
    """The packer of the protocol that a client is told to speak."""
    packer = PackerV1 if settings.protocol == 1 else PackerV2
    return packer(settings.translation_table)


class Failure:
    """What a call failed with, told from what it returned.

    Attributes:
        elsewhere: this server takes no calls, and did not take this one: another may.
        refused: nor will it soon.
    """

    __slots__ = ('elsewhere', 'error', 'refused')

    def __init__(self, error: BaseException, peer: Peer | None = None) -> None:
        self.error = error
        self.elsewhere = (
            peer is not None and peer.closed and isinstance(error, NotSentError)
        )
        self.refused = peer is not None and peer.rejected is not None


def _outcome(events: list[Event], handle: Any) -> Failure | None:
    for event in events:
        if event[0] == ev.FAILED and event[1] is handle:
            return Failure(event[2])
    return None
