"""Calls that a server passes on to where their functions are, and back."""

import contextlib
import signal

import msgpack
import pytest
from backends import scenario
from service import BACKENDS, Service
from test_old_peers import ERROR, OK, V1Server
from zope.interface import implementer

import pseud
import pseud.utils
from pseud.interfaces import IPredicate, IRPCCallable
from pseud.plugins import adapter

both_ways = scenario(needs=('callable',))


def gateway(net, address, user_id='gateway', name='service', **settings):
    """A server in front of another, and its address.

    Args:
        address, name: of the other.
        user_id: who it is there.
    """
    back = net.user(address, user_id, name=name)
    settings = {'security_plugin': 'trusted_peer', 'proxy_to': back, **settings}
    return net.serve('gateway', **settings)


def behind(net, *names, gates=1, trusted=True, **settings):
    """A server behind gateways, and a client of the first for each name."""
    passed_on = [f'gateway {number}' for number in range(gates)]
    proxies = {'trusted_proxies': passed_on} if trusted else {}
    server, address = net.serve(security_plugin='trusted_peer', **proxies)
    name = 'service'
    for gate in passed_on:
        _, address = gateway(net, address, gate, name, **proxies, **settings)
        name = 'gateway'
    return server, *(net.user(address, name, name='gateway') for name in names)


def who():
    call = pseud.current_call()
    return call.user_id, call.hops, call.peer.user_id


# ---------------------------------------------------------------- what is passed on


@both_ways
def test_functions_that_are_elsewhere(net):
    server, address = net.serve(security_plugin='trusted_peer')
    server.register_rpc(lambda: 'behind', name='first')
    server.register_rpc(lambda *args, **kwargs: (args, kwargs), name='a.b.second')
    front, address = gateway(net, address)
    front.register_rpc(lambda: 'in front', name='first')
    client = net.user(address, 'alice', name='gateway')
    assert (yield client.first()) == 'in front'
    assert (yield client.a.b.second(1, {2}, three=b'4')) == ((1, {2}), {'three': b'4'})
    error = yield from net.raises(pseud.ServiceNotFoundError, client.third())
    assert "'third'" in str(error)


@both_ways
def test_what_is_restricted_here_is_not_passed_on(net):
    server, address = net.serve(security_plugin='trusted_peer')
    server.register_rpc(lambda: 'for all', name='restart')
    front, address = gateway(net, address)
    front.register_rpc(lambda: 'for alice', name='restart', domain='only alice')
    client = net.user(address, 'bob', name='gateway')
    yield from net.raises(pseud.ServiceNotFoundError, client.restart())


class Point:
    """Known at the ends only."""

    def __init__(self, *place):
        self.place = place


@both_ways
def test_what_is_passed_on_is_not_looked_at(net):
    table = {7: (Point, lambda point: bytes(point.place), lambda data: Point(*data))}
    server, address = net.serve(security_plugin='trusted_peer', translation_table=table)
    server.register_rpc(lambda value: value, name='same')
    _, address = gateway(net, address)
    client = net.user(address, 'alice', name='gateway', translation_table=table)
    big = [bytes(1 << 20), bytearray(1 << 17), 'text' * 50_000]
    point, *rest = yield client.same([Point(3, 4), *big])
    assert point.place == (3, 4)
    assert rest == big


@both_ways
def test_exceptions_keep_their_tracebacks(net):
    server, client = behind(net, 'alice')

    class OutOfMilk(Exception):
        pass

    def fail(known):
        raise LookupError('no such cow') if known else OutOfMilk('one', 2)

    server.register_rpc(fail)
    error = yield from net.raises(LookupError, client.fail(True), match='no such cow')
    assert 'in fail' in str(error.__cause__)
    error = yield from net.raises(pseud.RemoteError, client.fail(False))
    assert error.type_name.endswith('OutOfMilk')
    assert error.args == ('one', 2)


@both_ways
def test_many_at_once(net):
    server, *clients = behind(net, 'alice', 'bob', gates=2)
    server.register_rpc(lambda value: value, name='same')
    calls = [
        client.same((name, number))
        for number in range(100)
        for name, client in zip(('alice', 'bob'), clients, strict=True)
    ]
    assert (yield from net.all(calls)) == [
        (name, number) for number in range(100) for name in ('alice', 'bob')
    ]


