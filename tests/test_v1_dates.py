"""Protocol v1's dates and times are pickles: what they hold arrives, and runs nothing."""

import datetime
import os
import pickle
import random
import struct
import subprocess
import uuid
import zoneinfo

import msgpack
import pytest
from backends import scenario
from hypothesis import given
from hypothesis import strategies as st
from test_old_peers import OK, WORK, V1Client, V1Server

import pseud
from pseud._values.v1_dates import read_date
from pseud.packer_v1 import PackerV1

PACKER = PackerV1()
HOUR = datetime.timedelta(hours=1)
PARIS = zoneinfo.ZoneInfo('Europe/Paris')

VALUES = [
    datetime.datetime(2024, 1, 2, 3, 4, 5, 987654),
    datetime.datetime.min,
    datetime.datetime.max,
    datetime.datetime(2024, 1, 2, fold=1),
    datetime.datetime(2024, 1, 2, 3, tzinfo=datetime.UTC),
    datetime.datetime(2024, 1, 2, 3, tzinfo=datetime.timezone(-HOUR)),
    datetime.datetime(2024, 1, 2, 3, tzinfo=datetime.timezone(HOUR, 'été')),
    datetime.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=PARIS),
    datetime.date.min,
    datetime.date.max,
    datetime.timedelta(),
    datetime.timedelta(-1, 5, 999_999),
    datetime.timedelta.min,
    datetime.timedelta.max,
    datetime.UTC,
    datetime.timezone(HOUR),
    datetime.timezone(datetime.timedelta(microseconds=-1), '\ud800'),
    datetime.timezone(datetime.timedelta(), ''),
    PARIS,
]
CODES = {
    datetime.timezone: 123,
    zoneinfo.ZoneInfo: 123,
    datetime.timedelta: 124,
    datetime.datetime: 125,
    datetime.date: 126,
}
PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)

offsets = st.timedeltas(-24 * HOUR + HOUR.resolution, 24 * HOUR - HOUR.resolution)
timezones = st.builds(datetime.timezone, offsets) | st.builds(
    datetime.timezone, offsets, st.text(max_size=32)
)
zones = st.just(datetime.UTC) | timezones | st.timezones()
everything = st.one_of(
    st.builds(
        lambda value, zone, fold: value.replace(tzinfo=zone, fold=fold),
        st.datetimes(),
        st.none() | zones,
        st.integers(0, 1),
    ),
    st.dates(),
    st.timedeltas(),
    zones,
)


def exact(value):
    """What tells a value from all others."""
    zone = getattr(value, 'tzinfo', None)
    fold = getattr(value, 'fold', None)
    return type(value), repr(value), type(zone), repr(zone), fold


def written(value):
    """The pickle in what is sent."""
    extension = msgpack.unpackb(PACKER.pack_inline(value))
    assert extension.code == CODES[type(value)]
    return extension.data


# ---------------------------------------------------------------- what travels


@given(everything)
def test_everything_survives_packing(value):
    again = PACKER.unpack(PACKER.pack_inline({'key': [value]}))['key'][0]
    assert exact(again) == exact(value)


@given(everything, st.integers(4, pickle.HIGHEST_PROTOCOL))
def test_pickle_and_we_understand_each_other(value, protocol):
    assert exact(pickle.loads(written(value))) == exact(value)
    pickle_of_it = pickle.dumps(value, protocol)
    assert exact(read_date(CODES[type(value)], pickle_of_it)) == exact(value)


@pytest.mark.parametrize('protocol', PROTOCOLS)
@pytest.mark.parametrize('value', VALUES, ids=ascii)
def test_all_kinds_by_all_protocols(value, protocol):
    assert exact(pickle.loads(written(value))) == exact(value)
    data = pickle.dumps(value, protocol)  # those before 4 leave out the fold
    assert exact(read_date(CODES[type(value)], data)) == exact(pickle.loads(data))


def test_they_are_keys_too():
    value = {one: number for number, one in enumerate(VALUES)}
    assert PACKER.unpack(PACKER.pack_inline(value)) == value


def test_a_zone_from_beside_the_cache():
    data = pickle.dumps(zoneinfo.ZoneInfo.no_cache('Europe/Paris'))
    assert read_date(123, data).key == 'Europe/Paris'


