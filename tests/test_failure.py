"""What a call promises when something fails: deadlines, cancellation, lost peers."""

import builtins
import contextlib
import os
import signal
import socket

from backends import PATIENCE, scenario
from programs import SERVER

import pseud

# Seconds that a call is given which must run into its deadline.
SHORT = 0.05


def waiting(net, server, name='wait'):
    """Register a function that waits for ever; returns what happened to its runs."""
    fate = {'started': 0, 'ended': []}

    @server.register_rpc(name=name)
    @net.handler
    def wait():
        fate['started'] += 1
        try:
            yield net.event().wait()
        except BaseException as error:
            fate['ended'].append(type(error))
            raise

    return fate


def times_out(net, call, started):
    """``yield from`` this: make calls that time out until one of them came to run."""
    while not started():
        error = yield from net.raises(pseud.TimeoutError, call())
    return error


@contextlib.contextmanager
def nobody():
    """An address where nobody listens, until this ends."""
    with socket.socket() as holder:
        holder.bind(('127.0.0.1', 0))
        yield f'tcp://127.0.0.1:{holder.getsockname()[1]}'


# ---------------------------------------------------------------- deadlines


@scenario
def test_a_deadline_ends_the_call_and_the_function(net):
    server, address = net.serve()
    client = net.client(address)
    fate = waiting(net, server)
    hurried = client.with_options(timeout=SHORT)
    error = yield from times_out(net, hurried.wait, lambda: fate['started'])
    assert isinstance(error, builtins.TimeoutError)
    assert f'within {SHORT} s' in str(error)
    assert not isinstance(error, pseud.NotSentError)
    assert address in str(error)
    yield from net.until(lambda: fate['ended'])
    assert fate['ended'] == [net.driver.cancelled]
    server.register_rpc(len)
    assert (yield client.len('still there')) == 11


@scenario
def test_the_timeout_of_the_constructor(net):
    server, client = net.pair(timeout=SHORT)
    waiting(net, server)
    yield from net.raises(pseud.TimeoutError, client.wait())


@scenario
def test_deadlines_of_many_calls(memory):
    """Each at its own time, and none of the others."""
    server, client = memory.pair()
    waiting(memory, server)
    calls = [client.with_options(timeout=1 + n % 3).wait() for n in range(30)]
    forever = client.with_options(timeout=None).wait()
    for seconds in range(4):
        assert [call.done() for call in calls] == [n % 3 < seconds for n in range(30)]
        yield memory.clock.advance(1)
    for call in calls:
        yield from memory.raises(pseud.TimeoutError, call)
    assert not forever.done()
    forever.cancel()


@scenario
def test_a_late_answer_is_dropped(net):
    server, client = net.pair()
    go = net.event()
    started, answered, calls = [], [], []

    @server.register_rpc
    @net.handler
    def stubborn():
        started.append(True)
        try:
            yield go.wait()
        except BaseException:
            answered.append(True)
            return 'anyway'

    def call():
        calls.append(client.with_options(timeout=SHORT).stubborn())
        return calls[-1]

    yield from times_out(net, call, lambda: started)
    yield from net.until(lambda: answered)
    server.register_rpc(len)
    assert (yield client.len('')) == 0
    yield from net.raises(pseud.TimeoutError, calls[-1])  # remains what it was


@scenario
def test_nested_calls_inherit_the_deadline(memory):
    server, alice = memory.users('alice')
    fate = waiting(memory, alice)

    @server.register_rpc(with_identity=True)
    @memory.handler
    def outer(user_id):
        yield memory.clock.sleep(2)
        yield server.send_to(user_id).with_options(timeout=None).wait()

    call = alice.with_options(timeout=3).outer()
    yield memory.clock.advance(2.9)
    assert fate == {'started': 1, 'ended': []}
    yield memory.clock.advance(0.2)
    yield from memory.raises(pseud.TimeoutError, call)
    assert fate == {'started': 1, 'ended': [memory.driver.cancelled]}


@scenario
def test_not_connected_says_what_it_waited_for(net):
    with nobody() as address:
        client = net.client(address, timeout=SHORT)
        error = yield from net.raises(pseud.NotSentTimeoutError, client.f())
    assert address in str(error)
    assert 'did not run' in str(error)
    assert isinstance(error, pseud.NotSentError)
    assert isinstance(error, builtins.TimeoutError)