@both_ways
def test_a_sync_client(net):
    server, _ = behind(net, 'alice')
    server.register_rpc(who)
    address = net.made[-1]._engine.core.waits_for
    client = pseud.SyncClient(
        'gateway',
        context=net.context,
        security_plugin='plain',
        user_id='bob',
        password='',
    )
    with client:
        client.connect(address)
        assert (yield net.thread(client.who)) == ('bob', 1, 'gateway 0')


# ---------------------------------------------------------------- time


@both_ways
def test_deadlines_are_passed_on(net):
    server, client = behind(net, 'alice', gates=2)
    server.register_rpc(lambda: pseud.current_call().remaining, name='remaining')
    assert 50 < (yield client.with_options(timeout=60).remaining()) <= 60.01
    assert (yield client.with_options(timeout=None).remaining()) is None


@both_ways
def test_cancellation_is_passed_on(net):
    server, client = behind(net, 'alice', gates=2)
    running, ended = net.event(), net.event()

    @server.register_rpc
    @net.handler
    def wait():
        running.set()
        try:
            yield net.event().wait()
        finally:
            ended.set()

    call = client.wait()
    yield running.wait()
    call.cancel()
    yield ended.wait()


@both_ways
def test_who_leaves_does_not_wait_any_more(net):
    server, client = behind(net, 'alice')
    running, ended = net.event(), net.event()

    @server.register_rpc
    @net.handler
    def wait():
        running.set()
        try:
            yield net.event().wait()
        finally:
            ended.set()

    call = client.wait()
    yield running.wait()
    yield client.stop(grace=0)
    yield from net.raises(pseud.PeerLostError, call)
    yield ended.wait()


# ---------------------------------------------------------------- what fails


@both_ways
def test_nobody_behind(net):
    client = net.user('tcp://127.0.0.1:1', 'gateway')
    _, address = net.serve('gateway', proxy_to=client)
    caller = net.client(address, name='gateway', timeout=0.2)
    yield from net.raises(pseud.TimeoutError, caller.f())


@both_ways
def test_the_server_behind_is_lost(net):
    server, client = behind(net, 'alice')
    running = net.event()

    @server.register_rpc
    @net.handler
    def wait():
        running.set()
        yield net.event().wait()

    call = client.wait()
    yield running.wait()
    yield server.stop(grace=0)
    yield from net.raises(pseud.PeerLostError, call, match='may have run')


@both_ways
def test_a_gateway_that_is_refused(net):
    """It is not the caller who is not authorized."""
    _, address = net.serve(security_plugin='plain', passwords={'gateway': 'right'})
    back = net.user(address, 'gateway', 'wrong')
    _, front = net.serve('gateway', proxy_to=back)
    client = net.client(front, name='gateway')
    yield from net.raises(pseud.NotSentError, client.f(), match='wrong')


@both_ways
def test_a_client_that_was_stopped(net):
    server, address = net.serve()
    server.register_rpc(abs)
    back = net.client(address)
    _, address = net.serve('gateway', proxy_to=back)
    client = net.client(address, name='gateway')
    assert (yield client.abs(-1)) == 1
    yield back.stop()
    error = yield from net.outcome(client.abs(-1))
    assert isinstance(error, pseud.PseudError)
    assert 'was stopped' in str(error)


@both_ways
def test_results_that_are_too_large_for_the_caller(net):
    server, _ = behind(net, 'alice')
    server.register_rpc(bytes, name='bytes')
    client = net.user(
        net.made[-1]._engine.core.waits_for,
        'bob',
        name='gateway',
        limits=pseud.Limits(max_message=100_000),
    )
    assert len((yield client.bytes(1000))) == 1000
    yield from net.raises(pseud.MessageTooLargeError, client.bytes(200_000))


@pytest.mark.parametrize('connected', [True, False])
@both_ways
def test_calls_that_are_too_large_for_the_server_behind(net, connected):
    """It did not run: elsewhere that error may mean that it did."""
    server, address = net.serve(limits=pseud.Limits(max_message=1000))
    server.register_rpc(len)
    back = net.client(address)
    _, front = net.serve('gateway', proxy_to=back)
    client = net.client(front, name='gateway')
    if connected:
        assert (yield client.len(b'')) == 0
    call = client.len(bytes(2000))
    yield from net.raises(pseud.MessageTooLargeError, call, match='did not run')