class Odd(datetime.tzinfo):
    def utcoffset(self, moment):
        return HOUR


def test_another_zone_becomes_what_it_means_at_that_moment():
    value = datetime.datetime(2024, 1, 2, tzinfo=Odd())
    again = PACKER.unpack(PACKER.pack_inline(value))
    assert exact(again) == exact(value.replace(tzinfo=datetime.timezone(HOUR)))


class Birthday(datetime.date):
    pass


@pytest.mark.parametrize(
    'value',
    [
        Birthday(2024, 1, 2),
        datetime.time(1, 2),
        Odd(),
        datetime.timezone(HOUR, 'x' * 129),
        datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone(HOUR, 'é' * 65)),
    ],
    ids=['subclass', 'time', 'tzinfo', 'name', 'name in datetime'],
)
def test_what_can_not_be_sent(value):
    with pytest.raises(pseud.SerializationError, match='can not be packed'):
        PACKER.pack_inline(value)


# As dateutil 2.8 and later versions, and pytz, pickle theirs.
DATEUTIL = b'\x80\x04\x8c\x0edateutil.tz.tz\x94\x8c'
AN_HOUR = (
    b'\x8c\x08datetime\x94\x8c\ttimedelta\x94\x93\x94K\x00M\x10\x0eK\x00\x87\x94R\x94'
)
OTHERS = {
    'tzutc': (DATEUTIL + b'\x05tzutc\x94\x93\x94)R\x94.', datetime.UTC),
    'new tzutc': (DATEUTIL + b'\x05tzutc\x94\x93\x94)\x81\x94.', datetime.UTC),
    'tzoffset': (
        DATEUTIL + b'\x08tzoffset\x94\x93\x94\x8c\x01x\x94' + AN_HOUR + b'\x86R.',
        datetime.timezone(HOUR, 'x'),
    ),
    'tzoffset without name': (
        DATEUTIL + b'\x08tzoffset\x94\x93\x94N' + AN_HOUR + b'\x86R.',
        datetime.timezone(HOUR),
    ),
    'new tzoffset': (
        DATEUTIL
        + b'\x08tzoffset\x94\x93\x94)\x81\x94}\x94(\x8c\x05_name\x94\x8c\x01x\x94'
        + b'\x8c\x07_offset\x94'
        + AN_HOUR
        + b'ub.',
        datetime.timezone(HOUR, 'x'),
    ),
    'pytz.UTC': (b'\x80\x03cpytz\n_UTC\n)R.', datetime.UTC),
}


@pytest.mark.parametrize('name', OTHERS)
def test_zones_of_others(name):
    data, zone = OTHERS[name]
    assert exact(read_date(123, data)) == exact(zone)


# ---------------------------------------------------------------- what does not


def short(text):
    return b'\x8c%c%b' % (len(text), text)


def called(name, *args, head=b'\x80\x04', call=b'R'):
    """A pickle of what a call returns."""
    module, _, name = name.partition(' ')
    steps = b''.join(args) + (b')' if not args else bytes([0x84 + len(args)]))
    return head + short(module.encode()) + short(name.encode()) + b'\x93' + steps + call


def part(*args, **options):
    return called(*args, head=b'', **options)


class Bomb:
    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


def stated(size, state=b''):
    return called('datetime datetime', b'C%c%b' % (size, state or bytes(size))) + b'.'


DELTA = part('datetime timedelta', b'K\x00', b'K\x00', b'K\x00')
GETATTR = part(
    'builtins getattr', short(b'zoneinfo') + short(b'ZoneInfo') + b'\x93', b'X'
)
GOOD = pickle.dumps(VALUES[7], 4)

