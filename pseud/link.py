"""What the engine asks of its links, and what those of all clients have in common.

A link carries the messages of one endpoint, and says who comes and goes.  Those of a
running program are sockets (see `pump`); `pseud.testing` has others, in memory.
"""

import abc
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import monitor
from ._core import events
from ._core.peer import Peer
from ._core.wire import Buffer
from .errors import NotSentError, PseudError

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ['ClientSide', 'Link', 'ServerSide']

# A connection that ended within so many seconds is made anew after a pause.
LASTED = 1.0
PAUSE, MAX_PAUSE = 0.1, 5.0


class Link(abc.ABC):
    """What messages leave and arrive by.

    Attributes:
        engine: whose it is.
        ended: it was closed for good.
        exposed: other machines may reach it, or see what is sent; it depends on the
            endpoint.
    """

    engine: 'Engine'
    ended = False
    exposed = True

    @abc.abstractmethod
    def start(self) -> None:
        """The engine has its backend: begin to read."""

    @abc.abstractmethod
    def close(self) -> None:
        """Stop reading; what was sent has the engine's linger time to leave."""

    @abc.abstractmethod
    def send(self, peer: Peer, payload: Sequence[Buffer]) -> bool:
        """Send a message to a peer; False when its pipe is full (or not there yet)."""

    @abc.abstractmethod
    def drain_some(self) -> None:
        """Take in what has arrived and was not read yet, as far as that ends."""

    @abc.abstractmethod
    def look_again(self) -> None:
        """Messages have been sent, outside of reading."""

    @abc.abstractmethod
    def give_up(self, peer: Peer, reason: str) -> None:
        """End the connection of a peer that is not heard of any more."""


class ServerSide(Link):
    """A server's only link: all its clients are there."""

    @abc.abstractmethod
    def bind(self, endpoint: str) -> str:
        """Listen; returns the endpoint with the port that was chosen.

        Raises:
            OSError: it can not be.
        """

    @abc.abstractmethod
    def connect(self, endpoint: str) -> None:
        """Serve the clients of a device there.

        Raises:
            ValueError: it is no address.
        """

    @abc.abstractmethod
    def disconnect(self, endpoint: str) -> None:
        """Undo `connect`.

        Raises:
            ValueError: it is not connected there.
        """

    @abc.abstractmethod
    def ignore(self, peer: Peer) -> None:
        """Drop what comes from now on by the connection of an expelled peer."""

    @abc.abstractmethod
    def shut_down(self, peer: Peer) -> None:
        """Close the connection of an expelled peer, if that can be."""


class ClientSide(Link):
    """A client's link to one endpoint; its connection is made anew when it is lost.

    Attributes:
        endpoint: where to.
        watched: the loss of a connection is told.
        peer: the server there, while there is a connection.
        up_since: when that was made.
    """

    watched = True

    def __init__(self, engine: 'Engine', endpoint: str) -> None:
        self.engine = engine
        self.endpoint = endpoint
        self.peer: Peer | None = None
        self.up_since = 0.0
        self.pause = 0.0

    @abc.abstractmethod
    def replace(self, lasted: bool) -> None:
        """Get rid of a connection that is gone, and make another.

        Args:
            lasted: the connection had been up for a while: at once.  Else after a pause
                that doubles: a server that refuses, or takes in and throws out, must not
                be stormed.
        """

    def next_pause(self, lasted: bool) -> float:
        """Seconds until a connection is made anew."""
        self.pause = 0.0 if lasted else min(max(2 * self.pause, PAUSE), MAX_PAUSE)
        return self.pause

    def connected(self) -> None:
        """The connection is up."""
        if self.peer is not None:
            self.lost('it connected anew')
        engine = self.engine
        self.peer = Peer(
            self.endpoint,
            engine.settings.limits,
            label=self.endpoint,
            link=self,
            protocol=engine.settings.protocol,
            watched=self.watched,
        )
        self.up_since = engine.backend.now()
        engine.refused(self.endpoint, None)
        engine.handle(engine.core.connected(self.peer, self.up_since))
        if self.peer.protocol == 1:  # has no WELCOME
            engine.handle([(events.READY, self.peer)])

    def disconnected(self) -> None:
        """The connection has ended, and not by us."""
        if self.peer is not None:
            self.engine.refused(self.endpoint, None)  # the next may be taken in
            self.lost('the connection was closed')
            if not self.ended:
                self.replace(self.engine.backend.now() - self.up_since >= LASTED)

    def lost(self, reason: str) -> None:
        """End the calls of the connection."""
        peer, self.peer = self.peer, None
        if peer is not None:
            self.engine.handle(self.engine.core.lost(peer, reason))

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
