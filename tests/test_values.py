"""What travels, and arrives as what it was."""

import collections
import contextlib
import datetime
import decimal
import enum
import gc
import re
import tracemalloc
import zoneinfo

import numpy
import pytest
from backends import Net, scenario
from drivers import DRIVERS
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import Color, Frozen, Plain, describe, examples, hashables, values

import pseud
from pseud.packer import PackerV2
from pseud.packer_v1 import PackerV1

# what hypothesis says of strategies with so many branches
pytestmark = pytest.mark.filterwarnings('ignore:Generating overly large repr')

LARGE = 64 << 10
BIG = bytes(range(256)) * 1024


def through(value):
    """What becomes of a value by packing and unpacking it."""
    packer = PackerV2()
    return packer.unpack(*packer.pack(value))


def same(value):
    return value


def both(*args, **kwargs):
    return args, kwargs


def fail(value):
    raise ValueError(value)


# ---------------------------------------------------------------- everything arrives


@given(values)
def test_every_value_survives_packing(value):
    assert describe(through(value)) == describe(value)


@given(st.dictionaries(hashables, values, max_size=5))
def test_every_key_survives_packing(value):
    assert describe(through(value)) == describe(value)


@pytest.mark.parametrize('name', DRIVERS)
@settings(max_examples=25, deadline=None)
@given(drawn=st.lists(values, min_size=1, max_size=5))
def test_every_value_arrives(name, tmp_path_factory, drawn):
    """As an argument by place and by name, as a result, and in an exception."""
    pytest.importorskip(DRIVERS[name].requires)
    net = Net(DRIVERS[name](), tmp_path_factory.mktemp('net'))
    try:
        net.run(everywhere(net, drawn))
    finally:
        net.close()


def everywhere(net, drawn):
    server, client = net.pair(timeout=30)
    seen = []

    def look(*args, **kwargs):
        seen.append(describe([args, kwargs]))
        return args, kwargs

    for function in (look, fail):
        server.register_rpc(function)
    for value in drawn:
        got = yield client.look(value, key=value)
        assert seen.pop() == describe([(value,), {'key': value}])
        assert describe(got) == describe(((value,), {'key': value}))
        error = yield from net.raises(ValueError, client.fail(value))
        assert describe(error.args) == describe((value,))


@scenario
def test_one_of_everything_arrives(net):
    yield from everywhere(net, examples())


@scenario
def test_everything_at_once_arrives(net):
    yield from everywhere(net, [examples()])


@scenario
def test_the_hour_that_comes_twice(net):
    server, client = net.pair()
    server.register_rpc(same)
    zone = zoneinfo.ZoneInfo('Europe/Paris')
    for fold in (0, 1):
        when = datetime.datetime(2024, 10, 27, 2, 30, tzinfo=zone, fold=fold)
        got = yield client.same(when)
        assert (got, got.fold, got.utcoffset()) == (when, fold, when.utcoffset())
        assert got.tzinfo is zone


@scenario
def test_zones_of_other_makers_become_offsets(net):
    class Zone(datetime.tzinfo):
        def utcoffset(self, when):
            return datetime.timedelta(minutes=90)

        def dst(self, when):
            return None

    server, client = net.pair()
    server.register_rpc(same)
    when = datetime.datetime(2024, 1, 1, tzinfo=Zone())
    got = yield client.same(when)
    assert got == when
    assert got.tzinfo == datetime.timezone(datetime.timedelta(minutes=90))


# ---------------------------------------------------------------- subclasses


class Name(str):
    def __str__(self):
        return 'something else'


class Mixed(str, enum.Enum):  # noqa: UP042 - its str() is another
    ONE = 'one'


class Number(enum.IntEnum):
    ONE = 1


class Huge(int):
    pass


Point = collections.namedtuple('Point', 'x y')


class Items(list):
    pass


