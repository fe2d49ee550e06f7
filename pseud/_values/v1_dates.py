"""Dates and times of protocol v1: pickles, read and written by hand.

pseud 1.x sends them as pickles, and so must who wants to be understood.  A pickle is a
program, and may call anything.  The one that runs such programs here knows the few steps
of which those of dates and times consist, and no names but those in `_NAMES`: each stands
for a function below, which checks what it is given.  What a pickle says is never looked up
anywhere, and its size, stack and memo are bounded.
"""

import datetime
import struct
import zoneinfo
from collections.abc import Callable
from types import FunctionType
from typing import Any

from .types import NATIVE, UNPACK, exactly

__all__ = ['CODES', 'pack_date', 'read_date']

# The extension types, and what each may hold.
_TZINFO = (datetime.timezone, zoneinfo.ZoneInfo)
_HELD: dict[int, tuple[type, ...]] = {
    123: _TZINFO,
    124: (datetime.timedelta,),
    125: (datetime.datetime,),
    126: (datetime.date,),
}
CODES = {cls: code for code, classes in _HELD.items() for cls in classes}

# Bytes of a pickle, and of one text in it; the longest that are written have some 300.
MAX_PICKLE = 512
MAX_TEXT = 128
# Values on the stack, and in the memo: 18 are the most that Python needs.
MAX_VALUES = 32


# ---------------------------------------------------------------- to bytes


def pack_date(value: Any) -> bytes:
    """A pickle of a value, whose class is one of `CODES`, that any Python 3 reads.

    Raises:
        TypeError: it has a time zone that can not travel.
        ValueError: the name of its time zone is too long.
    """
    return b'\x80\x03' + _WRITE[type(value)](*NATIVE[type(value)][1](value)) + b'.'


def _call(name: bytes, *args: bytes) -> bytes:
    """One to three arguments, as steps, and what is called with them."""
    return b'c%b\n%b%cR' % (name, b''.join(args), 0x84 + len(args))


def _write_datetime(
    year: int, month: int, day: int, hour: int, minute: int, second: int, *more: Any
) -> bytes:
    microsecond, fold, zone = more
    state = struct.pack(
        '>HBBBBBBH',
        year,
        month | fold << 7,
        day,
        hour,
        minute,
        second,
        *divmod(microsecond, 1 << 16),
    )
    args = [] if zone is None else [_WRITE[type(zone)](*NATIVE[type(zone)][1](zone))]
    return _call(b'datetime\ndatetime', b'C\x0a' + state, *args)


def _write_date(year: int, month: int, day: int) -> bytes:
    return _call(b'datetime\ndate', b'C\x04' + struct.pack('>HBB', year, month, day))


def _write_timedelta(*parts: int) -> bytes:
    return _call(
        b'datetime\ntimedelta', *(b'J' + struct.pack('<i', part) for part in parts)
    )


def _write_timezone(offset: datetime.timedelta, *name: str) -> bytes:
    written = _write_timedelta(offset.days, offset.seconds, offset.microseconds)
    return _call(b'datetime\ntimezone', written, *map(_write_text, name))


def _write_zoneinfo(key: str) -> bytes:
    return _call(b'zoneinfo\nZoneInfo', _write_text(key))


def _write_text(text: str) -> bytes:
    data = text.encode('utf-8', 'surrogatepass')
    if len(data) > MAX_TEXT:
        raise ValueError(f'whose time zone has a name of more than {MAX_TEXT} bytes')
    return b'X' + struct.pack('<I', len(data)) + data


_WRITE: dict[type, Callable[..., bytes]] = {
    datetime.datetime: _write_datetime,
    datetime.date: _write_date,
    datetime.timedelta: _write_timedelta,
    datetime.timezone: _write_timezone,
    zoneinfo.ZoneInfo: _write_zoneinfo,
}


# ---------------------------------------------------------------- from bytes


