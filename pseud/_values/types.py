"""The native types that msgpack lacks: each a *mark* and plain fields, and back.

A value of such a type travels as an array whose first element is its mark, an extension
without data whose code says the type; the other elements are its fields, which may be
values of any kind.  So nothing is packed inside of something packed, however deep values
nest.  What arrives may be anything: the functions here raise for fields that do not fit.
"""

import collections
import datetime
import decimal
import fractions
import functools
import ipaddress
import os
import pathlib
import uuid
import zoneinfo
from collections.abc import Callable, Iterable
from typing import Any

import msgpack

from .hashes import check_hashes

__all__ = [
    'BASES',
    'NATIVE',
    'TUPLE',
    'UNPACK',
    'exactly',
    'mark',
]

Fields = list[Any]


def mark(code: int) -> Any:
    """The first element of a value of the type with this code."""
    return msgpack.ExtType(code, b'')


TUPLE = mark(64)

# Bits of the parts of a Fraction, which is reduced, and of a range, which is divided by its
# step to know its length: that takes time that grows with their square.
MAX_PART = 1 << 15
# Bits of an int, and of what is calculated with as soon as it is made.
MAX_INT = 1 << 20


# ---------------------------------------------------------------- containers


def _set(fields: Fields) -> set[Any]:
    check_hashes(fields, of_set=True)
    return set(fields)


def _frozenset(fields: Fields) -> frozenset[Any]:
    check_hashes(fields, of_set=True)
    return frozenset(fields)


def _ordered(fields: Fields) -> Any:
    (items,) = fields
    return collections.OrderedDict(exactly(items, dict))


def _counter(fields: Fields) -> Any:
    (items,) = fields
    return collections.Counter(exactly(items, dict))


def _deque(fields: Fields) -> Any:
    items, maxlen = fields
    return collections.deque(exactly(items, list), maxlen)


def exactly(value: Any, kind: type) -> Any:
    """The value, if it is of this very type.

    Raises:
        TypeError: it is not.
    """
    if type(value) is not kind:
        raise TypeError(f'a {type(value).__name__} where {kind.__name__} belongs')
    return value


# ---------------------------------------------------------------- dates and times


def _pack_zone(zone: datetime.tzinfo | None, offset: Callable[[], Any]) -> Any:
    """A time zone: itself if it can travel, else what it means at that moment."""
    if zone is None or type(zone) is datetime.timezone:
        return zone
    if type(zone) is zoneinfo.ZoneInfo and zone.key is not None:
        return zone
    now = offset()
    if now is None:
        raise TypeError(f'its tzinfo {zone!r:.80} can not travel and has no offset')
    return datetime.timezone(now)


def _pack_datetime(value: datetime.datetime) -> Fields:
    return [value.year, value.month, value.day, *_pack_time(value)]


def _datetime(fields: Fields) -> datetime.datetime:
    year, month, day, hour, minute, second, microsecond, fold, zone = fields
    return datetime.datetime(
        year, month, day, hour, minute, second, microsecond, zone, fold=fold
    )


def _pack_time(value: datetime.time | datetime.datetime) -> Fields:
    return [
        value.hour,
        value.minute,
        value.second,
        value.microsecond,
        value.fold,
        _pack_zone(value.tzinfo, value.utcoffset),
    ]


def _time(fields: Fields) -> datetime.time:
    hour, minute, second, microsecond, fold, zone = fields
    return datetime.time(hour, minute, second, microsecond, zone, fold=fold)


def _date(fields: Fields) -> datetime.date:
    # not `*fields`: a date can be made of bytes, and then of any
    year, month, day = fields
    return datetime.date(year, month, day)


def _timedelta(fields: Fields) -> datetime.timedelta:
    days, seconds, microseconds = (exactly(field, int) for field in fields)
    return datetime.timedelta(days, seconds, microseconds)


def _pack_timezone(value: datetime.timezone) -> Fields:
    # (offset,) or (offset, name): what the constructor takes, documented for pickling
    offset, *name = value.__getinitargs__()  # type: ignore[attr-defined]
    return [offset, *name]


def _timezone(fields: Fields) -> datetime.timezone:
    if fields == [datetime.timedelta()]:
        return datetime.UTC
    return datetime.timezone(*fields)


def _pack_zoneinfo(value: zoneinfo.ZoneInfo) -> Fields:
    if value.key is None:
        raise TypeError('it was made from a file and has no key')
    return [value.key]


def _zoneinfo(fields: Fields) -> zoneinfo.ZoneInfo:
    (key,) = fields
    return _zone(exactly(key, str))