HOSTILE = {
    'os.system': pickle.dumps(Bomb(os.system, ('true',))),
    'os.system, protocol 0': pickle.dumps(Bomb(os.system, ('true',)), 0),
    'os.system, protocol 2': pickle.dumps(Bomb(os.system, ('true',)), 2),
    'eval': pickle.dumps(Bomb(eval, ('1',))),
    'exec': pickle.dumps(Bomb(exec, ('1',))),
    'Popen': pickle.dumps(Bomb(subprocess.Popen, (['true'],))),
    'getattr of os': called(
        'builtins getattr', short(b'os') + short(b'system') + b'\x93', short(b'x')
    )
    + b'R.',
    'getattr of a class': called(
        'builtins getattr',
        short(b'datetime') + short(b'datetime') + b'\x93',
        short(b'__subclasses__'),
    )
    + b')R.',
    'getattr of a zone': called(
        'builtins getattr',
        short(b'zoneinfo') + short(b'ZoneInfo') + b'\x93',
        short(b'__init__'),
    )
    + b'.',
    'getattr of a value': called('builtins getattr', DELTA, short(b'_unpickle')) + b'.',
    'name with dots': called('zoneinfo ZoneInfo._unpickle', short(b'UTC'), b'K\x01')
    + b'.',
    'name of ours': called('pseud._values.v1_dates read_date', b'K\x7b', b'C\x00')
    + b'.',
    'not a function': b'\x80\x04' + DELTA + b')R.',
    'call of text': b'\x80\x04' + short(b'datetime') + b')R.',
    'args that are a value': b'\x80\x04cdatetime\ndate\nK\x01R.',
    'args that are a list': b'\x80\x04cdatetime\ndate\n]R.',
    'name of numbers': b'\x80\x04K\x00K\x00\x93.',
    'name of a tuple': b'\x80\x04)))\x87)\x93.',
    'the class itself': b'\x80\x04cdatetime\ndatetime\n.',
    'dict': b'\x80\x04}.',
    'mark': b'\x80\x04(.',
    'None': b'\x80\x04N.',
    'BUILD of a value': b'\x80\x04' + DELTA + b'}b.',
    'BUILD with items': b'\x80\x04' + DELTA + b'}(' + short(b'a') + b'K\x01ub.',
    'BUILD of a class': b'\x80\x04cdatetime\ndatetime\n}(' + short(b'a') + b'K\x01ub.',
    'tzoffset told to be more': DATEUTIL
    + b'\x08tzoffset\x94\x93)\x81}('
    + short(b'__class__')
    + b'K\x01ub.',
    'tzoffset that never is told': DATEUTIL + b'\x08tzoffset\x94\x93)\x81.',
    'items without mark': b'\x80\x04}K\x01u.',
    'INST': b'\x80\x02(iposix\nsystem\n.',
    'OBJ': b'\x80\x02(cdatetime\ndate\nK\x01o.',
    'NEWOBJ': b'\x80\x04cos\nPathLike\n)\x81.',
    'NEWOBJ_EX': b'\x80\x04cdatetime\ndate\n)}\x92.',
    'EXT1': b'\x80\x02\x82\x01.',
    'EXT2': b'\x80\x02\x83\x01\x00.',
    'EXT4': b'\x80\x02\x84\x01\x00\x00\x00.',
    'PERSID': b'\x80\x02Pwho\n.',
    'BINPERSID': b'\x80\x02N' + b'Q.',
    'LONG1': b'\x80\x02\x8a\xff' + b'\x7f' * 255 + b'.',
    'LONG4': b'\x80\x02\x8b\xff\xff\xff\x7f.',
    'LONG as text': b'\x80\x02L' + b'9' * 400 + b'L\n.',
    'INT as text': b'\x80\x02I' + b'9' * 400 + b'\n.',
    'BYTEARRAY8': b'\x80\x05\x96' + b'\xff' * 7 + b'\x7f.',
    'BINBYTES8': b'\x80\x04\x8e' + b'\xff' * 7 + b'\x7f.',
    'BINUNICODE8': b'\x80\x04\x8d' + b'\xff' * 7 + b'\x7f.',
    'BINUNICODE': b'\x80\x04X\xff\xff\xff\xff.',
    'LONG_BINPUT': b'\x80\x04Nr\xff\xff\xff\x7f.',
    'NEXT_BUFFER': b'\x80\x05\x97.',
    'deep stack': b'\x80\x04' + b'N' * 400 + b'.',
    'deep tuples': b'\x80\x04)' + b'\x85' * 400 + b'.',
    'tuples of tuples': b'\x80\x04)\x94' + b'h\x00h\x00\x86q\x00' * 60 + b'.',
    'deep marks': b'\x80\x04' + b'(' * 400 + b'.',
    'memo': b'\x80\x04N' + b'\x94' * 400 + b'.',
    'memo far away': b'\x80\x04Nq\xff.',
    'memo of nothing': b'\x80\x04\x94.',
    'memo that is not': b'\x80\x04h\x05.',
    'nothing on the stack': b'\x80\x04.',
    'two on the stack': b'\x80\x04NN.',
    'frame of too much': b'\x80\x04\x95' + b'\xff' * 7 + b'\x7f' + GOOD[11:],
    'frame of too little': b'\x80\x04\x95' + struct.pack('<Q', 3) + GOOD[11:],
    'what follows': GOOD + b'.',
    'two of them': GOOD + GOOD,
    'empty': b'',
    'protocol 1': b'\x80\x01N.',
    'protocol 9': b'\x80\x09N.',
    'no protocol': GOOD[2:],
    'too long': b'\x80\x04' + b'N0' * 4000 + b'N.',
    'state too short': stated(9),
    'state too long': stated(11),
    'state of nothing': stated(10),
    'month 13': stated(10, b'\x07\xe4\x0d\x01\0\0\0\0\0\0'),
    'hour 24': stated(10, b'\x07\xe4\x01\x01\x18\0\0\0\0\0'),
    'a million of microseconds': stated(10, b'\x07\xe4\x01\x01\0\0\0\x0f\x42\x40'),
    'year 65535': stated(10, b'\xff\xff\x01\x01\0\0\0\0\0\0'),
    'date with a fold': called('datetime date', b'C\x04\x07\xe4\x81\x01') + b'.',
    'date of text': called('datetime date', short(b'\x07d\x01\x01')) + b'.',
    'date of numbers': called('datetime date', b'M\xe4\x07', b'K\x01', b'K\x01') + b'.',
    'zone that is text': called(
        'datetime datetime', b'C\x0a\x07\xe4\x01\x01\0\0\0\0\0\0', short(b'UTC')
    )
    + b'.',
    'zone that is a class': called(
        'datetime datetime',
        b'C\x0a\x07\xe4\x01\x01\0\0\0\0\0\0',
        short(b'datetime') + short(b'timezone') + b'\x93',
    )
    + b'.',
    'timedelta too far': called(
        'datetime timedelta', b'J\xff\xff\xff\x7f', b'K\x00', b'K\x00'
    )
    + b'.',
    'timedelta of text': called('datetime timedelta', *[short(b'1')] * 3) + b'.',
    'timedelta of bools': called('datetime timedelta', *[b'\x88'] * 3) + b'.',
    'timedelta of one': called('datetime timedelta', b'K\x01') + b'.',
    'timezone of a day': called(
        'datetime timezone', part('datetime timedelta', b'K\x01', b'K\x00', b'K\x00')
    )
    + b'.',
    'timezone of a number': called('datetime timezone', b'K\x01') + b'.',
    'timezone of nothing': called('datetime timezone') + b'.',
    'timezone with a name of bytes': called('datetime timezone', DELTA, b'C\x01x')
    + b'.',
    'timezone with a long name': called('datetime timezone', DELTA, short(b'x' * 200))
    + b'.',
    'timezone of three': called('datetime timezone', DELTA, short(b'x'), b'N') + b'.',
    'zone that is a path': called('zoneinfo ZoneInfo', short(b'../../etc/passwd'))
    + b'.',
    'zone that is a place': called('zoneinfo ZoneInfo', short(b'Europe')) + b'.',
    'zone that is none': called('zoneinfo ZoneInfo', short(b'')) + b'.',
    'zone with a null': called('zoneinfo ZoneInfo', short(b'UTC\0')) + b'.',
    'zone of bytes': called('zoneinfo ZoneInfo', b'C\x03UTC') + b'.',
    'zone of a file': called('zoneinfo ZoneInfo.from_file', short(b'x')) + b'.',
    'other encoding': called('_codecs encode', short(b'x'), short(b'rot13')) + b'.',
    'bytes': called('_codecs encode', short(b'x'), short(b'latin1')) + b'.',
    'text that is no UTF-8': b'\x80\x04' + short(b'\xff') + b'.',
    'subclass': called('datetime Birthday', b'C\x04\x07\xe4\x01\x01') + b'.',
    'a subclass of a test': pickle.dumps(Birthday(2024, 1, 2)),
    'time': pickle.dumps(datetime.time(1, 2)),
    'tzlocal': DATEUTIL + short(b'tzlocal')[1:] + b'\x93)\x81}b.',
}


