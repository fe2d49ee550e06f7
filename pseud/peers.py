"""A connected peer as the program sees it: who is there, and whom to call."""

from typing import TYPE_CHECKING, Any

from ._core.peer import Peer

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ['Origin', 'RemotePeer', 'answers', 'left', 'view_of']

# Characters of what a peer says about its software.
MAX_AGENT = 200


class RemotePeer:
    """One connection of a peer; read-only.

    There is one object for each connection, from the moment the peer is here, so it goes
    as the key of a dict between `Server.on_join` and `Server.on_leave`, and later.
    """

    __slots__ = ('__weakref__', '_engine', '_peer', '_responsive', '_since', '_until')

    def __init__(self, engine: 'Engine', peer: Peer) -> None:
        self._engine = engine
        self._peer = peer
        self._since: float = engine.backend.now()
        self._until: float | None = None
        self._responsive = True

    @property
    def user_id(self) -> str | None:
        """Who it is, as the authentication of its connection knows; None without."""
        return self._peer.user_id

    @property
    def address(self) -> str:
        """Of a client its IP address or ``'this machine'``, of a server its endpoint."""
        peer = self._peer
        return str(peer.key if peer.address is None else peer.address.text)

    @property
    def agent(self) -> str:
        """Software and version, as the peer states it; may be empty, may be a lie."""
        agent = (self._peer.hello or {}).get('agent')
        return agent[:MAX_AGENT] if isinstance(agent, str) else ''

    @property
    def protocol(self) -> int:
        """Of which version the protocol is that it speaks, 2, or 1 as pseud 1.x does.

        By version 1 a call can not be cancelled there, learns no deadline, and takes what
        :doc:`/howto/migrate` says.
        """
        return self._peer.protocol

    @property
    def connected(self) -> bool:
        """Whether it still is."""
        return self._until is None

    @property
    def connected_for(self) -> float:
        """Seconds since it said hello; until it left, if it has."""
        return self._now - self._since

    @property
    def responsive(self) -> bool:
        """Whether it answers when it is asked; not while its event loop hangs.

        Only a heartbeat plugin asks, as ``'presence'`` does; true without.
        """
        return self._responsive

    @property
    def last_seen(self) -> float:
        """Seconds since its last message, of any kind; until it left, if it has.

        Who has nothing to say is silent, unless a heartbeat plugin asks.
        """
        return max(0.0, self._now - self._peer.heard)

    @property
    def _now(self) -> float:
        until = self._until
        return float(self._engine.backend.now() if until is None else until)

    @property
    def in_flight(self) -> int:
        """Calls to it that wait for an answer."""
        return self._peer.in_flight

    def __repr__(self) -> str:
        state = '' if self._responsive else ', unresponsive'
        if not self.connected:
            state = ', gone'
        return f'<peer {self._peer.label}{state}>'


class Origin:
    """Who made a call that proxies passed on: a peer, and the hops from there."""

    __slots__ = ('hops', 'peer')

    def __init__(self, peer: RemotePeer, hops: tuple[bytes, ...]) -> None:
        self.peer = peer
        self.hops = hops

    def __repr__(self) -> str:
        return f'<caller beyond {self.peer!r}>'


def view_of(engine: 'Engine', peer: Peer) -> RemotePeer:
    """What the program sees of a peer of the core: always the same object."""
    view: Any = peer.view
    if view is None:
        view = peer.view = RemotePeer(engine, peer)
    return view  # type: ignore[no-any-return]


def left(view: RemotePeer) -> None:
    """The connection has ended."""
    view._until = view._engine.backend.now()


def answers(view: RemotePeer, whether: bool) -> None:
    """It answers when it is asked, or does no longer."""
    view._responsive = whether
