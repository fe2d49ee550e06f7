"""`pseud.testing` in memory: calls are what they are over sockets, time stands still."""

import asyncio

import pytest
import zmq
from backends import scenario
from test_bidirectional import (  # noqa: F401 - run in memory, too: see `net`
    test_a_client_that_looks_for_another_service_is_told,
    test_everybody_gets_their_own,
    test_nested_calls_to_any_depth,
    test_security_plugins_that_do_not_go_together,
    test_send_to,
    test_several_clients_of_one_user,
    test_unknown_users,
    test_without_authentication_there_are_no_users,
)
from test_calls import (  # noqa: F401
    test_a_result_that_can_not_travel_fails_its_call_only,
    test_disconnect,
    test_large_values,
    test_several_addresses_share_the_load,
    test_values_arrive_as_what_they_were,
)
from test_life import (  # noqa: F401
    test_stop_cancels_what_outlasts_the_grace,
    test_stopping_a_client_ends_its_calls,
    test_the_grace_can_be_cut_short,
    test_the_last_replies_leave,
    test_use_after_stop,
)
from test_peers import (  # noqa: F401
    test_a_client_knows_when_its_server_is_there,
    test_many_lose_one,
    test_peers_without_a_user_id,
    test_stopping_tells_who_is_still_connected,
    test_who_comes_and_goes,
)

import pseud
from pseud.testing import Network, clock, pair

HOUR = 3600


@pytest.fixture
def net(memory):
    """What the scenarios of other modules, imported above, are given here."""
    return memory


def waiting(memory, rpc, name='wait'):
    """Register a function that waits for ever; returns what happened to its runs."""
    fate = []

    @rpc.register_rpc(name=name)
    @memory.handler
    def wait():
        fate.append('started')
        try:
            yield memory.event().wait()
        except BaseException as error:
            fate.append(type(error))
            raise

    return fate


# ---------------------------------------------------------------- time


@scenario
def test_a_deadline_is_exact(memory):
    server, client = memory.pair()
    fate = waiting(memory, server)
    call = client.with_options(timeout=HOUR).wait()
    yield memory.clock.advance(HOUR - 0.001)
    assert not call.done()
    assert fate == ['started']
    yield memory.clock.advance(0.001)
    assert call.done()
    yield from memory.raises(pseud.TimeoutError, call, match='within 3600 s')
    yield memory.clock.advance(0.01)  # the function's own deadline is a little later
    assert fate == ['started', memory.driver.cancelled]
    assert memory.clock.now() == pytest.approx(HOUR + 0.01)


@scenario
def test_deadlines_add_up_as_floats_do(memory):
    """Ten times a tenth is less than one."""
    server, client = memory.pair(timeout=1)
    waiting(memory, server)
    call = client.wait()
    for _ in range(10):
        assert not call.done()
        yield memory.clock.advance(0.1)
    yield from memory.raises(pseud.TimeoutError, call)


@scenario
def test_a_virtual_sleep(memory):
    server, client = memory.pair()
    woken = []

    @server.register_rpc
    @memory.handler
    def after(seconds):
        yield memory.clock.sleep(seconds)
        woken.append((seconds, memory.clock.now()))
        return seconds

    calls = [client.after(seconds) for seconds in (3, 1, 2, 0)]
    yield memory.clock.advance(2)
    assert woken == [(0, 0), (1, 1), (2, 2)]
    assert not calls[0].done()
    yield memory.clock.advance(10)
    assert woken[-1] == (3, 3)
    assert (yield from memory.all(calls)) == [3, 1, 2, 0]


@scenario
def test_a_sleep_ends_with_its_call(memory):
    server, client = memory.pair(timeout=1)
    fate = []

    @server.register_rpc
    @memory.handler
    def nap():
        try:
            yield memory.clock.sleep(HOUR)
        except BaseException as error:
            fate.append((type(error), memory.clock.now()))
            raise

    call = client.nap()
    yield memory.clock.advance(2 * HOUR)
    yield from memory.raises(pseud.TimeoutError, call)
    ((why, when),) = fate
    assert why is memory.driver.cancelled
    assert when == pytest.approx(1, abs=0.01)