@pytest.mark.parametrize('code', sorted(set(CODES.values())))
@pytest.mark.parametrize('name', HOSTILE)
def test_what_is_refused(name, code):
    with pytest.raises(
        ValueError, match=f'extension {code}.* holds a pickle'
    ) as raised:
        read_date(code, HOSTILE[name])
    assert type(raised.value) is ValueError
    assert len(str(raised.value)) < 400
    assert str(raised.value).isprintable()
    body = msgpack.packb([msgpack.ExtType(code, HOSTILE[name])])
    with pytest.raises(pseud.SerializationError, match='holds a pickle'):
        PACKER.unpack(body)


@pytest.mark.parametrize('value', VALUES, ids=ascii)
def test_each_has_its_own_extension(value):
    for code in set(CODES.values()) - {CODES[type(value)]}:
        with pytest.raises(ValueError, match='it is a'):
            read_date(code, pickle.dumps(value))


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_none_may_be_cut_short(protocol):
    for value in VALUES:
        data = pickle.dumps(value, protocol)
        for size in range(len(data)):
            with pytest.raises(ValueError, match='holds a pickle'):
                read_date(CODES[type(value)], data[:size])


def mutants(rng, count):
    seeds = [pickle.dumps(value, n) for value in VALUES for n in PROTOCOLS]
    seeds += [written(value) for value in VALUES]
    seeds += [data for data, _ in OTHERS.values()]
    steps = [
        bytes([code]) for code in b'cXCKMJN}()Rqhub.\x81\x85\x86\x87\x88\x93\x94\x95'
    ]
    for _ in range(count):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.choice((1, 1, 2, 4))):
            at = rng.randrange(len(data))
            what = rng.randrange(5)
            if what == 0:
                data[at] ^= 1 << rng.randrange(8)
            elif what == 1:
                data[at : at + 1] = rng.choice(steps)
            elif what == 2:
                data[at:at] = rng.choice(steps)
            elif what == 3:
                other = rng.choice(seeds)
                cut = rng.randrange(len(other))
                data[at : at + rng.randrange(9)] = other[cut : cut + rng.randrange(30)]
            elif len(data) > 1:
                del data[at]
        yield bytes(data)