def read_date(code: int, data: bytes) -> Any:
    """The value in an extension of protocol v1.

    Args:
        code: of its type, 123 to 126.

    Raises:
        ValueError: it is none, or not of the very class that belongs there.
    """
    held = _HELD[code]
    try:
        value = _Reader(data).read()
        if type(value) not in held:
            raise ValueError(f'it is a {type(value).__name__}')
    except Exception as error:  # of what is made of any bytes
        names = ' or '.join(f'{cls.__module__}.{cls.__name__}' for cls in held)
        raise ValueError(
            f'extension {code} of protocol v1 holds a pickle, and only that of a {names} '
            f'is read: {error}'
        ) from error
    return value


def _made(cls: type, *fields: Any) -> Any:
    return UNPACK[NATIVE[cls][0].code]([*fields])


def _datetime(state: Any, zone: Any = None) -> Any:
    year, month, *rest, high, low = struct.unpack('>HBBBBBBH', exactly(state, bytes))
    microsecond = high << 16 | low
    return _made(
        datetime.datetime, year, month & 0x7F, *rest, microsecond, month >> 7, zone
    )


def _date(state: Any) -> Any:
    return _made(datetime.date, *struct.unpack('>HBB', exactly(state, bytes)))


def _timedelta(days: Any, seconds: Any, microseconds: Any) -> Any:
    return _made(datetime.timedelta, days, seconds, microseconds)


def _timezone(offset: Any, *name: Any) -> Any:
    return _made(datetime.timezone, offset, *name)


def _zoneinfo(key: Any) -> Any:
    return _made(zoneinfo.ZoneInfo, key)


def _zoneinfo_unpickle(key: Any, from_cache: Any) -> Any:
    return _zoneinfo(key)


def _getattr(value: Any, name: Any) -> Any:
    """Python gets at `ZoneInfo._unpickle` by it; here there is no other attribute."""
    if value is not _zoneinfo or exactly(name, str) != '_unpickle':
        raise ValueError('it asks for an attribute')
    return _zoneinfo_unpickle


def _encode(text: Any, encoding: Any) -> bytes:
    """What bytes are in a pickle of protocol 2."""
    if exactly(encoding, str) != 'latin1':
        raise ValueError('it asks for another encoding than latin1')
    return exactly(text, str).encode('latin1')  # type: ignore[no-any-return]


def _utc() -> Any:
    return datetime.UTC


def _tzoffset(*args: Any) -> Any:
    """Of dateutil; a version of it makes an empty one, and tells it later what it is."""
    if not args:
        return _build_tzoffset
    name, offset = args
    return _timezone(offset) if name is None else _timezone(offset, name)


def _build_tzoffset(first: Any, name: Any, second: Any, offset: Any) -> Any:
    if (exactly(first, str), exactly(second, str)) != ('_name', '_offset'):
        raise ValueError('it is not the tzoffset that is known')
    return _tzoffset(name, offset)


_NAMES: dict[tuple[str, str], Callable[..., Any]] = {
    ('datetime', 'datetime'): _datetime,
    ('datetime', 'date'): _date,
    ('datetime', 'timedelta'): _timedelta,
    ('datetime', 'timezone'): _timezone,
    ('zoneinfo', 'ZoneInfo'): _zoneinfo,
    ('builtins', 'getattr'): _getattr,
    ('__builtin__', 'getattr'): _getattr,
    ('_codecs', 'encode'): _encode,
    ('dateutil.tz.tz', 'tzutc'): _utc,
    ('dateutil.tz.tz', 'tzoffset'): _tzoffset,
    ('pytz', '_UTC'): _utc,
}

_MARK = object()


