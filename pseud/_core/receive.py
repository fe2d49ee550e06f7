"""What a peer sent becomes events; whatever it is, nothing else happens to us.

Results and calls come first and inline: they are the traffic.  A message that breaks the
protocol ends the reading of its ØMQ message with a VIOLATION event; what came before it
counts.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import RemoteProtocolError
from . import v1, wire
from .events import (
    ABORT,
    BEAT,
    ERROR,
    FAILED,
    INVOKE,
    RESULT,
    VIOLATION,
)
from .login import hold, hold_v1
from .outbox import OVERHEAD, enqueue, enqueue_body, size_of
from .peer import InboundCall, Peer
from .presence import (
    choose_protocol,
    goaway,
    introduce,
    know,
    on_goaway,
    on_hello,
    on_ping,
    on_pong,
    on_probe,
    on_reject,
    on_welcome,
    short,
)
from .route import read_route
from .wire import Buffer, Message

if TYPE_CHECKING:
    from .endpoint import Endpoint
    from .events import Event

__all__ = ['receive', 'receive_messages']

_BODIES = (bytes, memoryview)  # inline, or a frame of its own
_CALL, _RESULT = wire.CALL, wire.RESULT

# Characters of a function's name; it stands in error messages, too.
MAX_NAME = 1024


def receive(
    endpoint: 'Endpoint', peer: Peer, payload: Sequence[Buffer], now: float
) -> 'list[Event]':
    """Take in one ØMQ message.

    Args:
        peer: who sent it, as the transport knows.
        payload: the frames after the envelope and its delimiter.
        now: the time.

    Returns:
        What it means, in order.  Never raises for anything that a peer can send.
    """
    events: list[Event] = []
    peer.heard = now
    try:
        if not payload:
            on_probe(endpoint, peer, events)
            return events
        head = payload[0]
        if head == v1.VERSION:
            _receive_v1(endpoint, peer, payload, events)
        elif peer.admitted:
            _receive_v2(endpoint, peer, wire.decode(head), payload, now, events)
        else:
            if peer.protocol != 2:
                choose_protocol(peer, 2)
            know(endpoint, peer, events)
            hold(endpoint, peer, wire.decode(head), payload, events)
    except RemoteProtocolError as error:
        events.append((VIOLATION, peer, error))
    return events


def receive_messages(
    endpoint: 'Endpoint',
    peer: Peer,
    messages: Iterable[Message],
    payload: Sequence[Buffer],
    now: float,
) -> 'list[Event]':
    """Take in messages whose head has been decoded; the same otherwise."""
    events: list[Event] = []
    try:
        _receive_v2(endpoint, peer, messages, payload, now, events)
    except RemoteProtocolError as error:
        events.append((VIOLATION, peer, error))
    return events


def _receive_v2(
    endpoint: 'Endpoint',
    peer: Peer,
    messages: Iterable[Message],
    payload: Sequence[Buffer],
    now: float,
    events: 'list[Event]',
) -> None:
    pending = endpoint.pending
    claimed = 1  # frames of the payload that are spoken for
    if peer.protocol != 2:
        choose_protocol(peer, 2)
    for message in messages:
        length = len(message) if type(message) is tuple else 0
        if length == 4 and message[0] == _RESULT:
            _, call_id, count, body = message
            entry = pending.get(call_id) if type(call_id) is int else None
            if (
                entry is not None
                and entry[2] is peer
                and not count
                and type(body) is bytes
            ):
                del pending[call_id]
                peer.in_flight -= 1
                events.append((RESULT, entry[0], body, (), 2))
                continue
        if not length:
            raise RemoteProtocolError(f'a message is {_name(message)}, not an array')
        kind = message[0]
        call_id = message[1] if length > 1 else 0
        count = message[2] if length > 2 else 0
        body = message[3] if length > 3 else None
        buffers: Sequence[Buffer] = ()
        if count:
            if type(count) is not int or not 0 < count <= len(payload) - claimed:
                raise RemoteProtocolError(
                    f'a message claims {short(count)} buffers of '
                    f'{len(payload) - claimed}'
                )
            buffers = payload[claimed : claimed + count]
            claimed += count
            if body is None:
                body, buffers = buffers[0], buffers[1:]
        if kind == _RESULT or kind == wire.ERROR:
            if type(call_id) is not int or type(body) not in _BODIES:
                raise RemoteProtocolError('an answer without call id or body')
            entry = pending.get(call_id)
            if entry is None or entry[2] is not peer:
                endpoint.late += 1
                continue
            del pending[call_id]
            peer.in_flight -= 1
            event = RESULT if kind == _RESULT else ERROR
            events.append((event, entry[0], body, buffers, 2))
        elif kind == _CALL:
            _on_call(endpoint, peer, message, call_id, body, buffers, now, events)
        else:
            handler = _HANDLERS.get(kind) if type(kind) is int else None
            if handler is not None:
                handler(endpoint, peer, call_id, body, events)
            elif type(kind) is not int:
                raise RemoteProtocolError(
                    f'a message type is {_name(kind)}, not an int'
                )


def _name(value: Any) -> str:
    return type(value).__name__


def _on_call(
    endpoint: 'Endpoint',
    peer: Peer,
    message: Message,
    call_id: Any,
    body: Any,
    buffers: Sequence[Buffer],
    now: float,
    events: 'list[Event]',
) -> None:
    name = message[4] if len(message) > 4 else None
    timeout = message[5] if len(message) > 5 else None
    if type(call_id) is not int or type(name) is not str or type(body) not in _BODIES:
        raise RemoteProtocolError('a call without id, name or body')
    if len(name) > MAX_NAME:
        raise RemoteProtocolError(f'a function name of {len(name)} characters')
    if call_id & 1 != endpoint.server:
        raise RemoteProtocolError(f'call id {call_id} is of the wrong side')
    if call_id in peer.inbound:
        raise RemoteProtocolError(f'call id {call_id} is in use already')
    deadline = None
    if timeout is not None:
        if type(timeout) is not int or timeout < 0:
            raise RemoteProtocolError(
                f'a timeout is {short(timeout)}, not milliseconds'
            )
        deadline = now + timeout / 1000
    if not peer.ready:
        introduce(endpoint, peer, events)
    call = endpoint.make_call(peer, call_id, name, body, buffers, deadline)
    if len(message) > 6:
        route = message[6]
        if route != peer.came_by:  # a proxy states the same for calls of one client
            peer.came_by = read_route(route)
        call.route = peer.came_by
    _admit_call(endpoint, peer, call, events)


def _admit_call(
    endpoint: 'Endpoint', peer: Peer, call: InboundCall, events: 'list[Event]'
) -> None:
    """Run it, or say why not."""
    limits = endpoint.limits
    inbound = peer.inbound
    size = size_of(call.body, call.buffers) if call.buffers else len(call.body)
    if (
        (endpoint.draining is None or peer.parting)
        and peer.rejected is None
        and len(inbound) < limits.max_calls_per_peer
        and endpoint.running < limits.max_calls
        and size <= limits.max_message
        and (size < wire.LARGE or _has_place(endpoint, peer, size))
    ):
        if size >= wire.LARGE:
            call.large = size
            peer.large += size
            endpoint.large += size
        inbound[call.id] = call
        endpoint.running += 1
        deadline = call.deadline
        if deadline is not None and deadline < endpoint.due:
            endpoint.due = deadline
        events.append((INVOKE, call))
        return
    if peer.rejected is not None:
        kind, why = 'NotSentError', peer.rejected
    elif endpoint.draining is not None and not peer.parting:
        kind, why = 'NotSentError', f'the peer takes no new calls: {endpoint.draining}'
        if (
            peer.lockstep and not peer.by_device
        ):  # with the answer, the only thing it reads
            enqueue(endpoint, peer, goaway(endpoint), OVERHEAD)
    elif len(peer.inbound) >= limits.max_calls_per_peer:
        kind = 'OverloadedError'
        why = (
            f'{len(peer.inbound)} calls of this caller run or wait there, the limit of '
            'Limits(max_calls_per_peer=...) of the peer'
        )
    elif endpoint.running >= limits.max_calls:
        kind = 'OverloadedError'
        why = (
            f'{endpoint.running} calls run at the peer or wait there, the limit of its '
            'Limits(max_calls=...)'
        )
    elif size > limits.max_message:
        kind = 'MessageTooLargeError'
        why = f'{limits.max_message} bytes are the limit; Limits(max_message=...) raises it'
    else:
        kind = 'OverloadedError'
        why = (
            f'large calls of {peer.large} bytes of this caller, and {endpoint.large} of '
            'all, run or wait there; Limits(max_queue=..., max_queued=...) of the peer '
            'say how many may'
        )
    make = v1.encode_error if call.protocol == 1 else wire.error_body
    _answer(
        endpoint,
        peer,
        wire.ERROR,
        call.id,
        make(f'pseud.{kind}', f'{call.name}() did not run: {why}'),
    )


def _has_place(endpoint: 'Endpoint', peer: Peer, size: int) -> bool:
    """Whether a large call may wait here too; of others there are not too many anyway."""
    limits = endpoint.limits
    return (
        peer.large + size <= limits.max_queue
        and endpoint.large + size <= limits.max_queued
    )


def _answer(
    endpoint: 'Endpoint', peer: Peer, kind: int, call_id: Any, body: bytes
) -> None:
    """Queue an answer that costs its asker nothing, unless he does not read them."""
    if endpoint.has_room(peer):
        enqueue_body(endpoint, peer, kind, call_id, body)


# ---------------------------------------------------------------------- the rare ones


def _on_cancel(
    endpoint: 'Endpoint', peer: Peer, call_id: Any, _: Any, events: 'list[Event]'
) -> None:
    call = peer.inbound.get(call_id) if type(call_id) is int else None
    if call is not None:  # else it has ended: the answer is on its way
        endpoint.forget(call)
        events.append((ABORT, call, 'its caller cancelled it'))


_HANDLERS = {
    wire.CANCEL: _on_cancel,
    wire.PING: on_ping,
    wire.PONG: on_pong,
    wire.HELLO: on_hello,
    wire.WELCOME: on_welcome,
    wire.REJECT: on_reject,
    wire.GOAWAY: on_goaway,
}


# ---------------------------------------------------------------------- protocol v1


def _receive_v1(
    endpoint: 'Endpoint', peer: Peer, payload: Sequence[Buffer], events: 'list[Event]'
) -> None:
    kind, uid, content = v1.decode(payload)
    if peer.protocol != 1:
        choose_protocol(peer, 1)
    peer.probed = False
    if not peer.ready:
        introduce(endpoint, peer, events)
    if not peer.admitted:
        hold_v1(endpoint, peer, kind, uid, content, payload, events)
    elif kind == v1.WORK:
        name, body = content
        if len(name) > MAX_NAME:
            raise RemoteProtocolError(f'a function name of {len(name)} characters')
        if uid in peer.inbound:
            raise RemoteProtocolError('v1 uid is in use already')
        call = endpoint.make_call(peer, uid, name, body, (), None)
        _admit_call(endpoint, peer, call, events)
    elif kind == v1.HEARTBEAT:
        events.append((BEAT, peer))
    elif kind == v1.HELLO:
        # Who the peer is, the transport has established; v1 wants to hear it again.
        _answer(endpoint, peer, wire.WELCOME, uid, b'')
    elif kind != v1.AUTHENTICATED:
        _on_v1_answer(endpoint, peer, kind, uid, content, events)


def _on_v1_answer(
    endpoint: 'Endpoint',
    peer: Peer,
    kind: bytes,
    uid: bytes,
    body: bytes,
    events: 'list[Event]',
) -> None:
    call_id = v1.split_uid(uid, endpoint.uid_prefix)
    entry = None if call_id is None else endpoint.pending.get(call_id)
    if call_id is None or entry is None or entry[2] is not peer:
        endpoint.late += 1
        return
    del endpoint.pending[call_id]
    peer.in_flight -= 1
    if kind == v1.OK:
        events.append((RESULT, entry[0], body, (), 1))
    elif kind == v1.FAILURE:
        events.append((ERROR, entry[0], body, (), 1))
    else:
        events.append((FAILED, entry[0], v1.unauthorized(body)))