@scenario
def test_each_timer_has_its_consequences_before_the_next(memory):
    """A function that is woken calls on; that has happened before the clock goes on."""
    server, client = memory.users('alice')
    heard = []
    client.register_rpc(lambda n: heard.append((n, memory.clock.now())), name='hear')

    @server.register_rpc
    @memory.handler
    def tell():
        for n in range(3):
            yield memory.clock.sleep(10)
            yield pseud.current_call().caller.hear(n)

    call = client.with_options(timeout=None).tell()
    yield memory.clock.advance(HOUR)
    yield call
    assert heard == [(0, 10), (1, 20), (2, 30)]


@scenario
def test_only_the_clock_ends_a_grace(memory):
    server, client = memory.pair(timeout=None)
    fate = waiting(memory, server)
    call = client.wait()
    yield memory.clock.advance(0)
    stopping = memory.spawn(_stop(server, 30))
    yield memory.clock.advance(29)
    assert not stopping.done()
    yield memory.clock.advance(1)
    yield stopping
    assert fate[1:] == [memory.driver.cancelled]
    yield from memory.raises(pseud.PeerLostError, call, match='as its server stops')


def _stop(rpc, grace):
    yield rpc.stop(grace)


@scenario
def test_a_stop_waits_for_what_runs_and_no_longer(memory):
    server, client = memory.pair()
    go = memory.event()

    @server.register_rpc
    @memory.handler
    def finish():
        yield go.wait()
        return 'done'

    call = client.finish()
    yield memory.clock.advance(0)
    stopping = memory.spawn(_stop(server, HOUR))
    yield memory.clock.advance(1)
    assert not stopping.done()
    go.set()
    yield stopping
    assert (yield call) == 'done'
    assert memory.clock.now() == pytest.approx(1)


@scenario
def test_the_clock_goes_forward(memory):
    with pytest.raises(ValueError, match='by 0 seconds or more'):
        yield memory.clock.advance(-1)
    with pytest.raises(ValueError, match='by 0 seconds or more'):
        yield memory.clock.advance(float('inf'))


@scenario
def test_one_advances_the_clock(memory):
    server, client = memory.pair()

    @server.register_rpc
    @memory.handler
    def hasten():
        yield memory.clock.advance(1)

    call = client.hasten()
    yield memory.clock.advance(2)
    yield from memory.raises(pseud.UsageError, call, match='being advanced already')


@scenario
def test_who_never_comes_to_rest(memory, monkeypatch):
    monkeypatch.setattr(clock, 'RESTLESS', 1000)
    server, client = memory.pair()
    playing = [True]

    @server.register_rpc
    @memory.handler
    def play():
        while playing:
            yield pseud.current_call().caller.ball()

    client.register_rpc(lambda: None, name='ball')
    call = client.play()
    with pytest.raises(pseud.UsageError, match='call each other without end'):
        yield memory.clock.advance(1)
    playing.clear()
    yield call


# ---------------------------------------------------------------- the wire


@scenario
def test_cut(memory):
    """Calls under way fail at once, both ways; later ones are not sent."""
    server, alice = memory.users('alice')
    fates = [waiting(memory, server), waiting(memory, alice)]
    left = []
    server.on_leave(lambda peer, reason: left.append((peer.user_id, reason)))
    alice.on_leave(lambda peer, reason: left.append((peer.user_id, reason)))
    yield alice.start()
    yield memory.clock.advance(0)
    calls = [alice.wait(), server.send_to('alice').wait()]
    yield memory.clock.advance(0)
    memory.network.cut(alice)
    for call in calls:
        yield from memory.raises(pseud.PeerLostError, call, match='may have run')
    yield from memory.raises(
        pseud.NotSentError, server.send_to('alice').wait(), match='no client'
    )
    waits = alice.wait()
    yield memory.clock.advance(4)
    assert left == [(each, 'the connection was closed') for each in ('alice', None)]
    assert fates == [['started', memory.driver.cancelled]] * 2
    assert server.peers == []
    assert not waits.done()
    yield memory.clock.advance(1)
    yield from memory.raises(pseud.NotSentTimeoutError, waits, match='not connected')


