"""To throw somebody out: end the calls, say why, and close the connection.

libzmq has no call that closes one connection of a socket.  So its descriptor is shut
down, which is what a client that dies does to it.
"""

import logging
import os
import socket
from typing import TYPE_CHECKING

from ._core.expel import expel as expel_from_core
from ._core.peer import Peer
from .caller import check_address
from .peers import RemotePeer
from .server_link import ServerLink

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
        link: ServerLink = peer.link
        # behind a device all its clients share a connection; inproc has none;
        # a forked child shares those of its parent
        if peer.watched and not (peer.gone or link.ended or link.forked()):
            try:
                _shut_down_one(link, peer, peer.address.ignored)
            except OSError:  # the peer was faster
                pass


def _shut_down_one(link: ServerLink, peer: Peer, fd: int) -> None:
    copy = os.dup(fd)
    try:
        # Only now: before libzmq closes a descriptor it says so.  If it has not, our
        # copy is of that connection, whoever gets the number next.
        link.note_losses()
        if peer in link.by_fd.get(fd, ()):
            with socket.socket(fileno=os.dup(copy)) as connection:
                connection.shutdown(socket.SHUT_RDWR)
    finally:
        os.close(copy)
