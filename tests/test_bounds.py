"""Bounds: what is refused, by whom, and what settings are no settings."""

import math

import pytest
from backends import scenario

import pseud

SETTINGS = [
    ({'timeout': 0}, ValueError, 'timeout'),
    ({'timeout': -1.0}, ValueError, 'timeout'),
    ({'timeout': math.inf}, ValueError, 'timeout'),
    ({'timeout': '5'}, ValueError, 'timeout'),
    ({'protocol': 3}, ValueError, 'protocol must be 1 or 2'),
    ({'limits': {'max_calls': 3}}, TypeError, 'pseud.Limits'),
    ({'heartbeat_interval': -1}, ValueError, 'heartbeat_interval'),
    ({'linger': None}, ValueError, 'linger'),
    ({'linger': math.nan}, ValueError, 'linger'),
    ({'user_id': 3}, TypeError, 'user_id must be a str'),
    ({'password': 3}, TypeError, 'password must be a str'),
    ({'name': 'x' * 256}, ValueError, '255 bytes'),
    ({'name': 3}, TypeError, 'name must be a str'),
    ({'translation_table': {64: (int, str, str)}}, ValueError, r'0\.\.63'),
    ({'tmieout': 3}, TypeError, 'tmieout'),
]


@pytest.mark.parametrize(('settings', 'error', 'text'), SETTINGS, ids=str)
def test_settings_are_checked(backend, settings, error, text):
    for made in (backend.Client, backend.Server):
        with pytest.raises(error, match=text):
            made(**{'name': 'service', **settings})


def test_names_may_be_bytes_as_ever(backend):
    client = backend.Client(b'service', user_id=b'alice', password=b'secret')
    assert (client.settings.name, client.settings.user_id) == ('service', 'alice')
    assert 'secret' not in repr(client.settings)
    client.stop()


def test_protocol_is_for_clients(backend):
    with pytest.raises(ValueError, match='is for clients'):
        backend.Server('service', protocol=1)


@pytest.mark.parametrize(
    'name',
    ['max_message', 'max_calls_per_peer', 'max_calls', 'max_queue', 'max_peers'],
)
@pytest.mark.parametrize('value', [0, -1, 1.5, '1', None, True])
def test_limits_are_positive_ints(name, value):
    with pytest.raises(ValueError, match=f'{name} must be a positive int'):
        pseud.Limits(**{name: value})


def test_limits_have_finite_defaults():
    limits = pseud.Limits()
    for name in limits.__slots__:
        assert 0 < getattr(limits, name) < 2**40
    with pytest.raises(AttributeError):
        limits.max_calls = 3


def one_sided(net, *, here=None, there=None, **functions):
    """A server and a client with limits of their own."""
    server, address = net.serve(limits=there or pseud.Limits())
    for name, function in functions.items():
        server.register_rpc(net.handler(function), name=name)
    return net.client(address, limits=here or pseud.Limits())


def waiting(net):
    """A function that waits, and what it waits for; counts its runs."""
    go, runs = net.event(), []

    def wait():
        runs.append(True)
        yield go.wait()
        return 'done'

    return go, runs, wait


@pytest.mark.parametrize('field', ['max_calls', 'max_calls_per_peer'])
@scenario(needs=('results',))
def test_calls_under_way_here(net, field):
    """The fourth is refused before it leaves; when one is over there is room again."""
    go, runs, wait = waiting(net)
    client = one_sided(net, here=pseud.Limits(**{field: 3}), wait=wait, len=len)
    assert (yield client.len('')) == 0
    calls = [client.wait() for _ in range(3)]
    error = yield from net.raises(pseud.OverloadedError, client.wait(), match='3 calls')
    assert isinstance(error, pseud.NotSentError)
    yield from net.until(lambda: len(runs) == 3)
    go.set()
    assert (yield from net.all(calls)) == ['done'] * 3
    assert (yield client.len('room')) == 4
    assert len(runs) == 3