@scenario
def test_unregistered_subclasses_arrive_as_the_builtin_type(net):
    server, client = net.pair()
    server.register_rpc(same)
    cases = [
        (Name('text'), 'text'),
        (Mixed.ONE, 'one'),
        (Number.ONE, 1),
        (Huge(2**100), 2**100),
        (Point(1, (2,)), (1, (2,))),
        (Items([1, bytearray(b'x')]), [1, bytearray(b'x')]),
        (collections.defaultdict(list, {'a': [1]}), {'a': [1]}),
        (type('Bytes', (bytes,), {})(b'x'), b'x'),
        (type('Set', (set,), {})({1}), {1}),
        (type('Frozen', (frozenset,), {})({1}), frozenset({1})),
        (type('Array', (bytearray,), {})(b'x'), bytearray(b'x')),
        (type('Float', (float,), {})(1.5), 1.5),
        (memoryview(b'x'), b'x'),
        (memoryview(BIG), BIG),
        ({memoryview(b'x'): 1}, {b'x': 1}),
        (numpy.arange(3).view(numpy.recarray), numpy.arange(3)),
    ]
    for value, expected in cases:
        got = yield client.same(value)
        assert describe(got) == describe(expected)


# ---------------------------------------------------------------- what does not travel


class Unregistered:
    def __repr__(self):
        raise RuntimeError('no text')


CIRCLE = []
CIRCLE.append({'again': CIRCLE})
ROUND = ([],)
ROUND[0].append(ROUND)
WHEN = datetime.datetime(2024, 1, 1)

BAD = [
    (object(), 'it is a object, none of the types'),
    (Unregistered(), r'Unregistered, none of the types .*register_type'),
    ([1, {'when': [len]}], r"args\[0\]\[1\]\['when'\]\[0\] can not"),
    ((0, {3: (print,)}), r'args\[0\]\[1\]\[3\]\[0\]'),
    ({(1, type): 2}, r'args\[0\] key \(1, .*\)\[1\] can not'),
    ({Unregistered()}, r'args\[0\] element <Unregistered> can not'),
    ({Unregistered(): 1}, r'args\[0\] key <Unregistered> can not'),
    (Frozen(1, [open]), r'args\[0\]\.second\[0\] can not'),
    (Plain({'a': iter(())}), r"args\[0\]\.value\['a'\] can not"),
    ((x for x in ()), 'it is a generator'),
    (CIRCLE, r'args\[0\] can not be packed: it contains itself'),
    (ROUND, r'args\[0\] can not be packed: it contains itself'),
    (numpy.array([object()]), 'dtype object can not travel'),
    (numpy.ma.array([1]), 'two arrays'),
    (type('Stamp', (datetime.datetime,), {})(2024, 1, 1), 'none of the types'),
    (WHEN.replace(tzinfo=type('Z', (datetime.tzinfo,), {})()), 'utcoffset'),
    (ValueError('as a value'), 'it is a ValueError'),
]


@pytest.mark.parametrize(('bad', 'where'), BAD, ids=range(len(BAD)))
@scenario
def test_what_can_not_travel_is_named(net, bad, where):
    server, client = net.pair()
    ran = []
    server.register_rpc(ran.append, name='f')
    server.register_rpc(lambda: {'x': [bad]}, name='give')
    yield from net.raises(pseud.SerializationError, client.f(bad), match=where)
    assert ran == []
    error = yield from net.raises(pseud.SerializationError, client.give())
    assert "give() ran, but result['x']" in str(error)
    yield client.f(1)  # the connection is as good as ever
    assert ran == [1]


@scenario
def test_deep_values(net):
    """They travel as long as msgpack can nest them."""
    server, client = net.pair()
    server.register_rpc(same)
    for kind in (
        lambda inner: [inner],
        lambda inner: (inner,),
        lambda inner: {1: inner},
    ):
        value = 'bottom'
        for _ in range(450):
            value = kind(value)
        got, depth = (yield client.same(value)), 0
        while got != 'bottom':
            got, depth = (got[1] if type(got) is dict else got[0]), depth + 1
        assert depth == 450
        for _ in range(3000):
            value = kind(value)
        yield from net.raises(
            pseud.SerializationError, client.same(value), match='nested too deeply'
        )