@scenario
def test_reconnect(memory):
    server, alice = memory.users('alice')
    server.register_rpc(len)
    assert (yield alice.len('')) == 0
    (before,) = server.peers
    memory.network.cut(alice)
    waits = alice.with_options(timeout=None).len('abc')
    yield memory.clock.advance(HOUR)
    assert not waits.done()
    memory.network.reconnect(alice)
    assert (yield waits) == 3
    (after,) = server.peers
    assert after is not before
    assert after.connected
    assert not before.connected


@scenario
def test_cut_from_a_server(memory):
    server, alice, bob = memory.users('alice', 'bob')
    server.register_rpc(len)
    yield from memory.all([alice.len(''), bob.len('')])
    memory.network.cut(server)
    assert server.peers == []
    memory.network.reconnect(server)
    yield from memory.all([alice.len(''), bob.len('')])
    assert [peer.user_id for peer in server.peers] == ['alice', 'bob']


@scenario
def test_a_function_may_cut_its_own_call(memory):
    server, client = memory.pair()
    server.register_rpc(lambda: memory.network.cut(client), name='cut')
    yield from memory.raises(pseud.PeerLostError, client.cut())


@scenario
def test_held_messages_arrive_later(memory):
    server, client = memory.pair(timeout=None)
    came = []
    server.register_rpc(came.append, name='come')
    yield client.come(0)
    memory.network.hold(client)
    calls = [client.come(n) for n in (1, 2)]
    yield memory.clock.advance(HOUR)
    assert came == [0]
    memory.network.release(client)
    yield from memory.all(calls)
    assert came == [0, 1, 2]


@scenario
def test_what_is_on_its_way_at_a_cut_is_lost(memory):
    server, client = memory.pair()
    came = []
    server.register_rpc(came.append, name='come')
    yield client.come('before')
    call = client.come('on its way')
    memory.network.cut(client)
    yield from memory.raises(pseud.PeerLostError, call)
    memory.network.reconnect(client)
    yield client.come('after')
    assert came == ['before', 'after']


@scenario
def test_what_is_on_its_way_to_who_expels_is_dropped(memory):
    server, client = memory.pair()
    came = []
    server.register_rpc(came.append, name='come')
    yield client.come('before')
    call = client.come('too late')
    server.expel(server.peers[0])
    yield memory.clock.advance(0)
    assert not call.done()  # the server said no word to it
    yield memory.clock.advance(1)
    yield from memory.raises(pseud.PeerLostError, call)
    yield client.come('after')
    assert came == ['before', 'after']


@scenario
def test_what_is_held_at_a_cut_is_lost(memory):
    """The caller can not know that it has not run."""
    server, client = memory.pair()
    came = []
    server.register_rpc(came.append, name='come')
    yield client.come('before')
    memory.network.hold(client)
    call = client.come('held')
    memory.network.cut(client)
    yield from memory.raises(pseud.PeerLostError, call, match='may have run')
    memory.network.reconnect(client)
    call = client.come('held again')
    yield memory.clock.advance(1)
    assert came == ['before']
    memory.network.release(client)
    yield call
    assert came == ['before', 'held again']


@scenario
def test_who_stops_unseen(memory):
    """That a side closes the connection is held back, too."""
    server, alice = memory.users('alice')
    server.register_rpc(len)
    yield alice.len('')
    memory.network.hold(alice)
    yield alice.stop(grace=0)  # with a grace, it would wait for the server's word
    yield memory.clock.advance(0)
    assert len(server.peers) == 1
    memory.network.release(alice)
    yield memory.clock.advance(0)
    assert server.peers == []


@scenario
def test_held_by_both_sides(memory):
    server, client = memory.pair()
    server.register_rpc(len)
    yield client.len('')
    memory.network.hold(client)
    memory.network.hold(server)
    memory.network.release(client)
    call = client.len('abc')
    yield memory.clock.advance(1)
    assert not call.done()
    memory.network.release(server)
    assert (yield call) == 3


@scenario
def test_a_server_that_is_started_again(memory):
    server, address = memory.serve()
    client = memory.client(address, timeout=None)
    server.register_rpc(len)
    assert (yield client.len('')) == 0
    yield server.stop()
    call = client.len('abc')
    yield memory.clock.advance(HOUR)
    assert not call.done()
    again = memory.server()
    again.register_rpc(len)
    assert again.bind(address) == address
    assert (yield call) == 3


