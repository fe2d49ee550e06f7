"""What is particular about gevent: results, greenlets, the hub."""

import concurrent.futures
import contextvars
import threading
import time

import pytest
from backends import PATIENCE, scenario

import pseud

pytest.importorskip('gevent')

import gevent
import gevent.event
import gevent.pool

VARIABLE = contextvars.ContextVar('VARIABLE')

only_gevent = pytest.mark.parametrize('backend', ['gevent'], indirect=True)


@pytest.fixture
def pair(net):
    """Makes a server with a function that waits for one of ``gates``, and a client."""

    def pair(**settings):
        server, client = net.pair(**settings)

        @server.register_rpc
        def after(event, value=None):
            gates[event].wait()
            return value

        server.register_rpc(len)
        gates = pair.gates = {name: gevent.event.Event() for name in 'abc'}
        return server, client

    return pair


# ---------------------------------------------------------------- results


@only_gevent
@scenario
def test_get_with_a_timeout_of_its_own(net, pair):
    """gevent's timeout ends the wait, not the call."""
    _, client = pair()
    result = client.after('a', 'value')
    with pytest.raises(gevent.Timeout):
        result.get(timeout=0.01)
    with pytest.raises(gevent.Timeout):
        result.get(block=False)
    with gevent.Timeout(0.01, False):
        result.get()
    assert not result.ready()
    pair.gates['a'].set()
    assert result.get(timeout=PATIENCE) == 'value'
    assert result.get() == result.value == 'value'
    assert result.ready()
    assert result.successful()
    yield from ()


@only_gevent
@scenario
def test_cancel(net, pair):
    _, client = pair(timeout=None)
    results = [client.after('a') for _ in range(2)]
    waits = gevent.spawn(results[0].get)
    gevent.idle()
    assert results[0].cancel() is True
    assert results[0].cancel() is False
    assert results[0].cancelled()
    with pytest.raises(concurrent.futures.CancelledError):
        results[0].get()
    waits.join()
    assert isinstance(waits.exception, concurrent.futures.CancelledError)
    assert not results[1].ready()
    pair.gates['a'].set()
    assert results[1].get(timeout=PATIENCE) is None
    assert results[1].cancel() is False
    assert not results[1].cancelled()
    yield from ()


@only_gevent
@scenario
def test_who_waits_is_killed(net):
    """Nobody waits any more: the function need not go on."""
    server, client = net.pair(timeout=None)
    fate = []

    @server.register_rpc
    def wait():
        fate.append('started')
        try:
            gevent.event.Event().wait()
        finally:
            fate.append('ended')

    waits = gevent.spawn(lambda: client.wait().get())
    yield from net.until(lambda: fate == ['started'])
    waits.kill()
    yield from net.until(lambda: fate == ['started', 'ended'])


@only_gevent
@scenario
def test_results_go_with_what_gevent_has_to_wait(net, pair):
    _, client = pair()
    calls = {name: client.after(name, name) for name in 'abc'}
    assert gevent.wait(calls.values(), timeout=0.01) == []
    pair.gates['b'].set()
    (first,) = gevent.wait(calls.values(), count=1, timeout=PATIENCE)
    assert first is calls['b']
    pair.gates['c'].set()
    arrived = []
    for call in gevent.iwait([calls['a'], calls['c']], timeout=PATIENCE):
        arrived.append(call.get())
        pair.gates['a'].set()
    assert arrived == ['c', 'a']
    failing = client.nope()
    everything = [*calls.values(), failing, gevent.spawn(len, '')]
    assert set(gevent.joinall(everything, timeout=PATIENCE)) == set(everything)
    assert isinstance(failing.exception, pseud.ServiceNotFoundError)
    with pytest.raises(pseud.ServiceNotFoundError):
        gevent.joinall([failing], raise_error=True, timeout=PATIENCE)
    yield from ()


@only_gevent
@scenario
def test_pools(net, pair):
    _, client = pair()
    pool = gevent.pool.Pool(10)
    texts = ['x' * n for n in range(100)]
    assert pool.map(lambda text: client.len(text).get(), texts) == list(range(100))
    lazy = pool.imap_unordered(lambda text: client.len(text).get(), texts)
    assert sorted(lazy) == list(range(100))
    yield from ()


# ---------------------------------------------------------------- many functions


@only_gevent
@scenario
def test_a_thousand_sleep_while_others_are_answered(net):
    server, client = net.pair(timeout=None)
    alarm, asleep = gevent.event.Event(), []

    @server.register_rpc
    def sleep(number):
        asleep.append(number)
        alarm.wait()
        return number

    server.register_rpc(len)
    sleepers = [client.sleep(number) for number in range(1000)]
    yield from net.until(lambda: len(asleep) == 1000)
    for number in range(100):
        assert client.len('x' * number).get() == number
    assert not any(sleeper.ready() for sleeper in sleepers)
    alarm.set()
    assert [sleeper.get() for sleeper in sleepers] == list(range(1000))


@only_gevent
@scenario
def test_blocking_code_in_a_threadpool(net):
    server, client = net.pair(timeout=PATIENCE)
    gate, threads = threading.Event(), []

    def block(value):
        threads.append(threading.get_ident())
        assert gate.wait(PATIENCE)
        if value is None:
            raise ValueError('nothing')
        return value

    @server.register_rpc
    def work(value):
        return gevent.get_hub().threadpool.apply(block, (value,))

    server.register_rpc(len)
    calls = [client.work('value'), client.work(None)]
    yield from net.until(lambda: len(threads) == 2)
    assert (yield client.len('meanwhile')) == 9
    gate.set()
    assert (yield calls[0]) == 'value'
    yield from net.raises(ValueError, calls[1], match='nothing')
    assert threading.get_ident() not in threads


@only_gevent
@scenario
def test_functions_have_a_context_of_their_own(net):
    """Greenlets run one call after the other; no call sees another's variables."""
    server, client = net.pair()

    @server.register_rpc
    def remember(value):
        inherited = VARIABLE.get('nothing')
        VARIABLE.set(value)
        gevent.idle()
        assert VARIABLE.get() == value
        return inherited

    calls = [client.remember(number) for number in range(30)]
    assert set((yield from net.all(calls))) == {'nothing'}


# ---------------------------------------------------------------- life


@only_gevent
@scenario
def test_start_returns_and_stop_waits(net):
    server, address = net.serve()
    began = time.monotonic()
    assert server.start() is None
    assert server.start() is None
    assert time.monotonic() - began < PATIENCE
    client = net.client(address)
    go = gevent.event.Event()

    @server.register_rpc
    def work():
        gevent.spawn(server.stop)  # it finishes what runs
        gevent.idle()
        go.wait(0.02)
        return 'done'

    assert (yield client.work()) == 'done'


@only_gevent
@scenario
def test_stop_from_within_a_function(net):
    server, address = net.serve()
    client = net.client(address, timeout=PATIENCE)

    @server.register_rpc
    def shutdown():
        server.stop()  # returns: it would wait for this function
        return 'bye'

    assert (yield client.shutdown()) == 'bye'
    yield from net.until(lambda: server._engine.closed)


@only_gevent
@scenario
def test_with_blocks(net):
    with net.server() as server:
        server.register_rpc(len)
        address = server.bind(net.address())
        with net.client(address) as client:
            assert client.len('abc').get() == 3
        with pytest.raises(pseud.UsageError, match='was stopped'):
            client.len('abc')
    with pytest.raises(pseud.UsageError, match='was stopped'):
        server.bind(net.address())
    yield from ()