# ---------------------------------------------------------------- classes of users


@scenario
def test_a_class_that_is_not_known_there_is_named(net):
    server, client = net.pair()
    server.register_rpc(same)
    unknown = pseud.UnknownValue('shop.Cart', {'items': [1, (2,)]})
    got = yield client.same([unknown])
    assert got == [unknown]
    assert 'shop.Cart' in repr(got)
    # of a type that a later version may have
    later = pseud.UnknownValue('pseud:126', ['a', (1,)])
    assert (yield client.same(later)) == later


@scenario
def test_what_a_class_refuses_fails_its_call(net):
    @pseud.register_type(name='even')
    class Even:
        def __init__(self, number):
            self.number = number

    def make(state):
        if state % 2:
            raise ValueError(f'{state} is odd')
        return Even(state)

    pseud.register_type(Even, name='even', pack=lambda e: e.number, unpack=make)
    server, client = net.pair()
    server.register_rpc(same)
    assert (yield client.same(Even(2))).number == 2
    error = yield from net.raises(pseud.SerializationError, client.same(Even(3)))
    assert 'no even can be made of it: ValueError: 3 is odd' in str(error)


def test_fields_that_a_class_has_not():
    packer = PackerV2()
    body, _ = packer.pack(Frozen(1, 2))
    with pytest.raises(pseud.SerializationError, match="no field 'sirst' here"):
        packer.unpack(body.replace(b'first', b'sirst'))
    with pytest.raises(pseud.SerializationError, match='Color can be made'):
        packer.unpack(packer.pack(Color.RED)[0].replace(b'RED', b'BED'))


@scenario
def test_extensions_without_a_table_keep_their_code(net):
    import msgpack

    server, client = net.pair()
    server.register_rpc(same)
    for value in (msgpack.ExtType(5, b'abc'), {msgpack.ExtType(5, b''): 1}):
        assert (yield client.same(value)) == value


class Inner:
    def __init__(self, client):
        self.client = client


@scenario(needs=('results',))
def test_packing_may_make_another_call(net):
    """Of the same client, in the middle of packing."""
    made = []

    def pack(inner):
        made.append(inner.client.same([('other', 1)]))
        return ['packed', (1,)]

    pseud.register_type(Inner, name='inner', pack=pack, unpack=tuple)
    server, client = net.pair()
    server.register_rpc(same)
    assert (yield client.same([(1,), Inner(client), (2,)])) == [
        (1,),
        ('packed', (1,)),
        (2,),
    ]
    assert (yield made[0]) == [('other', 1)]


REFUSED = [
    (3, 'takes a class'),
    (ValueError, 'register_exception'),
    (dict, 'one of Python'),
    (datetime.datetime, 'one of Python'),
    (type('Span', (datetime.timedelta,), {}), 'give register_type pack and unpack'),
    (type('Price', (decimal.Decimal,), {}), 'give register_type pack and unpack'),
    (type('Queue', (collections.deque,), {}), 'give register_type pack and unpack'),
    (type('Table', (collections.defaultdict,), {}), 'pack and unpack'),
    (type('Grid', (numpy.ndarray,), {}), 'pack and unpack'),
    (numpy.ndarray, 'pack and unpack'),
    (re.Pattern, 'pack and unpack'),
]


@pytest.mark.parametrize(('cls', 'why'), REFUSED, ids=lambda value: str(value)[:20])
def test_what_can_not_be_registered(cls, why):
    with pytest.raises(TypeError, match=why):
        pseud.register_type(cls)


def test_names_are_given_once():
    class One:
        pass

    class Two:
        pass

    pseud.register_type(One, name='the one')
    with pytest.raises(ValueError, match="'the one' is taken"):
        pseud.register_type(Two, name='the one')
    pseud.register_type(One, name='the one')
    for name in ('', 3, 'pseud:1'):
        with pytest.raises(TypeError, match='name must be'):
            pseud.register_type(Two, name=name)
    with pytest.raises(TypeError, match='both pack and unpack'):
        pseud.register_type(Two, pack=str)