@both_ways
def test_stopping_lets_calls_end(net):
    server, client = behind(net, 'alice')
    running, go_on = net.event(), net.event()

    @server.register_rpc
    @net.handler
    def wait():
        running.set()
        yield go_on.wait()
        return 'done'

    call = client.wait()
    yield running.wait()
    front = next(rpc for rpc in net.made if rpc.settings.proxy_to)

    def stop():
        yield front.stop(grace=20)

    stopped = net.spawn(stop())
    yield from net.until(lambda: front._engine.core.draining)
    go_on.set()
    assert (yield call) == 'done'
    yield stopped


# ---------------------------------------------------------------- loops


@both_ways
def test_a_proxy_to_itself(net, logs):
    back = net.client()
    _, address = net.serve(proxy_to=back)
    back.connect(address)
    client = net.client(address)
    error = yield from net.raises(pseud.ServiceNotFoundError, client.f())
    assert 'loop' in str(error)


@both_ways
def test_a_loop_of_proxies(net):
    backs = [net.client(), net.client()]
    addresses = [net.serve(proxy_to=back)[1] for back in backs]
    for back, address in zip(backs, reversed(addresses), strict=True):
        back.connect(address)
    client = net.client(addresses[0])
    error = yield from net.raises(pseud.ServiceNotFoundError, client.f())
    assert 'loop' in str(error)


# ---------------------------------------------------------------- who calls


@pytest.mark.parametrize('gates', [1, 3])
@both_ways
def test_trusted_proxies_say_who_calls(net, gates):
    server, alice, bob = behind(net, 'alice', 'bob', gates=gates)
    server.register_rpc(who)
    server.register_rpc(lambda user_id: user_id, name='me', with_identity=True)
    assert (yield alice.who()) == ('alice', gates, 'gateway 0')
    assert (yield bob.me()) == 'bob'


@both_ways
def test_others_do_not(net):
    server, alice = behind(net, 'alice', trusted=False)
    server.register_rpc(who)
    assert (yield alice.who()) == ('gateway 0', 1, 'gateway 0')


@both_ways
def test_nobody_is_nobody_behind_a_proxy_too(net):
    """Who has no name does not get the rights of a proxy that is trusted."""
    server, address = net.serve(
        security_plugin='trusted_peer', trusted_proxies=['gateway']
    )
    server.register_rpc(who)
    back = net.user(address, 'gateway')
    _, front = net.serve('gateway', proxy_to=back)
    client = net.client(front, name='gateway')
    assert (yield client.who()) == (None, 1, 'gateway')


@both_ways
def test_an_untrusted_proxy_in_a_chain(net):
    """The next one believes it, and vouches for nobody but it."""
    server, address = net.serve(
        security_plugin='trusted_peer', trusted_proxies=['second']
    )
    server.register_rpc(who)
    _, address = gateway(net, address, 'second')  # trusts nobody
    _, address = gateway(net, address, 'first', 'gateway')
    alice = net.user(address, 'alice', name='gateway')
    assert (yield alice.who()) == ('first', 2, 'second')


@pseud.utils.register_predicate
@implementer(IPredicate)
@adapter(IRPCCallable)
class OnlyAlice:
    """Admits alice, and all to what begins with 'public'."""

    name = 'only alice'

    def __init__(self, rpc_call):
        self.public = rpc_call.name.startswith('public')

    def test(self, *args, user_id=None, **kwargs):
        return self.public or user_id == 'alice'


@both_ways
def test_predicates_where_the_function_is(net):
    server, alice, bob = behind(net, 'alice', 'bob')
    server.register_rpc(lambda: 'yes', name='secret', domain='only alice')
    assert (yield alice.secret()) == 'yes'
    yield from net.raises(pseud.ServiceNotFoundError, bob.secret())


