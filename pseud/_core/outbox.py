"""What waits to be sent to one peer, and how it becomes ØMQ messages.

Everything queued during one turn of the loop leaves as one ØMQ message; large bodies
and buffers as frames of their own, uncopied.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from . import v1, wire
from .route import Route
from .wire import Buffer, Message

if TYPE_CHECKING:
    from .endpoint import Endpoint
    from .peer import Peer

__all__ = [
    'BATCH',
    'BATCH_COUNT',
    'OVERHEAD',
    'clear',
    'enqueue',
    'enqueue_body',
    'has_room',
    'has_room_for',
    'refresh',
    'sent',
    'size_of',
    'take',
    'unsent',
]

# One ØMQ message carries about this many bytes of small messages at most, so that the
# first of a long queue arrive while the last are being packed.
BATCH = 256 << 10

# And about this many of them: while one side works on a batch the other makes the next,
# or both would wait for each other in turn.
BATCH_COUNT = 64

# What a message weighs beside its body, in bytes: it bounds queues of empty ones too.
OVERHEAD = 64


def size_of(body: Buffer, buffers: Sequence[Buffer]) -> int:
    """Bytes of a body and its buffers."""
    size = len(body)
    for buffer in buffers:
        size += buffer.nbytes if type(buffer) is memoryview else len(buffer)
    return size


def enqueue(endpoint: 'Endpoint', peer: 'Peer', message: Message, size: int) -> None:
    """Queue a message without buffers; ``size`` is that of its body in bytes."""
    outbox = peer.outbox
    outbox.append(message)
    peer.queued += size + OVERHEAD
    if peer.blocked:
        endpoint.stuck += size + OVERHEAD
    if len(outbox) >= BATCH_COUNT:
        endpoint.full = True
    if not peer.dirty:
        peer.dirty = True
        endpoint.dirty.append(peer)


def enqueue_body(
    endpoint: 'Endpoint',
    peer: 'Peer',
    kind: int,
    call_id: Any,
    body: Buffer,
    buffers: Sequence[Buffer] = (),
    rest: tuple[Any, ...] = (),
) -> None:
    """Queue a message with a body of any size and buffers."""
    size = size_of(body, buffers)
    if kind == wire.CALL:
        size += len(rest[0]) + (rest[2].size if len(rest) > 2 else 0)
    if peer.protocol == 2:
        if len(body) >= wire.LARGE:
            peer.outbox_buffers.append(body)
            message = (kind, call_id, 1 + len(buffers), None, *rest)
        else:
            message = (kind, call_id, len(buffers), body, *rest)
        peer.outbox_buffers.extend(buffers)
    else:
        message = (kind, call_id, 0, body, *rest)
    enqueue(endpoint, peer, message, size)
    if peer.queued > BATCH:  # it need not wait, and others may have no room beside it
        endpoint.full = True


def has_room_for(endpoint: 'Endpoint', peer: 'Peer', size: int) -> bool:
    """Whether so many bytes may be queued for a peer.

    What a peer makes wait that reads is gone by the end of the turn; those that do not
    read share a bound.
    """
    limits = endpoint.limits
    if peer.queued + size > limits.max_queue:
        return False
    return not peer.blocked or (
        endpoint.stuck + size <= limits.max_queued
        and len(peer.outbox) < 4 * limits.max_calls_per_peer
    )


def has_room(endpoint: 'Endpoint', peer: 'Peer') -> bool:
    """Whether small answers may be queued: else a peer asks and does not read."""
    return (
        has_room_for(endpoint, peer, OVERHEAD)
        and len(peer.outbox) < 4 * endpoint.limits.max_calls_per_peer
    )


def _block(endpoint: 'Endpoint', peer: 'Peer') -> None:
    peer.blocked = True
    endpoint.stuck += peer.queued


def _unblock(endpoint: 'Endpoint', peer: 'Peer') -> None:
    if peer.blocked:
        peer.blocked = False
        endpoint.stuck -= peer.queued


def clear(endpoint: 'Endpoint', peer: 'Peer') -> None:
    """Forget all that waits for a peer."""
    _unblock(endpoint, peer)
    peer.outbox.clear()
    peer.outbox_buffers.clear()
    peer.queued = 0


def transmit(
    endpoint: 'Endpoint', peer: 'Peer', now: float, send: Callable[..., bool]
) -> bool:
    """Send everything that waits for a peer.

    A peer that is blocked is tried again and again, however much waits for it: what is
    sent is made only once there is room.

    Args:
        now: the time; only looked at if the peer is blocked.
        send: ``send(peer, frames)`` sends one ØMQ message, or says False: no room.

    Returns:
        Whether there was room for all of it; else the peer is blocked.
    """
    outbox = peer.outbox
    if peer.blocked and peer.stale:
        refresh(endpoint, peer, now)
    if peer.blocked and outbox:
        if not send(peer, _Later(lambda: take(endpoint, peer, now) or _nothing(peer))):
            return False
        sent(endpoint, peer)
    if not peer.blocked and peer.queued <= BATCH and peer.protocol == 2:
        if outbox:
            if not send(peer, [wire.encode(outbox), *peer.outbox_buffers]):
                _block(endpoint, peer)
                return False
            outbox.clear()
            peer.outbox_buffers.clear()
            peer.queued = 0
        return True
    while payload := take(endpoint, peer, now):
        if not send(peer, payload):
            _block(endpoint, peer)
            return False
        sent(endpoint, peer)
    return True


class _Later(Sequence[Buffer]):
    """Frames that are made when somebody looks at them."""

    __slots__ = ('_frames', '_make')

    def __init__(self, make: Callable[[], list[Buffer]]) -> None:
        self._make = make
        self._frames: list[Buffer] = []

    def _made(self) -> list[Buffer]:
        if not self._frames:
            self._frames = self._make()
        return self._frames

    def __len__(self) -> int:
        return len(self._made())

    def __getitem__(self, at: Any) -> Any:
        return self._made()[at]


def _nothing(peer: 'Peer') -> list[Buffer]:
    """A message that says nothing, in the place of one that need not be sent any more."""
    if peer.protocol == 1:
        return [v1.VERSION, b'', v1.HEARTBEAT, b'']
    return [wire.encode([])]


def take(endpoint: 'Endpoint', peer: 'Peer', now: float) -> list[Buffer]:
    """The payload of the next ØMQ message to ``peer``; `sent` says that it has left.

    Returns:
        Its frames; none when nothing is left to send.
    """
    if peer.blocked:
        refresh(endpoint, peer, now)
    outbox = peer.outbox
    if not outbox:
        _unblock(endpoint, peer)  # nothing left to try with: what comes next is tried
        return []
    if peer.protocol == 1:
        return _take_v1(endpoint, peer)
    if peer.queued <= BATCH or endpoint.lockstep:  # a REQ socket sends one message
        peer.taken = (len(outbox), len(peer.outbox_buffers))
        return [wire.encode(outbox), *peer.outbox_buffers]
    size = buffers = count = 0
    for message in outbox:
        own = message[2] if len(message) > 2 else 0
        size += _weight(message)
        size += size_of(b'', peer.outbox_buffers[buffers : buffers + own])
        if size > BATCH and count:
            break
        buffers += own
        count += 1
    peer.taken = (count, buffers)
    return [wire.encode(outbox[:count]), *peer.outbox_buffers[:buffers]]


def _take_v1(endpoint: 'Endpoint', peer: 'Peer') -> list[Buffer]:
    while peer.outbox:
        payload = v1.encode(peer.outbox[0], endpoint.uid_prefix)
        if payload is not None:
            peer.taken = (1, 0)
            return payload
        del peer.outbox[0]  # v1 has no such message
    clear(endpoint, peer)
    return []


def sent(endpoint: 'Endpoint', peer: 'Peer') -> bool:
    """What `take` gave has left; returns whether there is more."""
    _unblock(endpoint, peer)
    messages, buffers = peer.taken
    peer.taken = (0, 0)
    if messages == len(peer.outbox):
        clear(endpoint, peer)
        return False
    del peer.outbox[:messages]
    del peer.outbox_buffers[:buffers]
    _weigh(endpoint, peer)
    return True


def _weight(message: Message) -> int:
    body = message[3] if len(message) > 3 else None
    weight = OVERHEAD + (len(body) if body is not None else 0)
    if message[0] == wire.CALL:
        weight += len(message[4]) + (message[6].size if len(message) > 6 else 0)
    return weight


def _weigh(endpoint: 'Endpoint', peer: 'Peer') -> None:
    before = peer.queued
    peer.queued = sum(map(_weight, peer.outbox)) + size_of(b'', peer.outbox_buffers)
    if peer.blocked:
        endpoint.stuck += peer.queued - before


def unsent(peer: 'Peer') -> dict[int, tuple[Buffer, Sequence[Buffer], Route | None]]:
    """The calls that have not left: {id: (body, buffers, route)}."""
    calls: dict[int, tuple[Buffer, Sequence[Buffer], Route | None]] = {}
    at = 0
    for message in peer.outbox:
        count = message[2] if len(message) > 2 else 0
        if message[0] == wire.CALL:
            body, buffers = message[3], peer.outbox_buffers[at : at + count]
            if body is None:  # it is a frame of its own
                body, buffers = buffers[0], buffers[1:]
            route = message[6] if len(message) > 6 else None
            calls[message[1]] = (body, buffers, route)
        at += count
    return calls


def refresh(endpoint: 'Endpoint', peer: 'Peer', now: float) -> None:
    """Drop the calls that ended or moved meanwhile; tell the others' remaining time."""
    peer.stale = False
    dropped: set[int] = set()
    kept: list[Message] = []
    buffers: list[Buffer] = []
    at = 0
    for message in peer.outbox:
        count = message[2] if len(message) > 2 else 0
        if message[0] == wire.CALL:
            entry = endpoint.pending.get(message[1])
            if entry is None or entry[2] is not peer:
                dropped.add(message[1])
                at += count
                continue
            if entry[1] is not None and message[5] is not None:
                remaining = max(0, int((entry[1] - now) * 1000)) + 1
                message = (*message[:5], remaining, *message[6:])
        elif message[0] == wire.CANCEL and message[1] in dropped:
            continue
        kept.append(message)
        buffers += peer.outbox_buffers[at : at + count]
        at += count
    peer.outbox[:] = kept
    peer.outbox_buffers[:] = buffers
    _weigh(endpoint, peer)
