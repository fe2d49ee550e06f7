"""What a function can know of the call that it handles, and calling its caller back."""

import asyncio
import contextvars

import pytest
from backends import scenario

import pseud
from pseud import current_call

both_ways = scenario(needs=('callable',))


@scenario
def test_outside_of_any_call(net):
    assert current_call() is None
    server, client = net.pair()
    server.register_rpc(lambda: current_call().name, name='a.name')
    assert (yield client.a.name()) == 'a.name'
    assert current_call() is None


@scenario
def test_what_it_knows(net):
    server, alice = net.users('alice')
    seen = []

    @server.register_rpc(name='look.around')
    @net.handler
    def look():
        call = current_call()
        yield net.sleep(0)
        assert current_call().peer is call.peer
        seen.append(call)
        return call.user_id, call.name, call.remaining

    for timeout in (20, None):
        user_id, name, remaining = yield alice.with_options(timeout=timeout).call(
            'look.around'
        )
        assert (user_id, name) == ('alice', 'look.around')
        # whole milliseconds travel
        assert remaining is None if timeout is None else 0 < remaining < 21
    assert seen[0].peer.user_id == 'alice'
    assert repr(seen[0]).startswith("<call of 'look.around' by alice at ")
    for name in ('user_id', 'peer', 'anything'):
        with pytest.raises(AttributeError):
            setattr(seen[0], name, 1)


@scenario
def test_nobody_has_a_name_without_authentication(net):
    server, client = net.pair()
    server.register_rpc(lambda: current_call().user_id, name='who')
    assert (yield client.who()) is None


@scenario
def test_time_runs_out(memory):
    server, client = memory.pair()
    seen = []

    @server.register_rpc
    @memory.handler
    def work():
        seen.append(current_call())
        yield memory.event().wait()

    result = client.with_options(timeout=3).work()
    for left in (3, 2, 1, 0):
        yield memory.clock.advance(0 if left == 3 else 1)
        (call,) = seen
        assert call.remaining == pytest.approx(left, abs=0.002)
    yield from memory.raises(pseud.TimeoutError, result)
    yield memory.clock.advance(1)
    assert call.remaining == 0


@both_ways
def test_calling_back(net):
    """The very connection is called, not just anybody of that name."""
    server, address = net.serve(security_plugin='trusted_peer')

    @server.register_rpc
    @net.handler
    def ask(n):
        return (yield current_call().caller.number(n))

    clients = []
    for number in range(3):
        clients.append(net.user(address, 'alice'))
        clients[-1].register_rpc(lambda n, number=number: (n, number), name='number')
        yield clients[-1].start()
    results = [client.ask(n) for n, client in enumerate(clients)]
    assert (yield from net.all(results)) == [(n, n) for n in range(3)]


@both_ways
def test_calling_back_without_names(net, transport):
    server, client = net.pair(transport=transport)

    @server.register_rpc
    @net.handler
    def down(n):
        return n if n == 20 else (yield current_call().caller.up(n + 1))

    @client.register_rpc
    @net.handler
    def up(n):
        return n if n == 20 else (yield current_call().caller.call('down', n + 1))

    assert (yield client.down(0)) == 20


@both_ways
def test_a_client_calls_back_the_server_that_called(net):
    servers = {}
    for name in ('one', 'two'):
        servers[name], address = net.serve(name, security_plugin='trusted_peer')
        servers[name].register_rpc(lambda name=name: name, name='name')
        servers[name].address = address
    client = net.client(
        *(server.address for server in servers.values()),
        name='',
        security_plugin='plain',
        user_id='alice',
        password='',
    )

    @client.register_rpc
    @net.handler
    def ask():
        call = current_call()
        assert call.user_id is None
        return call.peer.address, (yield call.caller.name())

    for _ in range(3):
        for name, server in servers.items():
            yield from net.until(lambda server=server: server.peers)
            answer = yield server.send_to('alice').ask()
            assert answer == (server.address, name)


