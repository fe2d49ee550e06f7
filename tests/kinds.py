"""Values of every type that travels: hypothesis strategies, classes, and how to compare."""

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import ipaddress
import pathlib
import string
import uuid

import attrs
import numpy
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import pseud

__all__ = [
    'Color',
    'Frozen',
    'Grown',
    'Pair',
    'Permission',
    'Plain',
    'Slotted',
    'Weight',
    'describe',
    'hashables',
    'values',
]

# ---------------------------------------------------------------- classes of users


@pseud.register_type
class Color(enum.Enum):
    RED = 'r'
    GREEN = 2
    CRIMSON = 'r'  # noqa: PIE796 - an alias


@pseud.register_type
class Permission(enum.IntFlag):
    READ = 1
    WRITE = 2


@pseud.register_type
class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@pseud.register_type(name='weight')
class Weight(float):
    """A subclass of a builtin."""


@pseud.register_type
@dataclasses.dataclass(frozen=True)
class Frozen:
    first: object
    second: object = 'default'


@pseud.register_type
@dataclasses.dataclass
class Grown:
    """Fields that ``__init__`` does not take, and one that only keywords give."""

    first: object
    total: object = dataclasses.field(init=False, default=None)
    last: object = dataclasses.field(kw_only=True, default=None)


@pseud.register_type
@attrs.define
class Slotted:
    _private: object
    public: object = None


@pseud.register_type
class Pair(collections.namedtuple('Pair', 'left right')):
    __slots__ = ()


@pseud.register_type
class Plain:
    def __init__(self, value):
        self.value = value


class Temperature:
    def __init__(self, kelvin):
        self.kelvin = kelvin


pseud.register_type(
    Temperature,
    name='temperature',
    pack=lambda temperature: [temperature.kelvin],
    unpack=lambda state: Temperature(*state),
)

# ---------------------------------------------------------------- strategies

text = st.text(st.characters(exclude_categories=()), max_size=8)  # surrogates, too
paths = st.lists(st.text(string.ascii_letters + '.', min_size=1), max_size=3)
offsets = st.timedeltas(
    datetime.timedelta(hours=-23, minutes=-59), datetime.timedelta(hours=23)
)
timezones = st.one_of(
    st.just(datetime.UTC),
    st.builds(datetime.timezone, offsets),
    st.builds(datetime.timezone, offsets, text),
)
zones = st.one_of(st.none(), timezones, st.timezones())
folds = st.integers(0, 1)
datetimes = st.builds(
    lambda when, zone, fold: when.replace(tzinfo=zone, fold=fold),
    st.datetimes(),
    zones,
    folds,
)
times = st.builds(
    lambda when, zone, fold: when.replace(tzinfo=zone, fold=fold),
    st.times(),
    zones,
    folds,
)
sizes = st.integers(-(2**80), 2**80)
steps = sizes.filter(bool)
networks = st.one_of(
    st.builds(
        lambda address, prefix: ipaddress.ip_network((address, prefix), strict=False),
        st.ip_addresses(v=4),
        st.integers(0, 32),
    ),
    st.builds(
        lambda address, prefix: ipaddress.ip_interface((address, prefix)),
        st.ip_addresses(v=6),
        st.integers(0, 128),
    ),
)
dtypes = st.one_of(
    npst.scalar_dtypes(),
    npst.array_dtypes(npst.scalar_dtypes(), max_size=3),
)
arrays = st.one_of(
    npst.arrays(dtypes, npst.array_shapes(min_dims=0, min_side=0, max_side=4)),
    npst.arrays(dtypes, npst.array_shapes(min_dims=2, max_side=4)).map(
        lambda made: made.T
    ),
    npst.arrays('<i4', 7).map(lambda made: made[::2]),
)

hashable_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**200), 2**200),
    st.floats(allow_nan=False),
    st.complex_numbers(allow_nan=False),
    text,
    st.binary(max_size=8),
    datetimes,
    st.dates(),
    times,
    st.timedeltas(),
    timezones,
    st.timezones(),
    st.decimals(allow_nan=False),
    st.fractions().filter(lambda value: value.denominator.bit_length() < 1000),
    st.uuids(),
    st.builds(range, sizes, sizes, steps),
    st.just(...),
    paths.map(lambda parts: pathlib.Path(*parts)),
    paths.map(lambda parts: pathlib.PurePosixPath(*parts)),
    paths.map(lambda parts: pathlib.PureWindowsPath(*parts)),
    st.ip_addresses(),
    networks,
    st.sampled_from(Color),
    st.sampled_from(Level),
    st.builds(Permission, st.integers(0, 3)),
    st.builds(Weight, st.floats(allow_nan=False)),
)
hashables = st.recursive(
    hashable_leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple),
        st.frozensets(inner, max_size=3),
        st.builds(Frozen, inner, inner),
        st.builds(Pair, inner, inner),
    ),
    max_leaves=5,
)
leaves = st.one_of(
    hashables,
    st.floats(),
    st.complex_numbers(),
    st.decimals(),
    st.binary(max_size=8).map(bytearray),
    st.builds(slice, st.none() | sizes, st.none() | sizes, st.none() | sizes),
    st.lists(st.integers(0, 255), max_size=4).map(lambda some: array.array('B', some)),
    st.lists(st.floats(), max_size=4).map(lambda some: array.array('d', some)),
    arrays,
    npst.scalar_dtypes().flatmap(npst.from_dtype),
    st.builds(Temperature, st.floats()),
    st.sets(hashables, max_size=3),
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(hashables, inner, max_size=3),
        st.dictionaries(text, inner, max_size=3).map(collections.OrderedDict),
        st.dictionaries(hashables, st.integers(), max_size=3).map(collections.Counter),
        st.builds(
            collections.deque, st.lists(inner, max_size=3), st.none() | st.just(5)
        ),
        st.builds(Frozen, inner, inner),
        st.builds(Slotted, inner, inner),
        st.builds(Pair, inner, inner),
        st.builds(Plain, inner),
        inner.map(lambda part: grown(part, part)),
    ),
    max_leaves=10,
)


