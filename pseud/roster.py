"""Who is connected, and who of them can be called by user id."""

import logging
import os
from typing import TYPE_CHECKING

from ._core.peer import Peer
from ._core.route import HOP
from .errors import NotSentError
from .peers import Origin, RemotePeer, left, view_of

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ['Roster']

logger = logging.getLogger(__name__)


class Roster:
    """The connected peers, and those of each user, the newest last.

    Attributes:
        members: {peer of the core: what the program sees of it}, in order of arrival.
        hops: those whose calls were passed on, by what stands for them elsewhere.
    """

    def __init__(self, engine: 'Engine') -> None:
        self.engine = engine
        self.members: dict[Peer, RemotePeer] = {}
        self.hops: dict[bytes, Peer] = {}
        self._users: dict[object, list[Peer]] = {}

    def join(self, peer: Peer) -> None:
        """A peer is here; without a user id, or in lockstep, that is no address."""
        if peer in self.members:
            return
        view = self.members[peer] = view_of(self.engine, peer)
        if peer.user_id is not None and not peer.lockstep:
            self._users.setdefault(peer.user_id, []).append(peer)
        logger.debug('%s: %s is here', self.engine.label, peer.label)
        self.engine.peer_watch.joined(peer)
        self.engine.hooks.tell(self.engine.hooks.on_join, view)

    def leave(self, peer: Peer, reason: str) -> None:
        """A peer is gone, if it ever was here."""
        self.engine.sender.blocked.discard(peer)
        self.hops.pop(peer.hop, None)
        view = self.members.pop(peer, None)
        if view is None:
            return
        peers = self._users.get(peer.user_id, [])
        if peer in peers:
            peers.remove(peer)
            if not peers:
                del self._users[peer.user_id]
        left(view)
        self.engine.peer_watch.left(peer)
        logger.debug('%s: %s is gone: %s', self.engine.label, peer.label, reason)
        self.engine.hooks.left(view, reason)

    def of(self, user_id: object) -> list[Peer]:
        """The connections of a user that can be called, the newest last."""
        return self._users.get(user_id, [])

    def hop(self, peer: Peer) -> bytes:
        """What stands for a peer where its calls are passed on to; nobody guesses it."""
        if not peer.hop:
            uid = self.engine.core.uid_prefix
            peer.hop = uid + os.urandom(HOP - len(uid))
            self.hops[peer.hop] = peer
        return peer.hop

    def find(self, to: str | RemotePeer | Origin, name: str) -> Peer:
        """Whom a call of ``name`` goes to.

        Raises:
            NotSentError: nobody is connected as that user.
        """
        peers = self._users.get(to)
        if peers:
            return peers[-1]
        if isinstance(to, RemotePeer):
            return to._peer
        if isinstance(to, Origin):
            return to.peer._peer
        hint, auth = '', self.engine.auth
        if not auth.identifies:
            hint = (
                f' (security_plugin {auth.name!r} gives clients no user id: '
                "take 'trusted_peer' or 'plain')"
            )
        raise NotSentError(
            f'{name}() was not sent: no client is connected as {to!r}{hint}'
        )
