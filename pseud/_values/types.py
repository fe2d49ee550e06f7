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
import ipaddress
import os
import pathlib
import uuid
import zoneinfo
from collections.abc import Callable, Collection, Iterable
from typing import Any

import msgpack

__all__ = [
    'BASES',
    'NATIVE',
    'TUPLE',
    'UNPACK',
    'check_hashes',
    'mark',
]

Fields = list[Any]


def mark(code: int) -> Any:
    """The first element of a value of the type with this code."""
    return msgpack.ExtType(code, b'')


TUPLE = mark(64)

# Bits of the parts of a Fraction: to reduce it takes time that grows with their square.
MAX_FRACTION = 1 << 15

# Pairs of keys with the same hash in a set or dict: so many for each key, and some more.
COLLISIONS_PER_KEY = 8
SOME_COLLISIONS = 100


def check_hashes(keys: Collection[Any]) -> None:
    """See that keys can be put into a set or dict in time proportional to their number.

    The hashes of tuples and numbers are no secret: who wants to can make thousands of
    keys that have the same.  (Those of str and bytes are, and of 64-bit integers only a
    few share one.)

    Raises:
        ValueError: they can not.
        TypeError: one is not hashable.
    """
    counts = collections.Counter(map(hash, keys))
    if len(counts) == len(keys):
        return
    pairs = sum(count * (count - 1) // 2 for count in counts.values() if count > 1)
    if pairs > COLLISIONS_PER_KEY * len(keys) + SOME_COLLISIONS:
        raise ValueError(
            f'{len(keys)} keys of a set or dict have only {len(counts)} hashes'
        )


# ---------------------------------------------------------------- containers


def _set(fields: Fields) -> set[Any]:
    check_hashes(fields)
    return set(fields)


def _frozenset(fields: Fields) -> frozenset[Any]:
    check_hashes(fields)
    return frozenset(fields)


def _ordered(fields: Fields) -> Any:
    (items,) = fields
    return collections.OrderedDict(_exactly(items, dict))


def _counter(fields: Fields) -> Any:
    (items,) = fields
    return collections.Counter(_exactly(items, dict))


def _deque(fields: Fields) -> Any:
    items, maxlen = fields
    return collections.deque(_exactly(items, list), maxlen)


def _exactly(value: Any, *types: type) -> Any:
    if type(value) not in types:
        raise TypeError(f'a {type(value).__name__} where {types[0].__name__} belongs')
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
    return [
        value.year,
        value.month,
        value.day,
        value.hour,
        value.minute,
        value.second,
        value.microsecond,
        value.fold,
        _pack_zone(value.tzinfo, value.utcoffset),
    ]


def _datetime(fields: Fields) -> datetime.datetime:
    year, month, day, hour, minute, second, microsecond, fold, zone = fields
    return datetime.datetime(
        year, month, day, hour, minute, second, microsecond, zone, fold=fold
    )


def _pack_time(value: datetime.time) -> Fields:
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
    try:
        return zoneinfo.ZoneInfo(_exactly(key, str))
    except zoneinfo.ZoneInfoNotFoundError:
        raise ValueError(
            f'this machine does not know the time zone {key[:80]!r}: '
            'install the package tzdata'
        ) from None


# ---------------------------------------------------------------- numbers


def _pack_int(value: int) -> Fields:
    size = value.bit_length() // 8 + 1
    return [value.to_bytes(size, 'big', signed=True)]


def _int(fields: Fields) -> int:
    (data,) = fields
    return int.from_bytes(_exactly(data, bytes), 'big', signed=True)


def _complex(fields: Fields) -> complex:
    real, imag = fields
    return complex(_exactly(real, float), _exactly(imag, float))


def _decimal(fields: Fields) -> decimal.Decimal:
    (text,) = fields
    return decimal.Decimal(_exactly(text, str))


def _pack_fraction(value: fractions.Fraction) -> Fields:
    fields = [value.numerator, value.denominator]
    _check_fraction(fields)
    return fields


def _fraction(fields: Fields) -> fractions.Fraction:
    _check_fraction(fields)
    return fractions.Fraction(*fields)


def _check_fraction(fields: Fields) -> None:
    numerator, denominator = fields
    for part in (numerator, denominator):
        if _exactly(part, int).bit_length() > MAX_FRACTION:
            raise ValueError(f'a part of a Fraction has more than {MAX_FRACTION} bits')


# ---------------------------------------------------------------- the others


def _uuid(fields: Fields) -> uuid.UUID:
    (data,) = fields
    return uuid.UUID(bytes=_exactly(data, bytes))


def _range(fields: Fields) -> range:
    start, stop, step = fields
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
    return _PATHS[kind](_exactly(text, str))


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
    if _exactly(kind, int) < 0:
        raise ValueError('there is no such kind of address')
    return _ADDRESSES[kind](_exactly(text, str))


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
    range: (mark(78), lambda value: (value.start, value.stop, value.step)),
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
    68: lambda fields: datetime.date(*fields),
    69: _time,
    70: lambda fields: datetime.timedelta(*fields),
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