@both_ways
def test_a_proxy_restricts(net):
    server, alice, bob = behind(net, 'alice', 'bob', proxy_domain='only alice')
    ran = []
    for name in ('secret', 'public.hello'):
        server.register_rpc(lambda name=name: ran.append(name), name=name)
    yield alice.secret()
    yield from net.raises(pseud.ServiceNotFoundError, bob.secret())
    yield bob.public.hello()
    assert ran == ['secret', 'public.hello']


# ---------------------------------------------------------------- calls back


@pytest.mark.parametrize('gates', [1, 3])
@both_ways
def test_calls_back(net, gates):
    server, alice, bob = behind(net, 'alice', 'bob', gates=gates)
    for name, client in (('alice', alice), ('bob', bob)):
        client.register_rpc(lambda name=name: name, name='name')

    @server.register_rpc
    @net.handler
    def ask():
        return 'you are ' + (yield pseud.current_call().caller.name())

    assert (yield alice.ask()) == 'you are alice'
    assert (yield bob.ask()) == 'you are bob'


@both_ways
def test_calls_back_of_calls_back(net):
    server, alice = behind(net, 'alice', gates=2)

    def nest(depth):
        if not depth:
            return 0
        return 1 + (yield pseud.current_call().caller.nest(depth - 1))

    server.register_rpc(net.handler(nest), name='nest')
    alice.register_rpc(net.handler(nest), name='nest')
    assert (yield alice.nest(6)) == 6


@both_ways
def test_calls_back_later(net):
    server, alice = behind(net, 'alice')
    alice.register_rpc(lambda value: value + 1, name='next')
    callers = []
    server.register_rpc(
        lambda: callers.append(pseud.current_call().caller), name='subscribe'
    )
    yield alice.subscribe()
    (caller,) = callers
    assert (yield caller.next(1)) == 2
    yield alice.stop()
    front = next(rpc for rpc in net.made if rpc.settings.proxy_to)
    yield from net.until(lambda: not front.peers)
    yield from net.raises(pseud.NotSentError, caller.next(1), match='not connected')


@both_ways
def test_a_call_back_that_is_cancelled(net):
    server, alice = behind(net, 'alice')
    running, ended = net.event(), net.event()

    @alice.register_rpc
    @net.handler
    def wait():
        running.set()
        try:
            yield net.event().wait()
        finally:
            ended.set()

    @server.register_rpc
    @net.handler
    def ask():
        yield pseud.current_call().caller.wait()

    call = alice.ask()
    yield running.wait()
    call.cancel()
    yield ended.wait()


@both_ways
def test_a_proxy_restricts_calls_back_of_calls_back(net):
    """Who was called through it may not call through it what is not allowed him."""
    server, bob = behind(net, 'bob', proxy_domain='only alice')
    outcomes = []

    @server.register_rpc(name='public.ask')
    @net.handler
    def ask():
        yield pseud.current_call().caller.answer()

    server.register_rpc(lambda: outcomes.append('ran'), name='secret')

    @bob.register_rpc
    @net.handler
    def answer():
        secret = pseud.current_call().caller.secret()
        outcomes.append((yield from net.outcome(secret)))

    yield bob.public.ask()
    (error,) = outcomes
    assert isinstance(error, pseud.ServiceNotFoundError)


@both_ways
def test_a_sync_client_is_not_called_back(net):
    server, _ = behind(net, 'alice')

    @server.register_rpc
    @net.handler
    def ask():
        yield pseud.current_call().caller.answer()

    client = pseud.SyncClient(
        'gateway',
        context=net.context,
        security_plugin='plain',
        user_id='bob',
        password='',
    )
    with client:
        client.connect(net.made[-1]._engine.core.waits_for)
        call = net.thread(client.ask)
        yield from net.raises(pseud.LocalProtocolError, call, match='SyncClient')


# ---------------------------------------------------------------- in one process


@both_ways
def test_a_server_of_the_same_process(net):
    inner = net.server('inner', security_plugin='trusted_peer')
    inner.register_rpc(lambda: 'inner', name='both')
    inner.register_rpc(who)
    inner.register_rpc(lambda: 'yes', name='secret', domain='only alice')
    outer, address = net.serve(
        'gateway', security_plugin='trusted_peer', proxy_to=inner
    )
    outer.register_rpc(lambda: 'outer', name='both')
    alice, bob = (net.user(address, name, name='gateway') for name in ('alice', 'bob'))
    assert (yield alice.both()) == 'outer'
    assert (yield alice.who()) == ('alice', 0, 'alice')
    assert (yield alice.secret()) == 'yes'
    yield from net.raises(pseud.ServiceNotFoundError, bob.secret())
    yield from net.raises(pseud.ServiceNotFoundError, bob.neither())


