"""What a call promises when the wire fails: cut, frozen, half open, slow, corrupt."""

import collections
import random

import pytest
from backends import PATIENCE, scenario
from test_curve import ALICE, BOB, by_key, serve
from test_failure import SHORT, waiting

import pseud

# Without heartbeats: what is noticed is noticed at once.
SILENT = {'heartbeat_interval': 0, 'timeout': None}
# A peer that is silent for four times as long is lost; and nothing else ends a call.
BEATING = {'heartbeat_interval': 0.05, 'timeout': None}

both = pytest.mark.parametrize('encrypted', [False, True], ids=['open', 'curve'])


def relayed(net, encrypted=False, **settings):
    """A server, a relay in front of it, and a client alice, who connects to that."""
    if encrypted:
        server, address = serve(net, **settings)
    else:
        server, address = net.serve(security_plugin='trusted_peer', **settings)
    relay = net.relay(address)
    return server, relay, user(net, relay.endpoint, 'alice', encrypted, **settings)


def user(net, address, name, encrypted, **settings):
    if encrypted:
        keys = {'alice': ALICE, 'bob': BOB}[name]
        return by_key(net, address, keys, **settings)
    return net.user(address, name, **settings)


def under_way(net, server, alice):
    """``yield from`` this: calls that do not end, and what becomes of their functions.

    One of each side, if the server can call alice.
    """
    fate = waiting(net, server)
    calls, fates = [alice.wait()], [fate]
    yield from net.until(lambda: fate['started'])
    if 'callable' in net.driver.abilities:
        back = waiting(net, alice)
        calls.append(server.send_to('alice').wait())
        fates.append(back)
        yield from net.until(lambda: back['started'])
    return calls, fates


def all_lost(net, calls, fates):
    """``yield from`` this: see that calls fail, and their functions are cancelled."""
    for call in calls:
        yield from net.raises(pseud.PeerLostError, call, match='may have run')
    yield from net.until(lambda: all(fate['ended'] for fate in fates))
    for fate in fates:
        assert fate['ended'] == [net.driver.cancelled]


# ---------------------------------------------------------------- connections that end


@both
@scenario
def test_a_cut_fails_the_calls_of_both_sides_at_once(net, encrypted):
    server, relay, alice = relayed(net, encrypted, **SILENT)
    server.register_rpc(len)
    for _ in range(2):
        calls, fates = yield from under_way(net, server, alice)
        relay.cut()
        yield from all_lost(net, calls, fates)
        assert (yield alice.len('abc')) == 3


@both
@scenario
def test_a_frozen_wire_is_as_good_as_cut(net, encrypted):
    server, relay, alice = relayed(net, encrypted, **BEATING)
    ran = []
    server.register_rpc(ran.append, name='run')
    calls, fates = yield from under_way(net, server, alice)
    relay.freeze()
    yield from all_lost(net, calls, fates)
    later = alice.run('later')
    relay.thaw()
    yield later
    assert ran == ['later']


@both
@pytest.mark.parametrize('lost', ['server', 'client'])
@scenario
def test_a_connection_that_one_side_has_forgotten(net, encrypted, lost):
    """As it is behind a NAT: one side notices at once, the other by its heartbeats."""
    server, relay, alice = relayed(net, encrypted, **BEATING)
    server.register_rpc(len)
    calls, fates = yield from under_way(net, server, alice)
    relay.half_open(lost)
    yield from all_lost(net, calls, fates)
    assert (yield alice.len('abc')) == 3


@scenario
def test_a_wire_that_is_cut_while_frozen(net):
    """What was on its way has gone, and is not sent again."""
    server, relay, alice = relayed(net, **SILENT)
    ran = []
    server.register_rpc(ran.append, name='run')
    yield alice.run('before')
    relay.freeze()
    error = yield from net.raises(
        pseud.TimeoutError, alice.with_options(timeout=SHORT).run('frozen')
    )
    assert not isinstance(error, pseud.NotSentError)
    relay.cut()
    relay.thaw()
    # if the loss was not noticed yet, a call says so
    outcome = pseud.PeerLostError()
    while isinstance(outcome, pseud.PeerLostError):
        outcome = yield from net.outcome(alice.run('after'))
    assert outcome is None
    assert ran == ['before', 'after']


# ---------------------------------------------------------------- no connection


@scenario
def test_calls_wait_for_the_next_connection(net):
    server, relay, alice = relayed(net, **SILENT)
    ran = []
    server.register_rpc(ran.append, name='run')
    calls, fates = yield from under_way(net, server, alice)
    relay.refuse()
    relay.cut()
    yield from all_lost(net, calls, fates)
    calls = [alice.run(number) for number in range(10)]
    if 'callable' in net.driver.abilities:
        back = server.send_to('alice').wait()
        yield from net.raises(pseud.NotSentError, back, match="'alice'")
    relay.accept()
    yield from net.all(calls)
    if 'loop' in net.driver.abilities:
        assert ran == list(range(10))
    assert sorted(ran) == list(range(10))


@scenario
def test_nothing_stale_is_sent_to_the_next_connection(net):
    server, relay, alice = relayed(net, **SILENT)
    ran = []

    @server.register_rpc
    @net.handler
    def run(what):
        ran.append(what)
        if what == 'lost':
            yield net.event().wait()

    lost = alice.run('lost')
    yield from net.until(lambda: ran)
    relay.refuse()
    relay.cut()
    yield from net.raises(pseud.PeerLostError, lost)
    hurried = alice.with_options(timeout=SHORT)
    yield from net.raises(pseud.NotSentTimeoutError, hurried.run('stale'))
    relay.accept()
    yield alice.run('fresh')
    assert ran == ['lost', 'fresh']