@scenario(needs=('loop',))
def test_not_connected_to_anything(net):
    client = net.client(timeout=SHORT)
    yield from net.raises(pseud.NotSentTimeoutError, client.f())


# ---------------------------------------------------------------- cancellation


@scenario(needs=('results',))
def test_cancelling_a_call_cancels_its_function(net):
    server, client = net.pair(timeout=None)
    fate = waiting(net, server)
    call = client.wait()
    yield from net.until(lambda: fate['started'])
    call.cancel()
    yield from net.raises(net.driver.result_cancelled, call)
    yield from net.until(lambda: fate['ended'])
    assert fate['ended'] == [net.driver.cancelled]
    call.cancel()  # once more does no harm


@scenario(needs=('results',))
def test_cancelled_before_it_left(net):
    server, address = net.serve()
    ran = []
    server.register_rpc(ran.append, name='run')
    server.register_rpc(len)
    client = net.client(timeout=None)
    calls = [client.run(number) for number in range(3)]
    calls[1].cancel()
    client.connect(address)
    yield from net.raises(net.driver.result_cancelled, calls[1])
    yield from net.all([calls[0], calls[2]])
    assert ran == [0, 2]


@scenario(needs=('results', 'callable'))
def test_cancellation_travels_through_nested_calls(net):
    server, alice = net.users('alice', timeout=None)
    fate = waiting(net, alice)

    @server.register_rpc(with_identity=True)
    @net.handler
    def outer(user_id):
        yield server.send_to(user_id).wait()

    call = alice.outer()
    yield from net.until(lambda: fate['started'])
    call.cancel()
    yield from net.until(lambda: fate['ended'])
    yield from net.raises(net.driver.result_cancelled, call)


@scenario
def test_a_function_that_cancels_itself(net):
    server, client = net.pair()

    @server.register_rpc
    @net.handler
    def give_up():
        yield net.sleep(0)
        raise net.driver.cancelled

    yield from net.raises(pseud.RemoteError, client.give_up())


@scenario(needs=('results',))
def test_a_hundred_calls_each_have_one_outcome(net):
    """10 raise, 10 time out, 10 are cancelled, all the others return."""
    server, client = net.pair(timeout=PATIENCE)
    waiting(net, server)
    held = waiting(net, server, 'hold')
    go, resolved = net.event(), []

    @server.register_rpc
    @net.handler
    def work(n):
        yield go.wait()
        if n % 10 == 1:
            raise ValueError(n)
        return n

    hurried = client.with_options(timeout=SHORT)
    calls = {}
    for n in range(100):
        kind = n % 10
        if kind == 2:
            calls[n] = hurried.wait()
        elif kind == 3:
            calls[n] = client.hold()
        else:
            calls[n] = client.work(n)
    done = [net.spawn(note(net, calls[n], n, resolved)) for n in calls]
    yield from net.until(lambda: held['started'] == 10)
    for n in range(3, 100, 10):
        calls[n].cancel()
    yield from net.until(lambda: len(resolved) == 20)
    go.set()
    yield from net.all(done)
    assert sorted(n for n, _ in resolved) == list(range(100))
    for n, outcome in resolved:
        kind = n % 10
        if kind == 1:
            assert type(outcome) is ValueError
            assert outcome.args == (n,)
        elif kind == 2:
            assert isinstance(outcome, pseud.TimeoutError)  # sent, or not even that
        elif kind == 3:
            assert isinstance(outcome, net.driver.result_cancelled)
        else:
            assert outcome == n
    yield from net.until(lambda: len(held['ended']) == 10)


def note(net, call, n, resolved):
    resolved.append((n, (yield from net.outcome(call))))


# ---------------------------------------------------------------- lost peers


def start_server(net, program, **env):
    server = program(SERVER, env=env)
    return server, (yield net.thread(server.line))


