"""Calls from a client to a server: names, arguments, options, values."""

import datetime
import math
import zoneinfo

import pytest
import zmq.asyncio
from backends import scenario

import pseud

UTC = datetime.UTC

VALUES = [
    None,
    True,
    0,
    -1,
    2**63,
    -(2**63),
    1.5,
    math.inf,
    '',
    'naïve ☃ 🐑',
    '\ud800',  # half a surrogate pair, as os.listdir may give
    b'',
    b'\x00\xff',
    [],
    [1, [2, [3]]],
    {},
    {'a': {'b': [1]}},
    {1: 'int', b'k': 'bytes', None: 'none', (1, 2): 'tuple', 1.5: 'float'},
    (),
    (1, (2, [3, (4,)])),
    set(),
    {1, 'a', (2, 3)},
    frozenset({1, 2}),
    {frozenset({1}): {2}},
    datetime.datetime(2024, 2, 29, 1, 2, 3, 456789),
    datetime.datetime(2024, 2, 29, 1, 2, 3, tzinfo=UTC),
    datetime.datetime(
        2024, 2, 29, tzinfo=datetime.timezone(datetime.timedelta(hours=5.5))
    ),
    datetime.date(1999, 12, 31),
    datetime.timedelta(days=-1, seconds=3, microseconds=7),
    [(1, {'when': datetime.date(2000, 1, 1), 'raw': b'\x80'}), {('x',)}],
]


def echo(*args, **kwargs):
    return args, kwargs


def same(value):
    return value


@scenario
def test_hello(net, transport):
    server, client = net.pair(transport)

    @server.register_rpc
    def hello(name):
        return f'Hello {name}'

    assert (yield client.hello('Charly')) == 'Hello Charly'
    assert (yield client.hello(name='Lily')) == 'Hello Lily'


@scenario
def test_arguments(net):
    server, client = net.pair()
    server.register_rpc(echo)
    assert (yield client.echo()) == ((), {})
    assert (yield client.echo(1, 'b', c=3, d=None)) == ((1, 'b'), {'c': 3, 'd': None})


@scenario
def test_no_keyword_of_the_function_is_eaten(net):
    server, client = net.pair()
    server.register_rpc(echo)
    taken = {
        name: name
        for name in ('timeout', 'name', 'self', 'args', 'kwargs', 'user_id', 'caller')
    }
    assert (yield client.echo(**taken)) == ((), taken)
    assert (yield client.call('echo', **taken)) == ((), taken)
    view = client.with_options(timeout=20)
    assert (yield view.echo(**taken)) == ((), taken)
    assert (yield view.call('echo', **taken)) == ((), taken)


@scenario
def test_wrong_arguments_are_the_functions_own_error(net):
    server, client = net.pair()
    server.register_rpc(lambda a: a, name='one')
    yield from net.raises(TypeError, client.one(), match='missing 1 required')


@scenario
def test_dotted_names(net):
    server, client = net.pair()
    server.register_rpc(lambda: 'beeeh', name='draw.me.a.sheep')
    server.register_rpc(lambda: 'pencil', name='draw')
    assert (yield client.draw.me.a.sheep()) == 'beeeh'
    assert (yield client.draw()) == 'pencil'
    assert (yield client.call('draw.me.a.sheep')) == 'beeeh'
    draw = client.draw
    assert (yield draw.me.a.sheep()) == 'beeeh'
    yield from net.raises(
        pseud.ServiceNotFoundError, client.draw.me(), match=r"'draw\.me'"
    )


@scenario
def test_unknown_function(net):
    _, client = net.pair()
    yield from net.raises(pseud.ServiceNotFoundError, client.nope(), match='nope')


@scenario
def test_names_that_are_taken_locally(net):
    server, client = net.pair()
    taken = ('start', 'stop', 'connect', 'call', 'with_options', '_hidden', '__len__')
    for name in taken:
        server.register_rpc(lambda name=name: name, name=name)
    for name in taken:
        assert (yield client.call(name)) == name
        assert (yield client.with_options(timeout=20).call(name)) == name


@scenario
def test_underscores_are_no_remote_functions(net):
    _, client = net.pair()
    for owner in (client, client.with_options(timeout=9), client.some.function):
        assert not hasattr(owner, '_private')
        assert not hasattr(owner, '__length_hint__')
    with pytest.raises(AttributeError, match=r'call\(\'_private\''):
        client._private()
    yield from ()


@scenario
def test_call_needs_a_name(net):
    _, client = net.pair()
    for bad in ('', None, 3, b'hello'):
        with pytest.raises(TypeError, match='function name'):
            client.call(bad)
    yield from ()


@scenario
def test_options_leave_their_client_alone(net):
    server, client = net.pair(timeout=25)
    server.register_rpc(echo)
    view = client.with_options(timeout=1.5)
    other = view.with_options(timeout=None)
    texts = [repr(caller) for caller in (view, other, client.with_options())]
    assert '1.5' in texts[0]
    assert 'None' in texts[1]
    assert '25' in texts[2]
    with pytest.raises(AttributeError):
        view.timeout = 3
    assert (yield other.echo(1)) == ((1,), {})