# ---------------------------------------------------------------- big data


def large_examples():
    grid = numpy.arange(40_000.0).reshape(200, 200)
    return [
        BIG,
        bytearray(BIG),
        [BIG, {'deep': [{'deeper': (BIG, BIG)}]}],
        {'array': grid, 'list': [grid.T, grid[::2], bytearray(BIG)]},
        Frozen(BIG, [bytearray(BIG)]),
        Plain(numpy.array(['2024-01-01'], 'M8[s]').repeat(20_000)),
        [bytearray(b'small'), [[[bytearray(b'deep')]]], b'x' * 3000],
        [BIG] * 5,
        (1, {'a': [(BIG,)]}),
    ]


@scenario
def test_large_values_arrive(net, transport):
    server, client = net.pair(transport, timeout=30)
    server.register_rpc(both)
    for value in large_examples():
        got = yield client.both(value, key=value)
        assert describe(got) == describe(((value,), {'key': value}))


@scenario
def test_arrays_keep_their_order_and_can_be_written_to(net):
    server, client = net.pair()
    server.register_rpc(same)
    for side in (3, 300):
        grid = numpy.arange(float(side * side)).reshape(side, side)
        for value in (grid, grid.T, grid[::2], numpy.array(1), grid[:0]):
            got = yield client.same(value)
            assert (got == value).all()
            assert got.flags.writeable
        transposed = yield client.same(grid.T)
        assert transposed.flags.f_contiguous
        assert not transposed.flags.c_contiguous


def test_large_bytes_are_not_copied():
    packer = PackerV2()
    for value in (BIG, bytearray(BIG), numpy.arange(20_000), memoryview(BIG)):
        for place in (value, [value], [[[value]]], {'a': (value,)}, Frozen(value)):
            body, buffers = packer.pack(place)
            assert len(body) < 200
            (buffer,) = buffers
            whole = memoryview(buffer)
            assert numpy.shares_memory(numpy.asarray(whole), numpy.asarray(view(value)))


def view(value):
    return memoryview(value).cast('B')


def test_small_bytes_stay_in_the_body():
    packer = PackerV2()
    for size, count in ((LARGE - 1, 0), (LARGE, 1)):
        for value in (bytes(size), bytearray(size)):
            assert len(packer.pack([value])[1]) == count


def test_packers_keep_nothing():
    packer = PackerV2()
    array = numpy.arange(20_000)
    packer.pack([array])
    before = len(gc.get_referrers(array))
    packer.pack([array])
    assert len(gc.get_referrers(array)) == before


def unpackable_after(text):
    """A value that turns out to be one only when its text has been packed."""
    return [[text], object()]


@pytest.mark.parametrize(
    'value',
    [
        'a' * (4 << 20),
        [['a' * (4 << 20)]],
        [[BIG * 40]],
        unpackable_after('a' * (4 << 20)),
    ],
    ids=['text', 'nested text', 'nested bytes', 'what can not travel'],
)
@pytest.mark.parametrize('packer', [PackerV2, PackerV1])
def test_packers_keep_no_room_for_what_was_large(packer, value):
    packers = [packer() for _ in range(8)]
    tracemalloc.start()
    try:
        for packer in packers:
            with contextlib.suppress(pseud.SerializationError):
                packer.pack(value)
            with contextlib.suppress(pseud.SerializationError):
                packer.pack_call([value], {})
        gc.collect()  # exceptions hold frames that hold them
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1 << 20


def test_a_call_with_large_text_that_can_not_travel_keeps_no_room_either():
    packers = [PackerV2() for _ in range(8)]
    tracemalloc.start()
    try:
        for packer in packers:
            with pytest.raises(pseud.SerializationError):
                packer.pack_call(['a' * (4 << 20), 1 << (1 << 21)], {})
        gc.collect()  # exceptions hold frames that hold them
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1 << 20