@pytest.mark.parametrize('field', ['max_calls', 'max_calls_per_peer'])
@scenario(needs=('results',))
def test_calls_under_way_there(net, field):
    go, runs, wait = waiting(net)
    client = one_sided(net, there=pseud.Limits(**{field: 3}), wait=wait, len=len)
    calls = [client.wait() for _ in range(5)]
    outcomes = []
    for call in calls[3:]:
        outcomes.append((yield from net.outcome(call)))  # noqa: PERF401
    assert [type(outcome) for outcome in outcomes] == [pseud.OverloadedError] * 2
    yield from net.until(lambda: len(runs) == 3)
    go.set()
    assert (yield from net.all(calls[:3])) == ['done'] * 3
    assert (yield client.len('room')) == 4


@scenario(needs=('results',))
def test_calls_that_wait_for_a_connection(net):
    """A dead server does not fill the memory of its clients."""
    limits = pseud.Limits(max_queue=10_000)
    client = net.client(limits=limits, timeout=None)
    waiting = [client.f(b'x' * 4000) for _ in range(2)]
    yield from net.raises(pseud.OverloadedError, client.f(b'x' * 4000), match='wait')
    for call in waiting:
        call.cancel()
        yield from net.outcome(call)
    again = client.f(b'x' * 4000)
    again.cancel()
    yield from net.outcome(again)


SMALL = pseud.Limits(max_message=100_000)


@scenario
def test_arguments_too_large_for_the_server(net):
    """A client that was welcomed knows, and sends nothing; others are told."""
    ran = []
    client = one_sided(net, there=SMALL, run=ran.append, len=len)
    assert (yield client.len(b'x' * 90_000)) == 90_000
    error = yield from net.raises(
        pseud.MessageTooLargeError, client.run(b'x' * 100_001), match='100000'
    )
    assert 'max_message' in str(error)
    assert ran == []
    assert (yield client.len('still connected')) == 15


@scenario
def test_arguments_too_large_for_the_client_itself(net):
    client = net.client(net.serve()[1], limits=SMALL)
    yield from net.raises(pseud.MessageTooLargeError, client.f(b'x' * 100_001))


@scenario
def test_results_too_large_for_the_client(net):
    client = one_sided(net, here=SMALL, make=lambda size: b'x' * size)
    assert len((yield client.make(90_000))) == 90_000
    error = yield from net.raises(
        pseud.MessageTooLargeError, client.make(100_001), match='ran, but result'
    )
    assert not isinstance(error, pseud.NotSentError)  # it did run
    assert (yield client.make(1)) == b'x'


@scenario(needs=('callable',))
def test_sizes_the_other_way_round(net):
    server, address = net.serve(security_plugin='trusted_peer')
    alice = net.user(address, 'alice', limits=SMALL)
    server.register_rpc(len)
    alice.register_rpc(len, name='count')
    yield alice.len('')
    call = server.send_to('alice').count(b'x' * 100_001)
    yield from net.raises(pseud.MessageTooLargeError, call)
    assert (yield server.send_to('alice').count('abc')) == 3


@scenario
def test_large_errors_still_arrive(net):
    def fail():
        raise ValueError('x' * 1_000_000)

    client = one_sided(net, here=SMALL, fail=fail, len=len)
    outcome = yield from net.outcome(client.fail())
    assert isinstance(outcome, ValueError | pseud.MessageTooLargeError)
    assert (yield client.len('')) == 0


@scenario
def test_more_clients_than_the_server_keeps_track_of(net):
    server, address = net.serve(limits=pseud.Limits(max_peers=2))
    server.register_rpc(len)
    clients = [net.client(address) for _ in range(2)]
    for client in clients:
        assert (yield client.len('')) == 0
    late = net.client(address)
    yield from net.raises(pseud.NotSentError, late.len(''), match='2 peers')
    assert (yield clients[0].len('')) == 0
