"""Exceptions across the wire: what a function raised arrives as itself, or as its name.

Only classes on an allow-list are ever raised here: the builtin exceptions and pseud's
own.  A peer can not make us raise SystemExit, nor call anything that is no exception.
"""

import builtins
import os
import traceback
from typing import Any

import msgpack

from . import errors
from ._core import v1, wire
from .packer import PackerV2

__all__ = ['dump', 'load']

# Text of a traceback and of a message, in characters; the end is what matters.
MAX_TRACEBACK = 32 << 10
MAX_MESSAGE = 8 << 10
MAX_NAME = 256

_HERE = os.path.dirname(__file__)

# asyncio and generators give these a meaning of their own
_NEVER = (StopIteration, StopAsyncIteration)

_BUILTIN = {
    name: cls
    for name, cls in vars(builtins).items()
    if isinstance(cls, type)
    and issubclass(cls, Exception)
    and not issubclass(cls, (*_NEVER, BaseExceptionGroup, SyntaxError))
}
_OWN = {
    f'pseud.{name}': cls
    for name, cls in vars(errors).items()
    if isinstance(cls, type)
    and issubclass(cls, errors.PseudError)
    and cls not in (errors.RemoteError, errors.RemoteTraceback)
}
# These say whether *this* call ran.  Raised inside a function they speak of a call that
# the function made, so they must not arrive as themselves.
_FATE = (errors.NotSentError, errors.PeerLostError, errors.TimeoutError)


def type_name(error: BaseException) -> str:
    """The name an exception's class has on the wire."""
    cls = type(error)
    if _BUILTIN.get(cls.__name__) is cls:
        return cls.__name__
    if isinstance(error, errors.RemoteError):
        return error.type_name
    if not isinstance(error, _FATE) and _OWN.get(f'pseud.{cls.__name__}') is cls:
        return f'pseud.{cls.__name__}'
    return f'{cls.__module__}.{cls.__qualname__}'.removeprefix('builtins.')


def dump(error: BaseException, packer: PackerV2, protocol: int, *, show: bool) -> bytes:
    """The body of the ERROR that tells a caller what its function raised.

    Args:
        error: the exception.
        packer: for its arguments.
        protocol: 1 or 2.
        show: whether the caller may see the traceback.
    """
    name = type_name(error)
    message = _text(error)
    trace = _traceback(error) if show else None
    if protocol == 1:
        return v1.encode_error(name, message, trace)
    fields: dict[str, Any] = {'type': name, 'message': message}
    args = _arguments(error)
    # as they are, or with text for those that can not travel, or none
    for attempt in (args, tuple(_argument(arg, packer) for arg in args)):
        try:
            fields['args'] = packer.pack_inline(attempt)
            break
        except errors.SerializationError:
            continue
    if trace is not None:
        fields['traceback'] = trace
    packed: bytes = msgpack.packb(fields, unicode_errors='surrogatepass')
    return packed


def _arguments(error: BaseException) -> tuple[Any, ...]:
    if isinstance(error, OSError) and len(error.args) == 2:
        # it keeps the names of files apart
        if error.filename2 is not None:
            return (*error.args, error.filename, None, error.filename2)
        if error.filename is not None:
            return (*error.args, error.filename)
    return error.args


def _argument(value: Any, packer: PackerV2) -> Any:
    try:
        packer.pack_inline(value)
    except errors.SerializationError:
        return _safely(repr, value)
    return value


def _safely(function: Any, value: Any) -> str:
    try:
        return str(function(value))[:MAX_MESSAGE]
    except Exception as error:
        return (
            f'<{type(value).__name__}, whose text failed with {type(error).__name__}>'
        )


def _text(error: BaseException) -> str:
    return _safely(str, error)


def _traceback(error: BaseException) -> str:
    """The traceback from where the user's code begins."""
    frame = error.__traceback__
    while frame is not None and frame.tb_frame.f_code.co_filename.startswith(_HERE):
        frame = frame.tb_next
    try:
        lines = traceback.format_exception(type(error), error, frame)
    except Exception as failure:
        return f'(no traceback: formatting it failed with {type(failure).__name__})'
    return ''.join(lines)[-MAX_TRACEBACK:]


def load(body: wire.Buffer, packer: PackerV2, protocol: int) -> Exception:
    """The exception to raise for the body of an ERROR; never raises itself."""
    try:
        value = msgpack.unpackb(body, strict_map_key=False, unicode_errors='replace')
        fields = _fields_v1(value) if protocol == 1 else value
        name, message = str(fields['type'])[:MAX_NAME], str(fields.get('message') or '')
        packed, trace = fields.get('args'), fields.get('traceback')
    except Exception as problem:
        return errors.RemoteProtocolError(
            f'the call failed, and the description of the error can not be read: {problem}'
        )
    error = _make(name, message[:MAX_MESSAGE], packed, packer)
    if isinstance(trace, str) and trace:
        error.__cause__ = errors.RemoteTraceback(trace[-MAX_TRACEBACK:])
    return error


def _fields_v1(value: Any) -> dict[str, Any]:
    name, message, trace = value
    if f'pseud.{name}' in _OWN and name not in _BUILTIN:
        name = f'pseud.{name}'
    return {'type': name, 'message': message, 'traceback': trace}


def _make(name: str, message: str, packed: Any, packer: PackerV2) -> Exception:
    args: tuple[Any, ...] = (message,) if message else ()
    if isinstance(packed, bytes):
        try:
            args = tuple(packer.unpack(packed))
        except (errors.SerializationError, TypeError):
            pass
    cls = _BUILTIN.get(name) or _OWN.get(name)
    if cls is not None:
        try:
            return cls(*args)
        except Exception:  # its arguments do not fit: its name still travels
            pass
    return errors.make_remote_error(name, message, args)
