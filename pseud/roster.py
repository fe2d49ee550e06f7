"""Who is connected to a server, by user id."""

from ._core.peer import Peer

__all__ = ['Roster']


class Roster:
    """The connected peers of each user, the newest last."""

    def __init__(self) -> None:
        self._users: dict[str, list[Peer]] = {}

    def join(self, peer: Peer) -> None:
        """A peer is here; without a user id, or in lockstep, it can not be called."""
        if peer.user_id is not None and not peer.lockstep:
            self._users.setdefault(peer.user_id, []).append(peer)

    def leave(self, peer: Peer) -> None:
        """A peer is gone, if it ever was here."""
        peers = self._users.get(peer.user_id or '', [])
        if peer in peers:
            peers.remove(peer)
            if not peers:
                del self._users[peer.user_id or '']

    def of(self, user_id: str) -> list[Peer]:
        """The connections of a user, the newest last."""
        return self._users.get(user_id, [])
