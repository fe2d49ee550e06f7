"""Protocol v2 on the wire: messages to frames, frames to messages.

The payload of an ØMQ message is one *head* frame and any number of *buffer* frames.
The head is a msgpack array of messages, each an array ``[type, id, buffers, body, ...]``:

===========  ====  =================================================================
type         code  fields after the type
===========  ====  =================================================================
CALL         1     id, buffers, body, name, timeout (ms, or nil: none), route (see `route`)
RESULT       2     id, buffers, body
ERROR        3     id, buffers, body (see `error_body`)
CANCEL       4     id
ITEM         5     id, buffers, body
END          6     id, buffers, body
CREDIT       7     id, 0, nil, items
PING / PONG  8, 9  token
HELLO        10    0, 0, map (see docs/reference/protocol)
WELCOME      11    0, 0, map
REJECT       12    0, 0, map
GOAWAY       13    0, 0, map
===========  ====  =================================================================

``buffers`` counts the frames after the head that belong to the message, in order; a
body of nil with ``buffers`` > 0 is the first of them.  Trailing fields may be left out
when they are 0 or nil; fields and types that the reader does not know are ignored.
A head never equals ``b'v1'``: that is what tells the versions apart.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgpack

from ..errors import RemoteProtocolError

__all__ = [
    'CALL',
    'CANCEL',
    'CREDIT',
    'END',
    'ERROR',
    'GOAWAY',
    'HELLO',
    'ITEM',
    'LARGE',
    'PING',
    'PONG',
    'REJECT',
    'RESULT',
    'WELCOME',
    'Buffer',
    'Message',
    'decode',
    'encode',
    'error_body',
]

CALL, RESULT, ERROR, CANCEL, ITEM, END, CREDIT = 1, 2, 3, 4, 5, 6, 7
PING, PONG, HELLO, WELCOME, REJECT, GOAWAY = 8, 9, 10, 11, 12, 13

# A body of this many bytes travels as a frame of its own: from here on a copy costs more
# than a frame does.
LARGE = 64 << 10

# What a head holds at most; ours have a quarter of either (see `outbox.BATCH`).
MAX_HEAD = 1 << 20
MAX_MESSAGES = 16384

Buffer = bytes | bytearray | memoryview
Message = tuple[Any, ...]

_pack: Callable[[Any], bytes] = msgpack.Packer(autoreset=True).pack
# for text with lone surrogates, which file names in errors may hold
_pack_any: Callable[[Any], bytes] = msgpack.Packer(
    autoreset=True, unicode_errors='backslashreplace'
).pack
_unpack = msgpack.unpackb


def encode(messages: Sequence[Message]) -> bytes:
    """The head frame for these messages."""
    try:
        return _pack(messages)
    except UnicodeEncodeError:
        return _pack_any(messages)


def decode(head: Buffer) -> Iterable[Message]:
    """The messages of a head frame.

    Raises:
        RemoteProtocolError: it is not a msgpack array.
    """
    try:
        if len(head) > MAX_HEAD:
            raise ValueError(f'{len(head)} bytes, the limit is {MAX_HEAD}')
        messages = _unpack(head, use_list=False, max_array_len=MAX_MESSAGES)
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        reason = f'{type(error).__name__}: {error}'
        raise RemoteProtocolError(f'head frame is not msgpack ({reason})') from None
    if type(messages) is not tuple:
        raise RemoteProtocolError(
            f'head frame holds {type(messages).__name__}, not an array of messages'
        )
    return messages


def error_body(type_name: str, message: str, traceback: str | None = None) -> bytes:
    """The body of an ERROR that the core or the engine raises by itself.

    Args:
        type_name: ``pseud.<class>`` for pseud's own exceptions.
        message: for people.
        traceback: text, if there is one to show.
    """
    fields = {'type': type_name, 'message': message}
    if traceback is not None:
        fields['traceback'] = traceback
    return _pack_any(fields)