@scenario
def test_expelled(memory):
    server, alice = memory.users('alice')
    fate = waiting(memory, server)
    call = alice.wait()
    yield memory.clock.advance(0)
    (before,) = server.peers
    assert server.expel('alice', 'enough') == 1
    yield from memory.raises(pseud.PeerLostError, call, match='enough')
    yield from memory.raises(pseud.NotSentError, alice.wait(), match='enough')
    yield memory.clock.advance(0)
    assert fate == ['started', memory.driver.cancelled]
    yield memory.clock.advance(1)  # then it has connected again
    (after,) = server.peers
    assert after is not before
    assert after.connected_for == pytest.approx(0.8)


@scenario
def test_arguments_are_copied_on_their_way(memory):
    server, client = memory.pair()
    big = bytearray(1 << 20)
    server.register_rpc(lambda value: value[0], name='first')
    assert (yield client.first(b'connected')) == ord('c')
    call = client.first(big)
    big[0] = 1
    assert (yield call) == 0


@scenario
def test_a_client_of_version_1(memory):
    server, address = memory.serve()
    client = memory.client(address, protocol=1)
    server.register_rpc(len)
    assert (yield client.len('abc')) == 3


@scenario
def test_a_client_of_version_1_that_makes_no_call(memory):
    server, address = memory.serve()
    client = memory.client(address, protocol=1)
    client.register_rpc(len)
    client.start()
    yield memory.clock.advance(0)
    (peer,) = server.peers
    assert (yield server.send_to(peer).len('abc')) == 3


@scenario
def test_a_gateway(memory):
    server, inside = memory.serve()
    server.register_rpc(lambda value: value * 2, name='double')

    @server.register_rpc
    @memory.handler
    def ask():
        return (yield pseud.current_call().caller.name())

    _, outside = memory.serve(proxy_to=memory.client(inside))
    client = memory.client(outside)
    client.register_rpc(lambda: 'me', name='name')
    assert (yield client.double('ab')) == 'abab'
    assert (yield client.ask()) == 'me'
    yield from memory.raises(pseud.ServiceNotFoundError, client.missing())


# ---------------------------------------------------------------- who is who


@scenario
def test_clients_and_servers_of_the_network(memory):
    network = memory.network
    server = network.server('service', context=memory.context)
    for name in ('alice', 'bob'):
        client = network.client(name, name='service', context=memory.context)
        client.register_rpc(lambda name=name: name, name='who')
    yield memory.clock.advance(0)
    assert [peer.user_id for peer in server.peers] == ['alice', 'bob']
    assert (yield server.send_to_many(['alice', 'bob']).who()) == {
        'alice': 'alice',
        'bob': 'bob',
    }
    other = network.server(endpoint='elsewhere')
    network.client(endpoint='elsewhere')
    yield memory.clock.advance(0)
    assert [peer.user_id for peer in other.peers] == ['client']


@scenario
def test_an_endpoint_has_one_server(memory):
    memory.network.server(endpoint='here')
    with pytest.raises(OSError, match="is bound to 'here'"):
        memory.network.server(endpoint='here')
    yield


@pytest.mark.parametrize(
    'settings',
    [
        {'security_plugin': 'plain', 'passwords': {'alice': 'secret'}},
        {'security_plugin': 'trusted_curve', 'secret_key': 'k' * 40},
        {'security_plugin': 'noop_auth_backend', 'allow': ['127.0.0.1']},
    ],
    ids=lambda settings: [*settings][-1],
)
@scenario
def test_servers_that_need_sockets(memory, settings):
    if settings['security_plugin'] == 'trusted_curve':
        settings = {**settings, **_keys('secret_key'), 'authorized_keys': {}}
    with pytest.raises(pseud.UsageError, match='over tcp'):
        memory.network.server(**settings)
    yield


@scenario
def test_clients_that_need_sockets(memory):
    keys = _keys('peer_public_key')
    with pytest.raises(pseud.UsageError, match="take 'trusted_peer' and a user_id"):
        memory.network.client(security_plugin='untrusted_curve', **keys)
    yield