@both_ways
def test_servers_of_the_same_process_and_a_client(net):
    server, address = net.serve(security_plugin='trusted_peer')

    @server.register_rpc
    @net.handler
    def ask():
        return (yield pseud.current_call().caller.name())

    back = net.user(address, 'gateway')
    inner = net.server('inner', proxy_to=back)
    inner.register_rpc(lambda: 'inner', name='inner')
    _, front = net.serve('outer', proxy_to=inner)
    client = net.client(front, name='outer')
    client.register_rpc(lambda: 'me', name='name')
    assert (yield client.inner()) == 'inner'
    assert (yield client.ask()) == 'me'


@both_ways
def test_a_client_that_passes_on(net):
    """An agent that connects out, in front of servers that do not."""
    hidden, address = net.serve('hidden')
    hidden.register_rpc(lambda: 'hidden', name='where')
    inside = net.client(address, name='hidden')
    server, address = net.serve(security_plugin='trusted_peer')
    agent = net.user(address, 'agent', proxy_to=inside)
    agent.start()
    yield from net.until(lambda: server.peers)
    assert (yield server.send_to('agent').where()) == 'hidden'


@pytest.mark.parametrize('inside', BACKENDS)
@both_ways
def test_backends_mix(net, inside):
    """The server behind is a process of its own, and dies while it has a call."""
    pytest.importorskip(inside)
    with contextlib.closing(Service(inside, security_plugin='trusted_peer')) as service:
        _, address = gateway(net, service.address)
        client = net.user(address, 'alice', name='gateway', timeout=None)
        client.register_rpc(lambda value: value * 2, name='double')
        assert (yield client.same([1, ('a', {2})])) == [1, ('a', {2})]
        assert (yield client.ask('double', 21)) == 42
        yield from net.raises(ValueError, client.fail('its text'), match='its text')
        call = client.wait()
        yield net.thread(service.line)
        service.process.kill()
        yield from net.raises(pseud.PeerLostError, call)


# ---------------------------------------------------------------- protocol 1


@both_ways
def test_a_client_of_version_1(net):
    server, address = net.serve()
    server.register_rpc(lambda value: (value, {'a': [1]}), name='same')

    def fail():
        raise LookupError('no such cow')

    server.register_rpc(fail)
    server.register_rpc(lambda: {1, 2}, name='odd')
    _, front = net.serve('gateway', proxy_to=net.client(address))
    client = net.client(front, name='gateway', protocol=1)
    assert (yield client.same((b'1', 'two'))) == ((b'1', 'two'), {'a': (1,)})
    error = yield from net.raises(LookupError, client.fail(), match='no such cow')
    assert 'in fail' in str(error.__cause__)
    yield from net.raises(pseud.SerializationError, client.odd(), match='ran, but')


@both_ways
def test_a_server_of_version_1(net):
    old = V1Server(net)
    _, front = net.serve('gateway', proxy_to=net.client(old.address, protocol=1))
    client = net.client(front, name='gateway')
    call = client.some.function(1, (2,), key=b'3')
    work = yield net.thread(old.answer, OK, msgpack.packb([1, [2]]))
    assert work == ('some.function', (1, (2,)), {'key': b'3'})
    assert (yield call) == (1, (2,))
    yield from net.raises(
        pseud.SerializationError, client.f({1, 2}), match='did not run'
    )


# ---------------------------------------------------------------- mischief