class _Reader:
    """Takes the steps of one pickle.

    On its stack are text, bytes, numbers and None, flat tuples of these, functions of
    `_NAMES`, and what those return.
    """

    __slots__ = ('at', 'data', 'memo', 'stack')

    def __init__(self, data: bytes) -> None:
        if len(data) > MAX_PICKLE:
            raise ValueError(f'it has more than {MAX_PICKLE} bytes')
        self.data = data
        self.at = 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def read(self) -> Any:
        if self.take(1) != b'\x80' or self.number(1) not in range(2, 6):
            raise ValueError('it is not of protocol 2 to 5')
        while (opcode := self.take(1)) != b'.':
            step = _STEPS.get(opcode)
            if step is None:
                raise ValueError(f'it has the opcode {opcode!r}')
            step(self)
        if self.at != len(self.data):
            raise ValueError('something follows it')
        (value,) = self.stack
        return value

    def take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.data):
            raise ValueError('it is cut short')
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def number(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), 'little', signed=signed)

    def text(self, size: int) -> str:
        if size > MAX_TEXT:
            raise ValueError(f'a text in it has more than {MAX_TEXT} bytes')
        return self.take(size).decode('utf-8', 'surrogatepass')

    def line(self) -> str:
        end = self.data.find(b'\n', self.at)
        if end < 0:
            raise ValueError('it is cut short')
        text = self.text(end - self.at)
        self.at = end + 1
        return text

    def push(self, value: Any) -> None:
        if len(self.stack) >= MAX_VALUES:
            raise ValueError(f'it puts more than {MAX_VALUES} values on the stack')
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack:
            raise ValueError('it takes a value of which there is none')
        return self.stack.pop()

    def remember(self, at: int) -> None:
        if at >= MAX_VALUES:
            raise ValueError(f'it remembers more than {MAX_VALUES} values')
        value = self.pop()
        self.memo[at] = value
        self.push(value)

    def recall(self) -> None:
        at = self.number(1)
        if at not in self.memo:
            raise ValueError('it recalls what it did not remember')
        self.push(self.memo[at])

    def frame(self) -> None:
        if self.number(8) != len(self.data) - self.at:
            raise ValueError('it has another size than it says')

    def collect(self, size: int) -> None:
        parts = [self.pop() for _ in range(size)]
        if tuple in map(type, parts):  # a few could stand for very many
            raise ValueError('it has tuples in tuples')
        self.push(tuple(reversed(parts)))

    def find(self, module: Any, name: Any) -> None:
        found = _NAMES.get((exactly(module, str), exactly(name, str)))
        if found is None:
            raise ValueError(f'it asks for {f"{module}.{name}"!r:.80}')
        self.push(found)

    def find_of_stack(self) -> None:
        name = self.pop()
        self.find(self.pop(), name)

    def call(self) -> None:
        args = exactly(self.pop(), tuple)
        made = exactly(self.pop(), FunctionType)(*args)
        self.push(made)

    def set_items(self) -> None:
        """The items themselves stand for the dict from then on."""
        items = []
        while (part := self.pop()) is not _MARK:
            items.append(part)
        exactly(self.pop(), dict)
        self.stack += reversed(items)
        self.collect(len(items))

    def build(self) -> None:
        """Only dateutil's tzoffset: nothing else is ever told what it is."""
        items = exactly(self.pop(), tuple)
        if self.pop() is not _build_tzoffset:
            raise ValueError('it changes something')
        self.push(_build_tzoffset(*items))


_STEPS: dict[bytes, Callable[[_Reader], None]] = {
    b'\x95': _Reader.frame,
    b'c': lambda reader: reader.find(reader.line(), reader.line()),
    b'\x93': _Reader.find_of_stack,
    b'X': lambda reader: reader.push(reader.text(reader.number(4))),
    b'\x8c': lambda reader: reader.push(reader.text(reader.number(1))),
    b'C': lambda reader: reader.push(reader.take(reader.number(1))),
    b'K': lambda reader: reader.push(reader.number(1)),
    b'M': lambda reader: reader.push(reader.number(2)),
    b'J': lambda reader: reader.push(reader.number(4, signed=True)),
    b'N': lambda reader: reader.push(None),
    b'\x88': lambda reader: reader.push(True),
    b'\x89': lambda reader: reader.push(False),
    b'}': lambda reader: reader.push({}),
    b'(': lambda reader: reader.push(_MARK),
    b')': lambda reader: reader.collect(0),
    b'\x85': lambda reader: reader.collect(1),
    b'\x86': lambda reader: reader.collect(2),
    b'\x87': lambda reader: reader.collect(3),
    b'\x94': lambda reader: reader.remember(len(reader.memo)),
    b'q': lambda reader: reader.remember(reader.number(1)),
    b'h': _Reader.recall,
    b'R': _Reader.call,
    b'\x81': _Reader.call,  # of a class, which is no other thing here
    b'u': _Reader.set_items,
    b'b': _Reader.build,
}
