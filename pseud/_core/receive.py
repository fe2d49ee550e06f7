"""What a peer sent becomes events; whatever it is, nothing else happens to us.

Results and calls come first and inline: they are the traffic.  A message that breaks the
protocol ends the reading of its ØMQ message with a VIOLATION event; what came before it
counts.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import RemoteProtocolError
from . import v1, wire
from .events import ABORT, AWAY, BEAT, ERROR, FAILED, INVOKE, READY, RESULT, VIOLATION
from .outbox import enqueue, enqueue_body, size_of
from .peer import InboundCall, Peer
from .wire import Buffer, Message

if TYPE_CHECKING:
    from .endpoint import Endpoint
    from .events import Event

__all__ = ['receive']

_BODIES = (bytes, memoryview)  # inline, or a frame of its own
_CALL, _RESULT = wire.CALL, wire.RESULT

# Characters of a function's name; it stands in error messages, too.
MAX_NAME = 1024

# What HELLO and WELCOME state and we keep, and the characters of it.
_STATED = frozenset(('name', 'agent', 'max_message', 'max_calls', 'lockstep'))
MAX_AGENT = 256


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
    try:
        if not payload:  # ROUTERs of pseud 1.x probe with it (ZMQ_PROBE_ROUTER)
            return events
        head = payload[0]
        if head == v1.VERSION:
            _receive_v1(endpoint, peer, payload, events)
        else:
            _receive_v2(endpoint, peer, wire.decode(head), payload, now, events)
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
        _choose_protocol(peer, 2)
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
                    f'a message claims {_short(count)} buffers of '
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
                f'a timeout is {_short(timeout)}, not milliseconds'
            )
        deadline = now + timeout / 1000
    if not peer.ready:
        _introduce(endpoint, peer, events)
    call = endpoint.make_call(peer, call_id, name, body, buffers, deadline)
    _admit_call(endpoint, peer, call, events)


def _admit_call(
    endpoint: 'Endpoint', peer: Peer, call: InboundCall, events: 'list[Event]'
) -> None:
    """Run it, or say why not."""
    limits = endpoint.limits
    inbound = peer.inbound
    if (
        endpoint.draining is None
        and peer.rejected is None
        and len(inbound) < limits.max_calls_per_peer
        and endpoint.running < limits.max_calls
        and (size_of(call.body, call.buffers) if call.buffers else len(call.body))
        <= limits.max_message
    ):
        inbound[call.id] = call
        endpoint.running += 1
        deadline = call.deadline
        if deadline is not None and deadline < endpoint.due:
            endpoint.due = deadline
        events.append((INVOKE, call))
        return
    if peer.rejected is not None:
        kind, why = 'NotSentError', peer.rejected
    elif endpoint.draining is not None:
        kind, why = 'NotSentError', f'the peer takes no new calls: {endpoint.draining}'
    elif len(peer.inbound) >= limits.max_calls_per_peer:
        kind, why = 'OverloadedError', f'{len(peer.inbound)} calls of this caller run'
    elif endpoint.running >= limits.max_calls:
        kind, why = 'OverloadedError', f'{endpoint.running} calls run at the peer'
    else:
        kind = 'MessageTooLargeError'
        why = f'{limits.max_message} bytes are the limit; Limits(max_message=...) raises it'
    make = v1.encode_error if call.protocol == 1 else wire.error_body
    _answer(
        endpoint,
        peer,
        wire.ERROR,
        call.id,
        make(f'pseud.{kind}', f'{call.name}() did not run: {why}'),
    )


def _answer(
    endpoint: 'Endpoint', peer: Peer, kind: int, call_id: Any, body: bytes
) -> None:
    """Queue an answer that costs its asker nothing, unless he does not read them."""
    if endpoint.has_room(peer):
        enqueue_body(endpoint, peer, kind, call_id, body)


def _tell(endpoint: 'Endpoint', peer: Peer, message: Message, size: int) -> None:
    """Queue what a peer asked for, unless it does not read what it asks for."""
    if endpoint.has_room(peer):
        enqueue(endpoint, peer, message, size)


def _choose_protocol(peer: Peer, protocol: int) -> None:
    if peer.ready or peer.outbox:
        raise RemoteProtocolError(
            f'a v{protocol} message from a peer that speaks v{peer.protocol}'
        )
    peer.protocol = protocol


def _introduce(endpoint: 'Endpoint', peer: Peer, events: 'list[Event]') -> None:
    """From its first proper message on, we keep a peer in mind; if there is room."""
    if len(endpoint.peers) >= endpoint.limits.max_peers:
        _make_room(endpoint, events)
    if len(endpoint.peers) >= endpoint.limits.max_peers:
        peer.rejected = f'{len(endpoint.peers)} peers are connected already, the limit'
        peer.closed = True
        return
    endpoint.peers[peer.key] = peer
    peer.ready = True
    if peer.rejected is None:
        events.append((READY, peer))


def _make_room(endpoint: 'Endpoint', events: 'list[Event]') -> None:
    """Forget the first idle peer whose loss nobody would tell; it is met again."""
    for peer in endpoint.peers.values():
        if not (peer.watched or peer.inbound or peer.in_flight or peer.outbox):
            events += endpoint.lost(peer, 'forgotten, to make room for others')
            return


# ---------------------------------------------------------------------- the rare ones


def _on_cancel(
    endpoint: 'Endpoint', peer: Peer, call_id: Any, _: Any, events: 'list[Event]'
) -> None:
    call = peer.inbound.get(call_id) if type(call_id) is int else None
    if call is not None:  # else it has ended: the answer is on its way
        endpoint.forget(call)
        events.append((ABORT, call, 'its caller cancelled it'))


def _on_ping(
    endpoint: 'Endpoint', peer: Peer, token: Any, _: Any, events: 'list[Event]'
) -> None:
    if not peer.blocked and type(token) is int:
        _tell(endpoint, peer, (wire.PONG, token), 0)
    events.append((BEAT, peer))


def _on_pong(
    endpoint: 'Endpoint', peer: Peer, token: Any, _: Any, events: 'list[Event]'
) -> None:
    events.append((BEAT, peer))


def _on_hello(
    endpoint: 'Endpoint', peer: Peer, _: Any, fields: Any, events: 'list[Event]'
) -> None:
    """The peer introduces itself; a client that looks for another service is told."""
    if not endpoint.server:
        raise RemoteProtocolError('HELLO from a server')
    _note_hello(peer, fields)
    wanted = fields.get('name')
    if wanted and wanted != endpoint.name:
        peer.rejected = (
            f'this server is {endpoint.name!r}, the client looks for {_short(wanted)!r}'
        )
        peer.closed = True
    if not peer.ready:
        _introduce(endpoint, peer, events)
    if peer.rejected is not None:
        _tell(endpoint, peer, (wire.REJECT, 0, 0, {'reason': peer.rejected}), 256)
    elif not peer.lockstep:
        _tell(endpoint, peer, (wire.WELCOME, 0, 0, endpoint.hello()), 256)


def _on_welcome(
    endpoint: 'Endpoint', peer: Peer, _: Any, fields: Any, events: 'list[Event]'
) -> None:
    if endpoint.server:
        raise RemoteProtocolError('WELCOME from a client')
    _note_hello(peer, fields)
    events.append((READY, peer))


def _note_hello(peer: Peer, fields: Any) -> None:
    if type(fields) is not dict:
        raise RemoteProtocolError(f'HELLO holds {_name(fields)}, not a map')
    # no more of it than is known: it stays as long as the peer
    peer.hello = {
        name: value[:MAX_AGENT] if type(value) is str else value
        for name, value in fields.items()
        if name in _STATED and type(value) in (str, int, bool)
    }
    if fields.get('lockstep') is True:
        peer.lockstep = peer.closed = True
    size, calls = fields.get('max_message'), fields.get('max_calls')
    if type(size) is int and size > 0:
        peer.max_message = size
    if type(calls) is int and calls > 0:
        peer.max_calls = min(calls, peer.max_calls)  # what it began with is ours


def _on_reject(
    endpoint: 'Endpoint', peer: Peer, _: Any, fields: Any, events: 'list[Event]'
) -> None:
    peer.rejected = _reason(fields)
    peer.closed = True
    events.append((AWAY, peer, peer.rejected))


def _on_goaway(
    endpoint: 'Endpoint', peer: Peer, _: Any, fields: Any, events: 'list[Event]'
) -> None:
    peer.away = _reason(fields)
    peer.closed = True
    events.append((AWAY, peer, peer.away))


def _reason(fields: Any) -> str:
    reason = fields.get('reason') if type(fields) is dict else None
    return _short(reason) if reason else 'no reason given'


def _short(text: Any) -> str:
    """What a peer wrote, safe to show: neither long nor deep."""
    if type(text) is str:
        return text[:200]
    return repr(text) if type(text) in (int, float, bool) else _name(text)


_HANDLERS = {
    wire.CANCEL: _on_cancel,
    wire.PING: _on_ping,
    wire.PONG: _on_pong,
    wire.HELLO: _on_hello,
    wire.WELCOME: _on_welcome,
    wire.REJECT: _on_reject,
    wire.GOAWAY: _on_goaway,
}


# ---------------------------------------------------------------------- protocol v1


def _receive_v1(
    endpoint: 'Endpoint', peer: Peer, payload: Sequence[Buffer], events: 'list[Event]'
) -> None:
    kind, uid, content = v1.decode(payload)
    if peer.protocol != 1:
        _choose_protocol(peer, 1)
    if not peer.ready:
        _introduce(endpoint, peer, events)
    if kind == v1.WORK:
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
