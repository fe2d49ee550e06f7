"""To throw somebody out: end the calls, say why, and close the connection."""

import logging
from typing import TYPE_CHECKING

from ._core.expel import expel as expel_from_core
from ._core.peer import Peer
from .caller import check_address
from .link import ServerSide
from .peers import RemotePeer

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ['expel', 'expel_peers']

logger = logging.getLogger(__name__)

# Seconds that a peer has to read why, before its connection is shut down.
PARTING = 0.1


def expel(engine: 'Engine', user: str | RemotePeer, reason: str) -> int:
    """End the connections of a user, or one connection.

    Returns:
        How many they were.
    """
    to = check_address(user)
    if engine.guard is None or engine.closed:
        return 0
    engine.guard.check(engine.label)
    peers = [
        peer
        for peer, view in engine.roster.members.items()
        if view is to or peer.user_id == to
    ]
    expel_peers(engine, peers, reason)
    return len(peers)


def expel_peers(engine: 'Engine', peers: list[Peer], reason: str) -> None:
    """End the connections of these peers of the core."""
    for peer in peers:
        logger.info('%s: %s is expelled: %s', engine.label, peer.label, reason)
        engine.handle(expel_from_core(engine.core, peer, reason))
        peer.link.ignore(peer)
    if peers:
        engine.sender.flush_soon()
        backend = engine.backend
        backend.call_at(backend.now() + PARTING, lambda: _shut_down(peers))


def _shut_down(peers: list[Peer]) -> None:
    for peer in peers:
        link: ServerSide = peer.link
        if not (peer.gone or link.ended):
            link.shut_down(peer)
