"""What of one exception travels: name, text, arguments, notes and attributes, all bounded.

Its class may be a user's, with bugs or worse: whatever that raises becomes part of the
text, and only Ctrl-C passes.
"""

import os
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from .packer import PackerV2
from .raisable import MAX_NAME, is_registered, may_travel, name_of

__all__ = [
    'MAX_NOTES',
    'MAX_TEXT',
    'MAX_TRACEBACK',
    'class_name',
    'describe',
    'get_field',
    'set_field',
    'text_of',
    'traceback_of',
]

MAX_NOTES = 32
# Characters of a message, of a note, of an argument if they are too large together.
MAX_TEXT = 8 << 10
# Characters of a traceback; the end is what matters.
MAX_TRACEBACK = 32 << 10
# Packed bytes of the arguments, and of the attributes, of one exception.
MAX_PACKED = 64 << 10

_HERE = os.path.dirname(__file__)


def get_field(error: BaseException, field: str, base: type = BaseException) -> Any:
    """A field as Python keeps it, whatever properties the class has."""
    return base.__dict__[field].__get__(error)


def set_field(error: BaseException, field: str, value: Any) -> None:
    """Set a field, even if the class lets nobody set attributes."""
    BaseException.__dict__[field].__set__(error, value)


def describe(error: BaseException, packer: PackerV2) -> dict[str, Any]:
    """The fields that an exception has on the wire by itself."""
    fields: dict[str, Any] = {'type': name_of(error), 'message': text_of(error)}
    optional = {
        'args': _pack_arguments(_arguments(error), packer),
        'notes': _notes(error),
        'attributes': _attributes(error, packer),
    }
    return fields | {field: value for field, value in optional.items() if value}


def _arguments(error: BaseException) -> tuple[Any, ...]:
    args: tuple[Any, ...] = get_field(error, 'args')
    if issubclass(type(error), BaseExceptionGroup):
        return (get_field(error, 'message', BaseExceptionGroup),)
    if issubclass(type(error), OSError) and len(args) == 2:
        # it keeps the names of files apart
        first, second = (
            get_field(error, field, OSError) for field in ('filename', 'filename2')
        )
        if second is not None:
            return (*args, first, None, second)
        if first is not None:
            return (*args, first)
    return args


def _pack_arguments(args: tuple[Any, ...], packer: PackerV2) -> bytes | None:
    """Arguments as they are; with text for those that can not travel; or cut."""
    packed = _pack(args, packer)
    if packed is None:
        args = tuple(
            _safely(repr, arg) if _pack(arg, packer) is None else arg for arg in args
        )
        packed = _pack(args, packer)
    if packed is not None and len(packed) > MAX_PACKED:
        packed = _pack(tuple(_cut_arguments(args, packer)), packer)
    return packed


def _cut_arguments(args: tuple[Any, ...], packer: PackerV2) -> Iterator[Any]:
    room = MAX_PACKED
    for arg in args:
        if isinstance(arg, str) and len(arg) > MAX_TEXT:
            cut: Any = f'{arg[:MAX_TEXT]}… ({len(arg)} characters)'
        elif isinstance(arg, bytes) and len(arg) > MAX_TEXT:
            cut = arg[:MAX_TEXT] + f'… ({len(arg)} bytes)'.encode()
        elif len(_pack(arg, packer) or b'') > MAX_TEXT and not isinstance(arg, str):
            cut = _safely(repr, arg)
        else:
            cut = arg
        room -= len(_pack(cut, packer) or b'')
        if room < 0:
            return
        yield cut


def _attributes(error: BaseException, packer: PackerV2) -> bytes | None:
    """What a registered exception has in its ``__dict__``, as far as it can travel."""
    cls = type(error)
    if not is_registered(cls):
        return None
    room, kept = MAX_PACKED, {}
    for key, value in list(get_field(error, '__dict__').items()):
        packed = _pack({key: value}, packer) if may_travel(cls, key) else None
        if packed is not None and len(packed) <= room:
            room -= len(packed)
            kept[key] = value
    return _pack(kept, packer) if kept else None


def _notes(error: BaseException) -> list[str]:
    try:
        notes = error.__notes__
    except KeyboardInterrupt:
        raise
    except BaseException:  # none, or a property that fails
        return []
    if not isinstance(notes, list | tuple):
        return []
    return [_safely(str, note) for note in notes[:MAX_NOTES]]


def _pack(value: Any, packer: PackerV2) -> bytes | None:
    try:
        return packer.pack_inline(value)
    except KeyboardInterrupt:
        raise
    except BaseException:  # also what the user's own types may raise
        return None


def _safely(function: Callable[[Any], str], value: Any) -> str:
    """Text of a value, cut; whatever its class may raise."""
    try:
        text = str(function(value))
        return text if len(text) <= MAX_TEXT else f'{text[: MAX_TEXT - 1]}…'
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return f'<{class_name(value)}, whose text failed with {class_name(error)}>'


def text_of(error: BaseException) -> str:
    """The message of an exception."""
    return _safely(str, error)


def class_name(value: Any) -> str:
    """The bare name of a value's class, which no class can hide."""
    name: str = type.__dict__['__name__'].__get__(type(value))
    return name[:MAX_NAME]


def traceback_of(error: BaseException) -> str:
    """The traceback from where the user's code begins."""
    try:
        frame = get_field(error, '__traceback__')
        while frame is not None:
            if not frame.tb_frame.f_code.co_filename.startswith(_HERE):
                break
            frame = frame.tb_next
        lines = traceback.format_exception(type(error), error, frame)
        return ''.join(lines)[-MAX_TRACEBACK:]
    except KeyboardInterrupt:
        raise
    except BaseException as failure:
        return f'(no traceback: formatting it failed with {class_name(failure)})'