@functools.lru_cache(maxsize=1024)  # the zones of the world; zoneinfo keeps 8
def _zone(key: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(key)
    except zoneinfo.ZoneInfoNotFoundError:
        raise ValueError(
            f'this machine does not know the time zone {key[:80]!r}: '
            'install the package tzdata'
        ) from None


# ---------------------------------------------------------------- numbers


def _pack_int(value: int) -> Fields:
    _check_bits(MAX_INT, value)
    size = value.bit_length() // 8 + 1
    return [value.to_bytes(size, 'big', signed=True)]


def _int(fields: Fields) -> int:
    (data,) = fields
    if len(exactly(data, bytes)) > MAX_INT // 8 + 1:
        raise ValueError(f'an int of more than {MAX_INT} bits')
    return int.from_bytes(data, 'big', signed=True)


def _check_bits(most: int, *parts: int) -> None:
    for part in parts:
        if exactly(part, int).bit_length() > most:
            raise ValueError(f'a number of more than {most} bits')


def _complex(fields: Fields) -> complex:
    real, imag = fields
    return complex(exactly(real, float), exactly(imag, float))


def _decimal(fields: Fields) -> decimal.Decimal:
    (text,) = fields
    return decimal.Decimal(exactly(text, str))


def _pack_fraction(value: fractions.Fraction) -> Fields:
    _check_bits(MAX_PART, value.numerator, value.denominator)
    return [value.numerator, value.denominator]


def _fraction(fields: Fields) -> fractions.Fraction:
    numerator, denominator = fields
    _check_bits(MAX_PART, numerator, denominator)
    return fractions.Fraction(numerator, denominator)


# ---------------------------------------------------------------- the others


def _uuid(fields: Fields) -> uuid.UUID:
    (data,) = fields
    return uuid.UUID(bytes=exactly(data, bytes))


def _pack_range(value: range) -> Fields:
    _check_bits(MAX_PART, value.start, value.stop, value.step)
    return [value.start, value.stop, value.step]


def _range(fields: Fields) -> range:
    start, stop, step = fields
    _check_bits(MAX_PART, start, stop, step)
    return range(start, stop, step)


def _slice(fields: Fields) -> slice:
    start, stop, step = fields
    return slice(start, stop, step)


def _ellipsis(fields: Fields) -> Any:
    if fields:
        raise ValueError('an Ellipsis with fields')
    return ...


_PATHS = {
    'posix': pathlib.PosixPath if os.name == 'posix' else pathlib.PurePosixPath,
    'windows': pathlib.WindowsPath if os.name == 'nt' else pathlib.PureWindowsPath,
    'pure posix': pathlib.PurePosixPath,
    'pure windows': pathlib.PureWindowsPath,
}


def _path(fields: Fields) -> pathlib.PurePath:
    """A path of another kind of machine arrives as a pure one."""
    kind, text = fields
    return _PATHS[kind](exactly(text, str))


_ADDRESSES = (
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
    ipaddress.IPv4Interface,
    ipaddress.IPv6Interface,
)


def _address(fields: Fields) -> Any:
    kind, text = fields
    if exactly(kind, int) < 0:
        raise ValueError('there is no such kind of address')
    return _ADDRESSES[kind](exactly(text, str))


# ---------------------------------------------------------------- the tables

# type: (mark, to fields)
NATIVE: dict[type, tuple[Any, Callable[[Any], Iterable[Any]]]] = {
    tuple: (TUPLE, iter),
    set: (mark(65), iter),
    frozenset: (mark(66), iter),
    datetime.datetime: (mark(67), _pack_datetime),
    datetime.date: (mark(68), lambda value: (value.year, value.month, value.day)),
    datetime.time: (mark(69), _pack_time),
    datetime.timedelta: (
        mark(70),
        lambda value: (value.days, value.seconds, value.microseconds),
    ),
    datetime.timezone: (mark(71), _pack_timezone),
    zoneinfo.ZoneInfo: (mark(72), _pack_zoneinfo),
    int: (mark(73), _pack_int),  # one that msgpack has no room for
    complex: (mark(74), lambda value: (value.real, value.imag)),
    decimal.Decimal: (mark(75), lambda value: (str(value),)),
    fractions.Fraction: (mark(76), _pack_fraction),
    uuid.UUID: (mark(77), lambda value: (value.bytes,)),
    range: (mark(78), _pack_range),
    slice: (mark(79), lambda value: (value.start, value.stop, value.step)),
    type(...): (mark(80), lambda value: ()),
    pathlib.PosixPath: (mark(81), lambda value: ('posix', str(value))),
    pathlib.WindowsPath: (mark(81), lambda value: ('windows', str(value))),
    pathlib.PurePosixPath: (mark(81), lambda value: ('pure posix', str(value))),
    pathlib.PureWindowsPath: (mark(81), lambda value: ('pure windows', str(value))),
    **{
        cls: (mark(82), lambda value, kind=kind: (kind, str(value)))  # type: ignore[misc]
        for kind, cls in enumerate(_ADDRESSES)
    },
    collections.OrderedDict: (mark(83), lambda value: (dict(value),)),
    collections.Counter: (mark(84), lambda value: (dict(value),)),
    collections.deque: (mark(85), lambda value: (list(value), value.maxlen)),
}

# An unregistered subclass of one of these arrives as it.  `str(value)` would be what the
# subclass makes of it, `str.__str__` is its text.
BASES: dict[type, Callable[[Any], Any]] = {
    str: str.__str__,
    bytes: bytes.__bytes__,
    int: int.__int__,
    float: float.__float__,
    list: list,
    tuple: tuple,
    dict: dict,
    set: set,
    frozenset: frozenset,
    bytearray: bytearray,
}

# code: from fields
UNPACK: dict[int, Callable[[Fields], Any]] = {
    64: tuple,
    65: _set,
    66: _frozenset,
    67: _datetime,
    68: _date,
    69: _time,
    70: _timedelta,
    71: _timezone,
    72: _zoneinfo,
    73: _int,
    74: _complex,
    75: _decimal,
    76: _fraction,
    77: _uuid,
    78: _range,
    79: _slice,
    80: _ellipsis,
    81: _path,
    82: _address,
    83: _ordered,
    84: _counter,
    85: _deque,
}