def _keys(wanted):
    public, secret = zmq.curve_keypair()
    return {wanted: public if wanted == 'peer_public_key' else secret}


# ---------------------------------------------------------------- how it is used


@scenario
def test_what_can_be_adopted(memory):
    network = memory.network
    with pytest.raises(TypeError, match=r'Client or a pseud\.Server'):
        network.adopt(pseud.SyncClient())
    server, _ = memory.serve()
    with pytest.raises(pseud.UsageError, match='in use already'):
        network.adopt(server)
    stranger = memory.driver.Server()
    for use in (network.cut, network.reconnect, network.hold, network.release):
        with pytest.raises(ValueError, match='not in this network'):
            use(stranger)
    with pytest.raises(pseud.UsageError, match='no devices'):
        server.connect('tcp://127.0.0.1:5555')
    with pytest.raises(ValueError, match='not connected'):
        server.disconnect('tcp://127.0.0.1:5555')
    yield stranger.stop()


@scenario
def test_connected_before_there_is_a_server(memory):
    client = memory.client('somewhere')
    call = client.len('abc')
    yield memory.clock.advance(1)
    server = memory.server()
    server.register_rpc(len)
    server.bind('somewhere')
    assert (yield call) == 3


def test_made_before_the_loop_runs():
    """What a module of the program has made may join, too."""
    pytest.importorskip('tornado')
    from pseud._tornado import Client, Server

    network = Network('tornado')
    server = network.adopt(Server())
    client = network.adopt(Client())
    client.connect('here')
    server.bind('here')
    server.register_rpc(len)

    async def main():
        async with network:
            await server.start()
            assert await client.len('abc') == 3

    asyncio.run(main())


def test_with_on_asyncio():
    pytest.importorskip('tornado')
    with pytest.raises(pseud.UsageError, match='async with'), Network('tornado'):
        pass


def test_async_with_on_gevent():
    pytest.importorskip('gevent')

    async def main():
        async with Network('gevent'):
            pass

    with pytest.raises(pseud.UsageError, match='without async'):
        asyncio.run(main())


def test_another_backend():
    pytest.importorskip('tornado')
    pytest.importorskip('gevent')
    from pseud._gevent import Server

    async def main():
        async with Network('tornado') as network:
            with pytest.raises(
                pseud.UsageError, match='is for gevent, and this network'
            ):
                network.adopt(Server()).bind('here')

    asyncio.run(main())
    with pytest.raises(ValueError, match='must be one of'):
        Network('twisted')


def test_a_pair_on_asyncio():
    pytest.importorskip('tornado')

    async def main():
        left = []
        async with pair('alice', backend='tornado', name='service') as found:
            server, client, network = found

            @server.on_leave
            async def part(peer, reason):
                await network.clock.sleep(0.5)
                left.append(peer.user_id)

            assert [peer.user_id for peer in server.peers] == ['alice']
            server.register_rpc(asyncio.Event().wait, name='wait')
            call = client.wait()
            await network.clock.advance(5)
            with pytest.raises(pseud.TimeoutError):
                await call
        assert left == ['alice']

    asyncio.run(main())


def test_a_pair_on_gevent():
    gevent = pytest.importorskip('gevent')
    left = []
    with pair('alice', backend='gevent', name='service') as (server, client, network):

        @server.on_leave
        def part(peer, reason):
            network.clock.sleep(0.5)
            left.append(peer.user_id)

        assert [peer.user_id for peer in server.peers] == ['alice']
        server.register_rpc(gevent.event.Event().wait, name='wait')
        call = client.wait()
        network.clock.advance(5)
        with pytest.raises(pseud.TimeoutError):
            call.get()
    assert left == ['alice']


BOUND = """
    from pseud.testing import Network
    say(Network().backend)
    say('tornado' in sys.modules, 'gevent' in sys.modules)
"""


@pytest.mark.parametrize(
    ('name', 'env'),
    [('tornado', {'NO_TORNADO': None}), ('gevent', {'NO_TORNADO': '1'})],
)
def test_the_backend_of_the_process(program, name, env):
    pytest.importorskip(name)
    lines = program(BOUND, env=env).rest()
    assert lines == [name, f'{name == "tornado"} {name == "gevent"}']
