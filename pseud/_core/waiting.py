"""Calls that wait for a connection, and whose call goes over which.

A call that any peer may take is bound to none before it leaves: when the one it was queued
for is lost or takes no calls any more, it waits again, and goes to the next.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import OverloadedError, PseudError
from . import outcomes
from .events import FAILED, Event
from .outbox import size_of, unsent
from .peer import Peer
from .route import Route
from .wire import Buffer

if TYPE_CHECKING:
    from .endpoint import Endpoint

__all__ = ['Waiting', 'choose', 'fail_waiting', 'send_waiting', 'withdraw']

_Call = tuple[str, Buffer, Sequence[Buffer], int, Route | None]

# What a peer that does not answer, or does not read, counts for: as so many calls.
_DOUBT = 1 << 32


class Waiting:
    """The calls that wait for a connection, in the order they were made.

    Attributes:
        calls: {id: (name, body, buffers, size, route)}.
        size: bytes of them.
    """

    __slots__ = ('calls', 'size')

    def __init__(self) -> None:
        self.calls: dict[int, _Call] = {}
        self.size = 0

    def add(
        self,
        call_id: int,
        name: str,
        body: Buffer,
        buffers: Sequence[Buffer],
        size: int,
        route: Route | None,
    ) -> None:
        self.calls[call_id] = (name, body, buffers, size, route)
        self.size += size

    def remove(self, call_id: int) -> None:
        self.size -= self.calls.pop(call_id)[3]

    def has_room(self, endpoint: 'Endpoint', size: int) -> bool:
        """Whether a call of so many bytes may wait, too."""
        limits = endpoint.limits
        return (
            self.size + size <= limits.max_queue
            and len(self.calls) < limits.max_calls_per_peer
        )

    def check(self, endpoint: 'Endpoint', name: str, size: int) -> None:
        """Return if a new call may wait.

        Raises:
            MessageTooLargeError, OverloadedError: it may not.
        """
        if size > endpoint.limits.max_message:
            raise outcomes.too_large(
                name, size, endpoint.limits.max_message, 'the limit here'
            )
        if not self.has_room(endpoint, size):
            raise OverloadedError(
                f'{name}() was not sent: {endpoint.why_waiting()}, and '
                f'{len(self.calls)} calls ({self.size} bytes) wait for a connection, '
                'the limit'
            )


def choose(endpoint: 'Endpoint') -> Peer | None:
    """The connected peer with the fewest calls in flight, by turns; None without one.

    Those that let a call or a ping wait for too long, and were not heard of since, or do
    not read, come last.
    """
    peers = endpoint.peers
    chosen, least = None, 2 * _DOUBT
    for peer in peers.values():
        if not peer.closed:
            load = peer.in_flight
            if peer.overdue > peer.heard or peer.blocked:
                load += _DOUBT
            if load < least:
                chosen, least = peer, load
    if chosen is not None and len(peers) > 1:
        peers[chosen.key] = peers.pop(chosen.key)  # among equals, it is last next time
    return chosen


def send_waiting(endpoint: 'Endpoint', now: float) -> list[Event]:
    """Send the calls that wait, as far as somebody is connected.

    Returns:
        FAILED events, of those that nobody takes.
    """
    events: list[Event] = []
    waiting = endpoint.waiting
    if not waiting.calls:
        return events
    for call_id, (name, body, buffers, size, route) in list(waiting.calls.items()):
        peer = choose(endpoint)
        if peer is None:
            break
        handle, deadline, _, _, timeout, fixed = endpoint.pending[call_id]
        remaining = None if deadline is None else deadline - now
        if remaining is not None and remaining <= 0:
            continue  # `expire` is about to say that it was not sent
        waiting.remove(call_id)
        if not endpoint.takes(peer, size):
            del endpoint.pending[call_id]
            events.append((FAILED, handle, outcomes.refused(peer, name, size)))
            continue
        endpoint.pending[call_id] = (handle, deadline, peer, name, timeout, fixed)
        peer.in_flight += 1
        endpoint.send_call(peer, call_id, name, body, buffers, remaining, route)
    return events


def fail_waiting(endpoint: 'Endpoint', error: PseudError) -> list[Event]:
    """End all calls that wait for a connection: there will be none."""
    events: list[Event] = []
    for call_id, (name, *_) in endpoint.waiting.calls.items():
        handle = endpoint.pending.pop(call_id)[0]
        events.append((FAILED, handle, outcomes.not_sent(name, error)))
    endpoint.waiting = Waiting()
    return events


def withdraw(endpoint: 'Endpoint', peer: Peer) -> None:
    """Let the calls that have not left for this peer wait again, as far as there is room.

    Calls to this very peer stay.
    """
    for call_id, (body, buffers, route) in unsent(peer).items():
        entry = endpoint.pending.get(call_id)
        if entry is None:
            continue
        handle, deadline, _, name, timeout, fixed = entry
        size = size_of(body, buffers)
        if not fixed and endpoint.waiting.has_room(endpoint, size):
            endpoint.pending[call_id] = (handle, deadline, None, name, timeout, False)
            peer.in_flight -= 1
            endpoint.waiting.add(call_id, name, body, buffers, size, route)