def test_mutants():
    """Whatever is made of honest ones: a value of the class that belongs there, or none."""
    rng = random.Random(1)
    read = 0
    for data in mutants(rng, 20_000):
        for code in sorted(set(CODES.values())):
            try:
                value = read_date(code, data)
            except ValueError:
                continue
            read += 1
            assert CODES[type(value)] == code
            assert exact(pickle.loads(written(value))) == exact(value)
    assert read > 200  # or there was nothing to see


# ---------------------------------------------------------------- from end to end


@scenario
def test_old_clients_send_and_get_them(net):
    server, address = net.serve()
    server.register_rpc(lambda value, *, days: value + days, name='add')
    old = V1Client(net, address)
    value, days = datetime.datetime(2024, 1, 2, 3, tzinfo=PARIS), 3 * 24 * HOUR

    def ask():
        uid = uuid.uuid4().bytes
        arguments = [
            msgpack.ExtType(CODES[type(part)], pickle.dumps(part, 5))
            for part in (value, days)
        ]
        body = msgpack.packb(['add', arguments[:1], {'days': arguments[1]}])
        old.send(uid, WORK, body)
        answered, kind, body = old.receive()
        assert (answered, kind) == (uid, OK)
        return msgpack.unpackb(body)

    answer = yield net.thread(ask)
    assert answer.code == 125
    assert exact(pickle.loads(answer.data)) == exact(value + days)


@scenario
def test_our_client_sends_and_gets_them(net):
    server = V1Server(net)
    client = net.client(server.address, protocol=1)
    for value in VALUES:
        call = client.same(value)
        data = msgpack.ExtType(CODES[type(value)], pickle.dumps(value))
        name, (sent,), _ = yield net.thread(server.answer, OK, msgpack.packb(data))
        assert (name, sent.code) == ('same', CODES[type(value)])
        assert exact(pickle.loads(sent.data)) == exact(value)
        assert exact((yield call)) == exact(value)