@scenario
def test_each_call_has_one_outcome_whenever_the_wire_is_cut(net):
    server, relay, _ = relayed(net, timeout=PATIENCE)
    chance = random.Random(7)
    ran = collections.Counter()

    @server.register_rpc
    @net.handler
    def run(number):
        ran[number] += 1
        if chance.random() < 0.04:
            relay.cut()
        yield net.sleep(0)
        return number

    for first in range(0, 200, 25):
        # who is new waits for no pause between connections
        client = user(net, relay.endpoint, 'alice', False, timeout=PATIENCE)
        calls = {number: client.run(number) for number in range(first, first + 25)}
        for number, call in calls.items():
            outcome = yield from net.outcome(call)
            if isinstance(outcome, pseud.NotSentError):
                assert ran[number] == 0
            elif isinstance(outcome, pseud.PeerLostError):
                assert ran[number] <= 1
            else:
                assert (outcome, ran[number]) == (number, 1)
        yield client.stop()
    assert max(ran.values()) == 1


# ---------------------------------------------------------------- slow wires


@both
@scenario
def test_a_slow_wire_breaks_nothing(net, encrypted):
    server, relay, alice = relayed(
        net, encrypted, timeout=PATIENCE, heartbeat_interval=0.25
    )
    began = []

    def same(number, data):
        began.append(number)
        return number, data

    server.register_rpc(same)
    big = random.Random(8).randbytes(100_000)
    assert (yield alice.same(-1, b'')) == (-1, b'')
    relay.delay(0.02)
    relay.throttle(500_000)
    calls = [alice.same(number, bytes(100)) for number in range(50)]
    calls.append(alice.same(50, big))
    if 'callable' in net.driver.abilities:
        alice.register_rpc(lambda data: data, name='back')
        assert (yield server.send_to('alice').back(big)) == big
    results = yield from net.all(calls)
    assert results == [*[(number, bytes(100)) for number in range(50)], (50, big)]
    if 'loop' in net.driver.abilities:
        assert began == list(range(-1, 51))
        assert relay.connections == 1


# ---------------------------------------------------------------- corrupt wires


@pytest.mark.parametrize('towards', ['server', 'client'])
@scenario
def test_what_is_corrupt_ends_an_encrypted_connection(net, towards):
    """And no other: a byte of the head of a frame, or of what is encrypted."""
    server, relay, alice = relayed(net, True, **BEATING)
    bystander, held, hold = yield from another(net, server, relay, True)
    for at in (0, 1, None):
        calls, fates = yield from under_way(net, server, alice)
        relay.corrupt(towards, at=at)  # a heartbeat will do
        yield from all_lost(net, calls, fates)
        assert (yield alice.whoami()) == 'alice'
    assert not held['ended']
    bystander.cut()
    yield from net.raises(pseud.PeerLostError, hold)


def another(net, server, relay, encrypted):
    """``yield from`` this: another user's call, which goes on: (his relay, fate, call)."""
    bystander = net.relay(relay._target)
    bob = user(net, bystander.endpoint, 'bob', encrypted, **BEATING)
    held = waiting(net, server, 'hold')
    call = bob.hold()
    yield from net.until(lambda: held['started'])
    return bystander, held, call


@pytest.mark.parametrize('towards', ['server', 'client'])
@scenario
def test_what_is_corrupt_harms_no_other_connection(net, towards):
    """Not encrypted, it may pass for something else; the others do not notice."""
    server, relay, alice = relayed(net, **BEATING)
    bystander, held, hold = yield from another(net, server, relay, False)
    server.register_rpc(lambda text: text, name='same')
    hurried = alice.with_options(timeout=SHORT)
    for at in (0, 1, 2, 4, 9, 20, None):
        yield from at_last(net, lambda: alice.same('x'))
        relay.corrupt(towards, at=at)
        outcome = yield from net.outcome(hurried.same('a text that can be read'))
        assert isinstance(outcome, str | pseud.PseudError), outcome
    assert (yield from at_last(net, lambda: alice.same('x'))) == 'x'
    assert not held['ended']
    bystander.cut()
    yield from net.raises(pseud.PeerLostError, hold)


def at_last(net, call):
    """``yield from`` this: what ``call()`` returns, once the connection is all right."""
    outcome = pseud.PseudError()
    while isinstance(outcome, pseud.PseudError):
        outcome = yield from net.outcome(call())
        yield net.sleep(0)
    return outcome


@both
@scenario
def test_handshakes_that_are_corrupt(net, encrypted):
    """What comes is not even ZMTP, or of another version: libzmq may give up."""
    server, first, _ = relayed(net, encrypted)
    server.register_rpc(len)
    for towards in 'server', 'client':
        for at in (0, 11, 40):
            relay = net.relay(first._target)
            relay.corrupt(towards, at=at)
            alice = user(net, relay.endpoint, 'alice', encrypted, timeout=PATIENCE)
            yield from at_last(net, lambda alice=alice: alice.len('abc'))


@scenario
def test_an_idle_connection_that_is_corrupt(net):
    _, relay, alice = relayed(net, True, **BEATING)
    assert (yield alice.whoami()) == 'alice'
    for towards in 'server', 'client':
        relay.refuse()
        relay.corrupt(towards)
        yield from net.until(lambda: not relay.connections)
        relay.accept()
        assert (yield from at_last(net, alice.whoami)) == 'alice'