@both_ways
def test_hops_that_nobody_made(net):
    """Nobody is called through a proxy who has not called through it."""
    server, alice, bob = behind(net, 'alice', 'bob')
    server.register_rpc(who)
    alice.register_rpc(lambda: 'alice', name='name')
    yield bob.who()
    yield from net.until(lambda: alice._engine.core.peers)
    front = next(rpc for rpc in net.made if rpc.settings.proxy_to)
    (hop,) = front._engine.roster.hops
    for forged in (hop[:8] + bytes(8), bytes(16)):
        for client in (alice, front.settings.proxy_to):
            peer = next(iter(client._engine.core.peers.values()))
            to = pseud.peers.Origin(
                pseud.peers.view_of(client._engine, peer), (forged,)
            )
            caller = pseud.caller.Caller(client._engine, 5, to)
            yield from net.raises(
                pseud.NotSentError, caller.name(), match='not connected'
            )


@both_ways
def test_nothing_is_kept_of_who_has_left(net):
    server, alice = behind(net, 'alice', gates=2)
    server.register_rpc(who)
    yield alice.who()
    fronts = [rpc for rpc in net.made if rpc.settings.proxy_to]
    yield alice.stop()
    yield from net.until(lambda: not fronts[-1].peers)
    assert not fronts[-1]._engine.roster.hops
    assert fronts[0]._engine.roster.hops
    back = fronts[0].settings.proxy_to
    yield fronts[0].stop(grace=0)
    assert not back._engine.proxy.relatives


@both_ways
def test_what_is_registered_here_is_not_reached_by_calls_back_of_calls_back(net):
    """Else who was called once could call what the gateway keeps from him."""
    server, bob = behind(net, 'bob')
    front = next(rpc for rpc in net.made if rpc.settings.proxy_to)
    front.register_rpc(lambda: 'for alice', name='secret', domain='only alice')
    outcomes = []

    @server.register_rpc
    @net.handler
    def ask():
        yield pseud.current_call().caller.answer()

    server.register_rpc(lambda: outcomes.append('ran'), name='secret')

    @bob.register_rpc
    @net.handler
    def answer():
        secret = pseud.current_call().caller.secret()
        outcomes.append((yield from net.outcome(secret)))

    yield bob.ask()
    (error,) = outcomes
    assert isinstance(error, pseud.ServiceNotFoundError)


@pytest.mark.parametrize('restricted', ['outer', 'inner'])
@both_ways
def test_all_proxies_of_a_process_restrict_calls_back_of_calls_back(net, restricted):
    server, address = net.serve(security_plugin='trusted_peer')
    domains = {'outer': {}, 'inner': {}}
    domains[restricted] = {'proxy_domain': 'only alice'}
    inner = net.server(
        'inner',
        security_plugin='trusted_peer',
        proxy_to=net.user(address, 'gateway'),
        **domains['inner'],
    )
    _, front = net.serve(
        'outer', security_plugin='trusted_peer', proxy_to=inner, **domains['outer']
    )
    bob = net.user(front, 'bob', name='outer')
    outcomes = []

    @server.register_rpc(name='public.ask')
    @net.handler
    def ask():
        yield pseud.current_call().caller.answer()

    server.register_rpc(lambda: outcomes.append('ran'), name='secret')

    @bob.register_rpc
    @net.handler
    def answer():
        secret = pseud.current_call().caller.secret()
        outcomes.append((yield from net.outcome(secret)))

    yield bob.public.ask()
    (error,) = outcomes
    assert isinstance(error, pseud.ServiceNotFoundError)


@both_ways
def test_a_trusted_proxy_that_can_not_say_who_calls(net):
    """Routes do not travel by version 1: nobody gets the rights of the proxy."""
    server, address = net.serve(
        security_plugin='trusted_peer', trusted_proxies=['gateway']
    )
    server.register_rpc(who)
    server.register_rpc(lambda user_id: user_id, name='me', with_identity=True)
    back = net.user(address, 'gateway', protocol=1)
    _, front = net.serve('gateway', security_plugin='trusted_peer', proxy_to=back)
    bob = net.user(front, 'bob', name='gateway')
    assert (yield bob.who()) == (None, 0, 'gateway')
    assert (yield bob.me()) is None


