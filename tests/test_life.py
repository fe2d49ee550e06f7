"""Starting and stopping; use by the wrong thread, in a forked child, after the end."""

import threading

import pytest
from backends import PATIENCE, scenario
from programs import SERVER

import pseud


def slow(net, server):
    """Register a function that runs until it is let go; returns (started, go)."""
    started, go = net.event(), net.event()

    @server.register_rpc
    @net.handler
    def slow(value):
        started.set()
        yield go.wait()
        return value

    return started, go


def stop(rpc, grace):
    yield rpc.stop(grace)


# ---------------------------------------------------------------- stopping


@scenario(needs=('results',))
def test_stop_finishes_what_runs(net):
    server, client = net.pair()
    started, go = net.event(), net.event()
    ended = []

    @server.register_rpc
    @net.handler
    def slow():
        started.set()
        yield go.wait()
        ended.append(True)
        return 'done'

    server.register_rpc(len)
    call = client.slow()
    yield started.wait()
    stopping = net.spawn(stop(server, PATIENCE))
    hurried, outcome = client.with_options(timeout=0.05), 0
    while outcome == 0:  # what was sent before the news came is run; then calls wait
        outcome = yield from net.outcome(hurried.len(''))
    assert type(outcome) is pseud.NotSentTimeoutError
    assert 'takes no new calls (it is stopping)' in str(outcome)
    assert not call.done()
    assert not ended
    go.set()
    yield stopping
    assert (yield call) == 'done'
    assert ended
    yield from net.outcome(call)
    yield server.stop()  # once more does no harm


@scenario(needs=('results',))
def test_the_last_replies_leave(net):
    """A server may stop from within a call, and that call is answered."""
    server, client = net.pair()
    big = b'x' * (5 << 20)

    @server.register_rpc
    @net.handler
    def shutdown():
        server.stop()
        yield net.sleep(0)
        return big

    assert (yield client.shutdown()) == big


@scenario(needs=('results',))
def test_stop_cancels_what_outlasts_the_grace(net):
    server, client = net.pair(timeout=None)
    started, _ = slow(net, server)
    call = client.slow('never')
    yield started.wait()
    yield server.stop(grace=0)
    error = yield from net.raises(pseud.PeerLostError, call)
    assert 'may have run' in str(error)


@scenario(needs=('results',))
def test_the_grace_can_be_cut_short(net):
    server, client = net.pair(timeout=None)
    started, _ = slow(net, server)
    call = client.slow('never')
    yield started.wait()
    patient = net.spawn(stop(server, 3600))
    yield net.sleep(0)
    yield server.stop(grace=0)
    yield patient
    yield from net.raises(pseud.PeerLostError, call)


@scenario(needs=('results',))
def test_stopping_a_client_ends_its_calls(net):
    server, client = net.pair(timeout=None)
    started, _ = slow(net, server)
    call = client.slow('never')
    waits = net.client(timeout=None).f()
    yield started.wait()
    yield client.stop()
    yield from net.raises(pseud.PeerLostError, call)
    for rpc in net.made:
        yield rpc.stop()
    yield from net.raises(pseud.NotSentError, waits, match='stopped')


@scenario
def test_stop_without_start(net):
    yield net.client().stop()
    yield net.server().stop()


@scenario(needs=('loop',))
def test_use_after_stop(net):
    server, address = net.serve()
    client = net.client(address)
    server.register_rpc(len)
    assert (yield client.len('')) == 0
    yield client.stop()
    yield server.stop()
    for use in (
        lambda: client.len(''),
        lambda: client.connect(address),
        lambda: server.bind(address),
        lambda: client.start(),
        lambda: server.start(),
        lambda: server.send_to('alice').f(),
    ):
        with pytest.raises(pseud.UsageError, match='was stopped: make a new one'):
            use()


@scenario
def test_an_address_is_free_again_after_stop(net):
    for _ in range(5):
        server, address = net.serve()
        client = net.client(address)
        server.register_rpc(len)
        assert (yield client.len('')) == 0
        yield server.stop()
        again = net.server()
        again.register_rpc(len)
        assert again.bind(address) == address
        # a call that meets the old connection says so
        outcome = pseud.NotSentError()
        while isinstance(outcome, pseud.NotSentError | pseud.PeerLostError):
            outcome = yield from net.outcome(client.len('abc'))
        assert outcome == 3
        yield again.stop()
        yield client.stop()


