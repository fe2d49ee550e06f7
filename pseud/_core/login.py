"""Peers that have to log in over a connection that is up, before anything else.

A server that challenges keeps such a peer waiting: its HELLO must state a user id and a
password, what follows is held until somebody has decided, by `admit` or `refuse`.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import RemoteProtocolError
from . import v1, wire
from .events import LOGIN, READY
from .outbox import enqueue, enqueue_body
from .peer import Peer
from .wire import Buffer, Message

if TYPE_CHECKING:
    from .endpoint import Endpoint
    from .events import Event

__all__ = ['Login', 'admit', 'hold', 'hold_v1', 'refuse', 'release']

MAX_CREDENTIAL = 1024  # characters of a user id or a password
MAX_HELD = 16  # ØMQ messages that wait for the decision; of v1, as many as may run
MAX_LOGINS = 3  # of one connection


class Login:
    """What a peer states about itself; the password stays out of the repr."""

    __slots__ = ('password', 'user_id')

    def __init__(self, user_id: str, password: str) -> None:
        self.user_id = user_id
        self.password = password

    def __repr__(self) -> str:
        return f'<Login of {self.user_id!r}>'


NEEDED = 'it has to log in first, with a user id and a password'


def hold(
    endpoint: 'Endpoint',
    peer: Peer,
    messages: Iterable[Message],
    payload: Sequence[Buffer],
    events: 'list[Event]',
) -> None:
    """Take in what a peer sends that has not logged in."""
    peer.closed = True  # a server calls nobody whom it does not know
    messages = tuple(messages)
    if not peer.ready:  # there is no room for it
        for message in messages:
            _refuse_call(endpoint, peer, message, str(peer.rejected), 'NotSentError')
        return
    claimed = 1  # frames of the payload that are spoken for
    for place, message in enumerate(messages):
        if peer.logging_in:
            left = [payload[0], *payload[claimed:]]
            _keep(endpoint, peer, messages[place:], left)
            return
        kind = message[0] if type(message) is tuple and message else None
        if kind == wire.HELLO and len(message) > 3 and type(message[3]) is dict:
            peer.hello = fields = dict(message[3])
            peer.lockstep = fields.get('lockstep') is True
            login = fields.pop('user_id', None), fields.pop('password', None)
            _begin(endpoint, peer, login, events)
        elif kind == wire.CALL:
            _refuse_call(endpoint, peer, message, NEEDED)
        if kind is not None and len(message) > 2 and type(message[2]) is int:
            claimed += max(0, message[2])


def hold_v1(
    endpoint: 'Endpoint',
    peer: Peer,
    kind: bytes,
    uid: bytes,
    content: Any,
    payload: Sequence[Buffer],
    events: 'list[Event]',
) -> None:
    """The same by protocol v1: UNAUTHORIZED challenges, HELLO answers."""
    peer.closed = True
    if kind not in (v1.HELLO, v1.WORK):
        return
    if not peer.ready:  # there is no room for it
        _reject(endpoint, peer, uid, str(peer.rejected))
    elif peer.logging_in:
        _keep(endpoint, peer, None, payload)
    elif kind == v1.HELLO:
        peer.hello = {'uid': uid}
        login = tuple(
            part.decode('utf-8', 'replace') if type(part) is bytes else part
            for part in content
        )
        _begin(endpoint, peer, login, events)
    else:
        _reject(endpoint, peer, uid, NEEDED)


def _begin(
    endpoint: 'Endpoint', peer: Peer, login: tuple[Any, ...], events: 'list[Event]'
) -> None:
    user_id, password = login
    for part in login:
        if type(part) is not str or len(part) > MAX_CREDENTIAL:
            refuse(endpoint, peer, NEEDED)
            return
    peer.logins += 1
    if peer.logins > MAX_LOGINS:
        raise RemoteProtocolError('one login too many')
    peer.logging_in = True
    peer.rejected = None
    events.append((LOGIN, peer, Login(user_id, password)))


def _keep(endpoint: 'Endpoint', peer: Peer, messages: Any, payload: Any) -> None:
    size = sum(map(len, payload))
    most = MAX_HELD if messages is not None else endpoint.limits.max_calls_per_peer
    limits = endpoint.limits
    if (
        len(peer.held) >= most
        or peer.held_bytes + size > limits.max_message
        or endpoint.held_bytes + size > limits.max_queue
    ):
        raise RemoteProtocolError('it does not wait until it has logged in')
    peer.held_bytes += size
    endpoint.held_bytes += size
    peer.held.append((messages, payload))


def release(endpoint: 'Endpoint', peer: Peer) -> list[tuple[Any, Any]]:
    """Hold nothing of a peer any longer; returns what was held."""
    endpoint.held_bytes -= peer.held_bytes
    held, peer.held, peer.held_bytes = peer.held, [], 0
    return held


def admit(endpoint: 'Endpoint', peer: Peer, user_id: str, now: float) -> 'list[Event]':
    """The peer is this user: take in what was held.

    Returns:
        What it means.
    """
    if peer.gone or peer.admitted or peer.rejected is not None:  # it was expelled
        return []
    held = release(endpoint, peer)
    peer.admitted, peer.logging_in = True, False
    peer.closed = False
    peer.user_id = user_id
    events: list[Event] = []
    if peer.protocol == 1:
        enqueue(endpoint, peer, (wire.WELCOME, _uid(peer), 0, None), 256)
    else:
        hello = (wire.HELLO, 0, 0, peer.hello)
        events += endpoint.receive_messages(peer, [hello], (b'',), now)
    if peer.rejected is None:
        events.append((READY, peer))
    for messages, payload in held:
        if messages is None:
            events += endpoint.receive(peer, payload, now)
        else:
            events += endpoint.receive_messages(peer, messages, payload, now)
    return events


def _uid(peer: Peer) -> bytes:
    """Of the HELLO by protocol v1 that is to be answered."""
    uid = peer.hello and peer.hello.get('uid')
    return uid if type(uid) is bytes else b''


def refuse(endpoint: 'Endpoint', peer: Peer, reason: str) -> None:
    """The peer is not who it says: tell it, and answer the calls that were held."""
    held = release(endpoint, peer)
    peer.logging_in = False
    if peer.gone:
        return
    peer.rejected = reason
    for messages, payload in held:
        if messages is None:
            _reject(endpoint, peer, bytes(payload[1]), reason)
        else:
            for message in messages:
                _refuse_call(endpoint, peer, message, reason)
    if peer.protocol == 1:
        _reject(endpoint, peer, _uid(peer), reason)
    elif endpoint.has_room(peer):
        fields = {'reason': reason, 'unauthorized': True}
        enqueue(endpoint, peer, (wire.REJECT, 0, 0, fields), 256)


def _refuse_call(
    endpoint: 'Endpoint',
    peer: Peer,
    message: Any,
    reason: str,
    error: str = 'UnauthorizedError',
) -> None:
    if type(message) is tuple and len(message) > 1 and message[0] == wire.CALL:
        call_id = message[1]
        if type(call_id) is int and endpoint.has_room(peer):
            body = wire.error_body(f'pseud.{error}', reason)
            enqueue_body(endpoint, peer, wire.ERROR, call_id, body)


def _reject(endpoint: 'Endpoint', peer: Peer, uid: bytes, reason: str) -> None:
    if endpoint.has_room(peer):
        enqueue(endpoint, peer, (wire.REJECT, uid, 0, {'reason': reason}), 256)