@pytest.mark.parametrize(
    ('name', 'kind'),
    [
        ('ServiceNotFoundError', pseud.ServiceNotFoundError),
        ('NotSentError', pseud.NotSentError),
        ('OverloadedError', pseud.OverloadedError),
        ('PeerLostError', pseud.PeerLostError),
    ],
)
@both_ways
def test_what_a_server_of_version_1_says_of_a_call(net, name, kind):
    old = V1Server(net)
    _, front = net.serve('gateway', proxy_to=net.client(old.address, protocol=1))
    call = net.client(front, name='gateway').f()
    yield net.thread(
        old.answer, ERROR, msgpack.packb([name, 'as it says', 'the trace'])
    )
    error = yield from net.raises(kind, call, match='as it says')
    assert type(error) is kind
    assert 'the trace' in str(error.__cause__)


@both_ways
def test_what_a_function_says_of_another_call_by_version_1(net):
    """It ran: that it could not call somebody else must not look as if it had not."""
    server, address = net.serve()

    def fail(kind):
        raise getattr(pseud, kind)('another call')

    server.register_rpc(fail)
    _, front = net.serve('gateway', proxy_to=net.client(address))
    for client in (
        net.client(address, protocol=1),
        net.client(front, name='gateway', protocol=1),
    ):
        for kind in ('NotSentError', 'OverloadedError', 'PeerLostError'):
            error = yield from net.raises(
                pseud.RemoteError, client.fail(kind), match='another call'
            )
            assert error.type_name == f'pseud.errors.{kind}'


@both_ways
def test_a_client_of_another_thread(net):
    """It is never used from here, not even by way of a server that is not started."""
    _, address = net.serve()
    back = net.client(address)
    back.start()
    inner = net.server('inner', proxy_to=back)

    def elsewhere():
        driver = type(net.driver)()
        other = type(net)(driver, net.directory)
        try:
            driver.run(scene(other), other._close())
        finally:
            other.close()

    def scene(other):
        _, front = other.serve('outer', proxy_to=inner)
        client = other.client(front, name='outer')
        yield from other.raises(pseud.NotSentError, client.f(), match='thread')

    yield net.thread(elsewhere)


@both_ways
def test_who_claims_to_come_by_many_proxies_does_not_fill_the_log(net, logs):
    _, alice = behind(net, 'alice')
    yield from net.outcome(alice.nothing())
    engine = alice._engine
    route = pseud._core.route.Route((b'h' * 16,) * 16)
    for _ in range(40):
        result = engine.backend.result(lambda result: None)
        engine.core.call(
            None, 'f', b'\x92\x90\x80', (), 5, engine.backend.now(), result, route
        )
        engine.wake()
        error = yield from net.raises(pseud.ServiceNotFoundError, result)
        assert 'loop' in str(error)
    assert 0 < len([text for text in logs.texts() if 'round' in text]) < 10


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ('settings', 'kind', 'why'),
    [
        ({'proxy_to': 'tcp://127.0.0.1:5555'}, TypeError, 'a Server or a Client'),
        ({'proxy_to': pseud.SyncClient()}, TypeError, 'SyncClient would block'),
        ({'trusted_proxies': 'gateway'}, TypeError, "\\['gateway'\\]"),
        ({'trusted_proxies': [1]}, TypeError, 'user ids'),
        ({'trusted_proxies': ['gateway']}, ValueError, 'no user id'),
    ],
)
def test_settings_that_make_no_sense(backend, settings, kind, why):
    with pytest.raises(kind, match=why):
        backend.Server('service', **settings)


def test_clients_trust_no_proxies(backend):
    with pytest.raises(ValueError, match='for servers'):
        backend.Client('service', trusted_proxies=['gateway'])


GATEWAY = """
import os
from pseud import Client, Server

back = Client('service')
back.connect(os.environ['ADDRESS'])
server = Server('gateway', proxy_to=back)
say(server.bind('tcp://127.0.0.1:*'))
server.serve_forever()
"""


@both_ways
def test_a_program_that_is_a_gateway(net, program):
    """It has no loop but that of `serve_forever`, which is for the client, too."""
    server, address = net.serve()
    server.register_rpc(len)
    env = {'ADDRESS': address}
    if net.driver.name == 'gevent':
        env['NO_TORNADO'] = '1'
    gateway = program(GATEWAY, env=env)
    client = net.client((yield net.thread(gateway.line)), name='gateway')
    assert (yield client.len('abc')) == 3
    gateway.signal(signal.SIGTERM)
    assert (yield net.thread(gateway.wait)) == 0
