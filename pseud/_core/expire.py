"""Deadlines: what is due ends, in both directions."""

from collections.abc import Container
from math import inf
from typing import TYPE_CHECKING

from . import outcomes
from .events import ABORT, FAILED, Event
from .outbox import refresh, unsent
from .peer import Peer

if TYPE_CHECKING:
    from .endpoint import Endpoint

__all__ = ['expire']

# A look at every call under way costs about this many seconds for each; the pause after
# it is ten times as long, so that deadlines by the thousand never take the processor.
_SCAN = 1e-6


def expire(endpoint: 'Endpoint', now: float) -> 'list[Event]':
    """End what is due, both ways, and set `due` anew."""
    events: list[Event] = []
    due = inf
    seen = len(endpoint.pending)
    queued: dict[Peer, Container[int]] = {}
    for call_id, entry in list(endpoint.pending.items()):
        deadline = entry[1]
        if deadline is None:
            continue
        if deadline > now:
            due = min(due, deadline)
            continue
        handle, _, peer, name, timeout, _ = entry
        if peer is None:
            where = endpoint.why_waiting()
            error = outcomes.overdue_unconnected(name, timeout, where)
            endpoint.cancel(call_id)
            events.append((FAILED, handle, error))
            continue
        if peer.outbox and peer not in queued:
            queued[peer] = unsent(peer)
        if call_id in queued.get(peer, ()):
            error = outcomes.overdue_unsent(name, timeout, peer)
            del endpoint.pending[call_id]
            peer.in_flight -= 1
        else:
            error = outcomes.overdue(name, timeout, peer)
            endpoint.cancel(call_id)
            peer.overdue = now
        events.append((FAILED, handle, error))
    for peer in queued:
        refresh(endpoint, peer, now)
    for peer in endpoint.peers.values():
        seen += len(peer.inbound)
        for call in list(peer.inbound.values()):
            if call.deadline is None:
                continue
            if call.deadline > now:
                due = min(due, call.deadline)
                continue
            endpoint.forget(call)
            events.append((ABORT, call, 'its deadline has passed'))
    endpoint.due = due if due == inf else max(due, now + seen * _SCAN * 10)
    return events
