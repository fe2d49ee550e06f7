"""To end a connection from our side, as far as the protocol can."""

from typing import TYPE_CHECKING

from . import outcomes, wire
from .events import ABORT, FAILED, LOST
from .login import release
from .outbox import enqueue, refresh, unsent

if TYPE_CHECKING:
    from .endpoint import Endpoint
    from .events import Event
    from .peer import Peer

__all__ = ['expel']


def expel(endpoint: 'Endpoint', peer: 'Peer', reason: str) -> 'list[Event]':
    """End a peer's calls, both ways, and tell it that there will be no more.

    It stays among the peers, rejected, until its connection is lost: else it would be
    met anew.  What it sends must not be handed to `receive` any more.

    Returns:
        What that means; among it a LOST event, of which there is another one later.
    """
    if peer.gone:
        return []
    events: list[Event] = [(LOST, peer, reason)]
    waited = unsent(peer)
    for call_id, entry in list(endpoint.pending.items()):
        if entry[2] is peer:
            endpoint.cancel(call_id)  # so that its function is stopped there
            outcome = outcomes.lost_unsent if call_id in waited else outcomes.lost
            events.append((FAILED, entry[0], outcome(entry[3], peer, reason)))
    peer.in_flight = 0
    release(endpoint, peer)
    peer.rejected = reason
    peer.closed = True
    refresh(endpoint, peer, 0.0)  # without the calls that just ended
    if peer.protocol == 2 and (peer.inbound or not peer.lockstep):
        reject = (wire.REJECT, 0, 0, {'reason': reason})
        enqueue(endpoint, peer, reject, len(reason))
    for call in list(peer.inbound.values()):
        text = f'{call.name}() was stopped: {reason}; it may have run'
        endpoint.fail(call, 'pseud.PeerLostError', text)
        events.append((ABORT, call, reason))
    return events