@scenario
def test_a_killed_server_fails_its_calls_at_once(net, program):
    server, address = yield from start_server(net, program)
    client = net.client(address, timeout=None)  # there is no other way out
    call = client.wait()
    assert (yield net.thread(server.line)) == 'waiting'
    server.kill()
    error = yield from net.raises(pseud.PeerLostError, call, match='may have run')
    assert address in str(error)
    # the next one waits for a connection, and says that it certainly did not run
    later = client.with_options(timeout=SHORT).pid()
    yield from net.raises(pseud.NotSentTimeoutError, later)


@scenario
def test_a_frozen_server_is_lost(net, program):
    server, address = yield from start_server(net, program)
    client = net.client(address, timeout=None, heartbeat_interval=0.1)
    call = client.wait()
    yield net.thread(server.line)
    server.signal(signal.SIGSTOP)
    yield from net.raises(pseud.PeerLostError, call)


@scenario
def test_nothing_stale_runs_after_a_reconnect(net, program):
    server, address = yield from start_server(net, program)
    client = net.client(address, timeout=PATIENCE)
    first = yield client.pid()
    lost = client.wait()
    yield net.thread(server.line)
    server.kill()
    yield from net.raises(pseud.PeerLostError, lost)
    # due before there is a server again: must not reach it
    stale = client.with_options(timeout=SHORT).note('stale')
    yield from net.raises(pseud.NotSentTimeoutError, stale)
    waits = client.note('waited')
    yield from start_server(net, program, ADDRESS=address)
    assert (yield waits) == ['waited']
    assert (yield client.pid()) != first


@scenario
def test_calls_wait_for_a_server_to_appear(net, transport):
    with nobody() as address:
        if transport != 'tcp':
            address = net.address(transport)
        client = net.client(address, timeout=PATIENCE)
        calls = [client.double(n) for n in range(10)]
        yield net.sleep(0)
    server = net.server()
    server.register_rpc(lambda n: 2 * n, name='double')
    server.bind(address)
    assert (yield from net.all(calls)) == list(range(0, 20, 2))


CLIENT = """
import os, sys
from pseud import Client

client = Client('service', security_plugin='plain', user_id='alice', timeout=None)
client.register_rpc(os.getpid, name='pid')

if 'gevent' in Client.__module__:
    import gevent.event

    @client.register_rpc
    def wait():
        say('waiting')
        gevent.event.Event().wait()

    client.connect(sys.argv[1])
    waiting = client.wait()
    gevent.event.Event().wait()
else:
    import asyncio

    @client.register_rpc
    async def wait():
        say('waiting')
        await asyncio.Event().wait()

    async def main():
        client.connect(sys.argv[1])
        await asyncio.gather(client.wait(), asyncio.Event().wait())

    asyncio.run(main())
"""


@scenario(needs=('callable',))
def test_a_killed_client_fails_the_servers_calls_at_once(net, program):
    server, address = net.serve(security_plugin='trusted_peer', timeout=None)
    fate = waiting(net, server)
    client = program(CLIENT.replace('sys.argv[1]', repr(address)))
    yield from net.until(lambda: fate['started'])
    alice = server.send_to('alice')
    assert (yield alice.pid()) == client.process.pid
    call = alice.wait()
    assert (yield net.thread(client.line)) == 'waiting'
    client.kill()
    yield from net.raises(pseud.PeerLostError, call)
    # its own call is not worth to go on with
    yield from net.until(lambda: fate['ended'])
    assert fate['ended'] == [net.driver.cancelled]
    yield from net.raises(pseud.NotSentError, alice.pid(), match="'alice'")


@scenario(needs=('results',))
def test_losing_the_caller_cancels_the_function(net):
    server, address = net.serve()
    fate = waiting(net, server)
    client = net.client(address, timeout=None)
    call = client.wait()
    yield from net.until(lambda: fate['started'])
    client.disconnect(address)
    yield from net.raises(pseud.PeerLostError, call)
    yield from net.until(lambda: fate['ended'])


@scenario
def test_no_descriptors_leak(net):
    server, address = net.serve()
    server.register_rpc(len)

    def visit(times):
        for _ in range(times):
            client = net.client(address)
            assert (yield client.len('')) == 0
            yield client.stop()
            net.made.remove(client)

    yield from visit(3)
    before = len(os.listdir('/dev/fd'))
    yield from visit(20)
    # the server closes its ends when it gets to it
    yield from net.until(lambda: len(os.listdir('/dev/fd')) <= before + 2)
