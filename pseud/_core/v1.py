"""Protocol v1 on the wire, as pseud 1.0.1 speaks it, mapped to v2's messages.

The payload is ``[b'v1', uid, type, body]``; one message to an ØMQ message.  Call ids are
the sender's 16-byte uids: those of peers stay bytes, ours carry a counter after a random
prefix.  Bodies differ from v2 in one place only: WORK holds ``(name, args, kwargs)``
where v2's CALL has the name apart; the split happens here, without decoding the rest.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgpack

from ..errors import RemoteProtocolError, UnauthorizedError
from .wire import CALL, ERROR, PING, REJECT, RESULT, WELCOME, Buffer, Message
from .wire import HELLO as _HELLO

__all__ = ['VERSION', 'decode', 'encode', 'encode_error', 'split_uid', 'unauthorized']

VERSION = b'v1'
OK = b'\x01'
HELLO = b'\x02'
WORK = b'\x03'
AUTHENTICATED = b'\x04'
HEARTBEAT = b'\x06'
FAILURE = b'\x10'
UNAUTHORIZED = b'\x11'

_TYPES = (OK, HELLO, WORK, AUTHENTICATED, HEARTBEAT, FAILURE, UNAUTHORIZED)
# pseud's own, by which the caller knows whether his call ran
_FATES = ('NotSentError', 'OverloadedError', 'NotSentTimeoutError', 'PeerLostError')
_ARRAY_OF_3 = b'\x93'
_ARRAY_OF_2 = b'\x92'

# text may hold lone surrogates, as file names in errors do
_pack: Callable[[Any], bytes] = msgpack.Packer(
    autoreset=True, unicode_errors='backslashreplace'
).pack


def decode(payload: Sequence[Buffer]) -> tuple[bytes, bytes, Any]:
    """Take a payload apart.

    Returns:
        (type, uid, content): content is ``(name, body)`` for WORK with the body in v2's
        form, ``(login, password)`` for HELLO, the raw body for everything else.

    Raises:
        RemoteProtocolError: it is no v1 message.
    """
    if len(payload) != 4:
        raise RemoteProtocolError(f'v1 message of {len(payload)} frames, not 4')
    _, uid, kind, body = (bytes(frame) for frame in payload)
    if kind not in _TYPES:
        raise RemoteProtocolError(f'v1 message of unknown type {kind[:8]!r}')
    if len(uid) != 16 and kind != HEARTBEAT:
        raise RemoteProtocolError(f'v1 uid of {len(uid)} bytes, not 16')
    if kind == WORK:
        return kind, uid, _split_work(body)
    if kind == HELLO:
        return kind, uid, _split_hello(body)
    return kind, uid, body


def _split_work(body: bytes) -> tuple[str, bytes]:
    if body[:1] != _ARRAY_OF_3:
        raise RemoteProtocolError('v1 WORK is not an array of name, args and kwargs')
    unpacker = msgpack.Unpacker(max_buffer_size=0)
    unpacker.feed(memoryview(body)[1:])
    try:
        name = unpacker.unpack()
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException):
        raise RemoteProtocolError('v1 WORK has no readable name') from None
    if type(name) is not str:
        raise RemoteProtocolError(f'v1 WORK names a {type(name).__name__}, not a str')
    return name, _ARRAY_OF_2 + body[1 + unpacker.tell() :]


def _split_hello(body: bytes) -> tuple[Any, Any]:
    try:
        login, password = msgpack.unpackb(body, use_list=False)
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException):
        raise RemoteProtocolError('v1 HELLO is not (login, password)') from None
    return login, password


def split_uid(uid: bytes, prefix: bytes) -> int | None:
    """The counter of a uid that we made, or None when it is not one of ours."""
    if not uid.startswith(prefix):
        return None
    return int.from_bytes(uid[8:], 'big')


def encode(message: Message, prefix: bytes) -> list[Buffer] | None:
    """One of v2's messages as a v1 payload; None when v1 has no such message.

    Args:
        message: as it would go to `wire.encode`.
        prefix: the 8 bytes that our own uids begin with.
    """
    kind, call_id, *rest = message
    if kind == CALL:
        _, body, name = rest[:3]
        uid = prefix + call_id.to_bytes(8, 'big')
        return [VERSION, uid, WORK, _ARRAY_OF_3 + _pack(name) + body[1:]]
    if kind == RESULT:
        return [VERSION, call_id, OK, rest[1]]
    if kind == ERROR:
        return [VERSION, call_id, FAILURE, rest[1]]
    if kind == PING:
        return [VERSION, b'', HEARTBEAT, b'']
    if kind == WELCOME:
        return [VERSION, call_id, AUTHENTICATED, b'Welcome']
    if kind == REJECT and type(call_id) is bytes:
        return [VERSION, call_id, UNAUTHORIZED, rest[1]['reason'].encode()]
    if kind == _HELLO and type(call_id) is bytes:
        return [VERSION, call_id, HELLO, _pack(rest[1])]
    return None


def encode_error(type_name: str, message: str, traceback: str | None = None) -> bytes:
    """The body of a v1 ERROR: class name, message, traceback text.

    Args:
        type_name: the dotted name of the class, of which the last part travels; all of it
            where that might pass for an error about the call itself, and where it is one
            of ``builtins``: see `raisable.name_for_v1`.
    """
    name = type_name.rpartition('.')[2]
    module = type_name.partition('.')[0]
    if module == 'builtins' or (
        name in _FATES and type_name not in (name, f'pseud.{name}')
    ):
        name = type_name
    return _pack((name, message, traceback or ''))


def unauthorized(body: bytes) -> UnauthorizedError:
    """What an UNAUTHORIZED message means for its call."""
    return UnauthorizedError(body.decode('utf-8', 'replace')[:200] or 'refused')