def grown(first, total):
    made = Grown(first, last=[first])
    made.total = total
    return made


# ---------------------------------------------------------------- comparing


def describe(value):
    """Text that is the same for values that are the same, to the types of their parts."""
    kind = type(value)
    name = f'{kind.__module__}.{kind.__qualname__}'
    if isinstance(value, numpy.ndarray):
        return f'{name}({value.dtype!r}, {value.shape}, {value.tobytes()!r})'
    if isinstance(value, numpy.generic):
        return f'{name}({value.dtype!r}, {value.tobytes()!r})'
    if isinstance(value, (list, tuple, collections.deque)):
        parts = [describe(part) for part in value]
    elif isinstance(value, (set, frozenset)):
        parts = sorted(describe(part) for part in value)
    elif isinstance(value, dict):
        parts = [f'{describe(key)}: {describe(part)}' for key, part in value.items()]
    elif attrs.has(kind):
        parts = [describe(part) for part in attrs.astuple(value, recurse=False)]
    elif kind in (Frozen, Grown, Plain, Temperature):
        parts = [f'{key}={describe(part)}' for key, part in vars(value).items()]
    else:
        parts = [repr(value)]
        if isinstance(value, datetime.tzinfo):
            parts.append(str(value))
    if isinstance(value, collections.deque):
        parts.append(f'maxlen={value.maxlen}')
    return f'{name}({", ".join(parts)})'


def examples():
    """One of everything, for tests that want no luck."""
    return [
        None,
        True,
        0,
        -(2**63),
        2**64 - 1,
        2**64,
        -(2**1000),
        1.5,
        float('nan'),
        float('-inf'),
        -0.0,
        1 - 2j,
        'text',
        '\ud800 alone',
        b'bytes',
        bytearray(b'bytes'),
        [],
        (),
        (1, (2, [3, (4,)])),
        {},
        {(1, ('a',)): {frozenset({1, (2,)}): {None: 1, 2.5: 2}}},
        {1, 'a', (2, 3)},
        frozenset({frozenset(), ()}),
        range(10, 0, -3),
        range(2**70),
        slice(1, None, (2,)),
        ...,
        datetime.datetime(2024, 1, 2, 3, 4, 5, 6),
        datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC),
        datetime.date(1, 1, 1),
        datetime.time(23, 59, 59, 999999, tzinfo=datetime.UTC, fold=1),
        datetime.timedelta(-1, 2, 3),
        datetime.timezone(datetime.timedelta(hours=-3, seconds=1), 'somewhere'),
        decimal.Decimal('1.10'),
        decimal.Decimal('sNaN123'),
        decimal.Decimal('-Infinity'),
        fractions.Fraction(-22, 7),
        uuid.UUID(int=1),
        pathlib.Path('/tmp/a b'),
        pathlib.PureWindowsPath('C:/tmp'),
        ipaddress.ip_address('10.0.0.1'),
        ipaddress.ip_address('fe80::1%eth0'),
        ipaddress.ip_network('10.0.0.0/8'),
        ipaddress.ip_interface('fe80::1/64'),
        collections.OrderedDict([('b', 1), (('a',), 2)]),
        collections.Counter('abca'),
        collections.deque([1, (2,)], maxlen=4),
        array.array('d', [1.0, 2.0]),
        Color.CRIMSON,
        Level.HIGH,
        Permission.READ | Permission.WRITE,
        Weight(2.5),
        Frozen((1,), {2}),
        grown([1], (2,)),
        Slotted({'a': 1}),
        Pair(1, Pair(2, 3)),
        Plain([Plain(None)]),
        Temperature(273.15),
        numpy.arange(6.0).reshape(2, 3),
        numpy.arange(6).reshape(2, 3).T,
        numpy.arange(10)[::3],
        numpy.array(7, '>u2'),
        numpy.zeros((0, 3), bool),
        numpy.array(['2024-01-01', 'NaT'], 'M8[D]'),
        numpy.array([(1, b'x')], [('number', '<i4'), ('text', 'S3')]),
        numpy.float32(1.5),
        numpy.datetime64('2024-01-01T00:00:00', 'ns'),
        numpy.str_('text'),
        numpy.void(b'raw'),
    ]