@both_ways
def test_calls_back_have_no_more_time_than_the_call(net):
    server, client = net.pair()
    seen = []

    @client.register_rpc
    def note():
        seen.append(current_call().remaining)

    @server.register_rpc
    @net.handler
    def ask():
        yield current_call().caller.with_options(timeout=None).note()

    yield client.with_options(timeout=20).ask()
    assert 0 < seen[0] < 21


@scenario
def test_calling_back_who_can_not_be_called(net):
    server, address = net.serve()

    @server.register_rpc
    @net.handler
    def ask():
        try:
            yield current_call().caller.f()
        except pseud.LocalProtocolError as error:
            return str(error)

    def program():
        with pseud.SyncClient(context=net.context) as client:
            client.connect(address)
            return client.ask()

    assert 'SyncClient can not be called' in (yield net.thread(program))


@both_ways
def test_calling_back_who_is_gone(net):
    server, client = net.pair()
    began, seen = net.event(), []

    @server.register_rpc
    @net.handler
    def ask():
        call = current_call()
        began.set()
        try:
            yield net.event().wait()
        finally:
            # the handler is being cancelled, who asks is another
            seen.append((call, call.peer))

    call = client.ask()
    yield began.wait()
    yield client.stop(grace=0)
    yield from net.outcome(call)
    yield from net.until(lambda: seen)
    (call, peer) = seen[0]
    assert call.peer is peer
    assert not peer.connected
    back = call.caller.with_options(timeout=None)
    yield from net.raises(pseud.NotSentError, back.f(), match='no longer connected')


@pytest.mark.parametrize('backend', ['tornado'], indirect=True)
@scenario
def test_tasks_know_the_call(net):
    server, client = net.pair()

    async def beside():
        call = current_call()
        return call.name, await call.caller.len('abc')

    @server.register_rpc
    async def begin():
        return await asyncio.create_task(beside())

    client.register_rpc(len)
    assert (yield client.begin()) == ('begin', 3)


@pytest.mark.parametrize('backend', ['gevent'], indirect=True)
@scenario
def test_greenlets_with_its_context_know_the_call(net):
    """gevent gives them an empty one by itself."""
    gevent = pytest.importorskip('gevent')
    server, client = net.pair()

    def beside():
        call = current_call()
        return call.name, call.caller.len('abc').get()

    @server.register_rpc
    def begin():
        assert gevent.spawn(current_call).get() is None
        return gevent.spawn(contextvars.copy_context().run, beside).get()

    client.register_rpc(len)
    assert (yield client.begin()) == ('begin', 3)


@pytest.mark.parametrize('backend', ['tornado'], indirect=True)
@scenario
def test_threads_that_inherit_the_context(net):
    server, client = net.pair()

    def in_a_thread():
        call = current_call()
        with pytest.raises(pseud.WrongThreadError):
            call.caller.f()
        return call.name, call.peer.connected, call.remaining > 0

    @server.register_rpc
    async def compute():
        return await asyncio.to_thread(in_a_thread)

    assert (yield client.compute()) == ('compute', True, True)


@pytest.mark.parametrize('backend', ['gevent'], indirect=True)
@scenario
def test_threads_of_a_pool_do_with_a_copy(net):
    server, client = net.pair()

    @server.register_rpc
    @net.handler
    def compute():
        context = contextvars.copy_context()
        return (yield net.thread(context.run, lambda: current_call().name))

    assert (yield client.compute()) == 'compute'


@both_ways
def test_clients_made_by_a_handler_are_nobodys_handlers(net):
    """What they do by themselves is done on nobody's behalf."""
    server, client = net.pair()
    other_server, address = net.serve('other')
    other_server.register_rpc(len)
    seen = []

    @server.register_rpc
    @net.handler
    def make():
        other = net.client(address, name='other')
        other.on_join(lambda peer: seen.append(current_call()))
        return (yield other.len('abc'))

    assert (yield client.make()) == 3
    assert seen == [None]