@scenario
def test_an_address_is_free_again_at_once(net):
    server, address = net.serve()
    server.register_rpc(len)
    yield net.client(address).len('')
    for _ in range(20):
        yield server.stop()
        server = net.server()
        assert server.bind(address) == address


@scenario
def test_servers_that_ask_for_passwords_one_after_the_other(net):
    """In one ØMQ context, which has one address for them to ask at."""
    for _ in range(100):
        server, _ = net.serve(security_plugin='plain', passwords={'alice': 'secret'})
        yield server.stop(grace=0)


# ---------------------------------------------------------------- wrong places


@scenario(needs=('loop',))
def test_the_wrong_thread(net):
    server, address = net.serve()
    client = net.client(address)
    server.register_rpc(len)
    assert (yield client.len('')) == 0
    uses = [
        lambda: client.len(''),
        lambda: client.call('len', ''),
        lambda: client.connect(address),
        lambda: client.disconnect(address),
        lambda: client.stop(),
        lambda: server.bind(net.address()),
        lambda: server.send_to('alice').f(),
        lambda: server.stop(),
    ]
    outcomes = []

    def misuse():
        for use in uses:
            try:
                outcomes.append(use())
            except BaseException as error:
                outcomes.append(error)

    thread = threading.Thread(target=misuse)
    thread.start()
    yield net.thread(thread.join)
    for outcome in outcomes:
        assert isinstance(outcome, pseud.WrongThreadError), outcome
        assert 'call_soon_threadsafe' in str(outcome)
    assert len(outcomes) == len(uses)
    assert (yield client.len('unharmed')) == 8


@scenario(needs=('results',))
def test_cancelling_in_the_wrong_thread(net):
    server, client = net.pair()
    started, go = slow(net, server)
    call = client.slow(1)
    yield started.wait()
    # does nothing that would break the loop's thread; says so
    outcome = yield from net.outcome(net.thread(call.cancel))
    assert isinstance(outcome, pseud.WrongThreadError)
    go.set()
    assert (yield call) == 1


FORKING = """
import asyncio, os, sys
import pseud

async def main():
    server = pseud.Server('service')
    server.register_rpc(len)
    address = server.bind('tcp://127.0.0.1:*')
    client = pseud.Client('service')
    client.connect(address)
    assert await client.len('abc') == 3
    child = os.fork()
    if child == 0:
        try:
            for use in (
                lambda: client.len(''),
                lambda: client.connect(address),
                lambda: client.stop(),
                lambda: server.bind('tcp://127.0.0.1:*'),
                lambda: server.stop(),
            ):
                try:
                    use()
                except pseud.ForkedError as error:
                    assert 'make a new one there' in str(error)
                else:
                    raise AssertionError('nothing was raised')
            say('forked')
        finally:
            sys.stdout.flush()
            os._exit(0)
    os.waitpid(child, 0)
    assert await client.len('unharmed') == 8
    await client.stop()
    await server.stop()
    say('end')

asyncio.run(main())
"""


def test_after_fork(program):
    pytest.importorskip('tornado')
    forking = program(FORKING)
    assert forking.rest() == ['forked', 'end']
    assert forking.wait() == 0, forking.stderr


FORK_FIRST = """
import asyncio, os
import pseud
from pseud.utils import register_rpc

@register_rpc
def unused():
    pass

child = os.fork()
client = pseud.Client('service')

async def main():
    client.connect(ADDRESS)
    assert await client.pid() > 0
    await client.stop()

asyncio.run(main())
if child:
    assert os.waitpid(child, 0)[1] == 0
    say('both')
else:
    os._exit(0)
"""


def test_both_sides_of_a_fork_with_clients_of_their_own(program):
    """A pre-forking server makes its clients in each child."""
    pytest.importorskip('tornado')
    server = program(SERVER)
    forking = program(FORK_FIRST.replace('ADDRESS', repr(server.line())))
    assert forking.rest() == ['both']
    assert forking.wait() == 0, forking.stderr