@pytest.mark.parametrize('bad', [0, -1, 'soon', True, math.inf, math.nan])
@scenario
def test_a_timeout_is_a_positive_number(net, bad):
    server, client = net.pair()
    for owner in (client, server, client.with_options(timeout=1)):
        with pytest.raises(ValueError, match='timeout must be'):
            owner.with_options(timeout=bad)
    with pytest.raises(ValueError, match='timeout must be'):
        net.client(timeout=bad)
    yield from ()


@scenario
def test_values_arrive_as_what_they_were(net):
    server, client = net.pair()
    server.register_rpc(same)
    for value in VALUES:
        got = yield client.same(value)
        assert got == value
        assert type(got) is type(value)
        assert repr(got) == repr(value)  # nested types, too


@scenario
def test_values_one_by_one_and_all_at_once_are_the_same(net):
    server, client = net.pair()
    server.register_rpc(echo)
    args, _ = yield client.echo(*VALUES)
    assert args == tuple(VALUES)


@scenario
def test_not_a_number(net):
    server, client = net.pair()
    server.register_rpc(same)
    assert math.isnan((yield client.same(math.nan)))


@scenario
def test_datetimes_with_a_zone(net):
    server, client = net.pair()
    server.register_rpc(same)
    zone = zoneinfo.ZoneInfo('Europe/Paris')
    # the hour that comes twice: fold tells which
    when = datetime.datetime(2024, 10, 27, 2, 30, tzinfo=zone, fold=1)
    got = yield client.same(when)
    assert got == when
    assert (got.tzinfo, got.fold, got.utcoffset()) == (zone, 1, when.utcoffset())


@scenario
def test_large_values(net, transport):
    server, client = net.pair(transport)
    server.register_rpc(same)
    for size in (65_000, 65_536, 3_000_000):
        big = bytes(range(256)) * (size // 256)
        assert (yield client.same(big)) == big


@scenario
def test_arguments_that_can_not_travel(net):
    server, client = net.pair()
    ran = []
    server.register_rpc(ran.append, name='f')
    thing = object()
    cases = [
        (((1, thing), {}), r'args\[1\] can not be packed: it is a object'),
        (((), {'a': [1, {'when': thing}]}), r"kwargs\['a'\]\[1\]\['when'\]"),
        ((([0, (1, {2: thing})],), {}), r'args\[0\]\[1\]\[1\]\[2\]'),
        (((iter([1]),), {}), r'args\[0\] can not be packed: it is a list_iterator'),
    ]
    for (args, kwargs), where in cases:
        yield from net.raises(
            pseud.SerializationError, client.f(*args, **kwargs), match=where
        )
    circle = []
    circle.append(circle)
    yield from net.raises(pseud.SerializationError, client.f(circle), match='args')
    assert ran == []


@scenario
def test_a_result_that_can_not_travel_fails_its_call_only(net):
    server, client = net.pair()
    server.register_rpc(lambda: {'x': [object()]}, name='bad')
    server.register_rpc(same)
    bad, good = client.bad(), client.same('good')
    error = yield from net.raises(pseud.SerializationError, bad)
    assert "bad() ran, but result['x'][0] can not be packed" in str(error)
    assert (yield good) == 'good'


@scenario
def test_own_types(net):
    class Point:
        def __init__(self, x, y):
            self.xy = x, y

    table = {
        5: (
            Point,
            lambda point: bytes(point.xy),
            lambda data: Point(*data),
        )
    }
    server, client = net.pair(translation_table=table)
    server.register_rpc(same)
    got = yield client.same([Point(3, 4)])
    assert isinstance(got[0], Point)
    assert got[0].xy == (3, 4)


@scenario(needs=('results',))
def test_several_addresses_share_the_load(net):
    """Calls go to the least busy server."""
    servers, addresses = zip(*(net.serve() for _ in range(2)), strict=True)
    for number, server in enumerate(servers):
        server.register_rpc(lambda number=number: number, name='who')
    client = net.client(*addresses)
    answers = []
    while sorted(answers) != [0] * 5 + [1] * 5:  # until both are connected
        yield net.sleep(0.002)
        answers = yield from net.all([client.who() for _ in range(10)])


@scenario
def test_disconnect(net):
    server, address = net.serve()
    client = net.client(address)
    server.register_rpc(same)
    assert (yield client.same(1)) == 1
    with pytest.raises(ValueError, match='not connected'):
        client.disconnect('tcp://127.0.0.1:1')
    client.disconnect(address)
    client.connect(address)
    assert (yield client.same(2)) == 2


@scenario
def test_bad_addresses(net):
    client = net.client()
    for bad in ('', 'nonsense', 'tcp://', 'tcp://127.0.0.1', 'carrier-pigeon://roof'):
        with pytest.raises(ValueError, match='can not connect'):
            client.connect(bad)
    server, address = net.serve()
    with pytest.raises(OSError, match='can not bind'):
        net.server('other').bind(address)
    with pytest.raises(ValueError, match='not connected'):
        server.disconnect('tcp://127.0.0.1:1')
    yield from ()


@scenario
def test_a_context_whose_sockets_are_others(net):
    """As programs of pseud 1.x pass it; ours are plain sockets all the same."""
    plain, net.context = net.context, zmq.asyncio.Context(net.context)
    server, address = net.serve(security_plugin='trusted_peer')  # with a ZAP handler
    server.register_rpc(len)
    client = net.user(address, 'alice')
    net.context = plain
    assert (yield client.len('abc')) == 3
