"""Servers behind a standard ØMQ device: what works there, and what can not."""

import pytest
from backends import scenario
from devices import device

import pseud

LOST = (pseud.NotSentError, pseud.TimeoutError)


def servers_behind(net, back, count=2, **settings):
    """Servers that take calls from a device, each with its number."""
    servers = []
    for number in range(count):
        server = net.server(**settings)
        server.register_rpc(lambda number=number: number, name='which')
        server.connect(back)
        server.start()
        servers.append(server)
    return servers


def both(net, client, attempts=1000):
    """``yield from`` this until both servers have answered."""
    seen = set()
    for _ in range(attempts):
        seen.add((yield client.which()))
        if seen == {0, 1}:
            return
    raise AssertionError(f'only {seen} answered')


@scenario
def test_calls_go_to_each_of_the_servers(net):
    with device(net) as (front, back):
        for server in servers_behind(net, back):
            server.register_rpc(lambda value: value, name='same')
        client = net.client(front)
        if net.driver.name.startswith('sync'):
            for _ in range(8):
                assert (yield client.same('value')) == 'value'
            return
        yield from both(net, client)
        big = [bytes(1 << 20), ('a', 1.5)]
        calls = [client.same((number, big)) for number in range(20)]
        assert (yield from net.all(calls)) == [(number, big) for number in range(20)]


@pytest.mark.parametrize('client_kind', ['loop', 'sync'])
@scenario(needs=('callable',))
def test_a_server_that_stops_is_no_longer_asked(net, client_kind):
    """The others behind the device are: it says nothing that would be taken for theirs."""
    with device(net) as (front, back):
        servers = servers_behind(net, back)
        client = net.client(front, timeout=1)
        yield from both(net, client)
        if client_kind == 'sync':
            client = pseud.SyncClient('service', context=net.context, timeout=1)
            client.connect(front)

        def which():
            return net.thread(client.which) if client_kind == 'sync' else client.which()

        yield servers[0].stop()
        answers = []
        for _ in range(6):
            answers += [(yield from net.outcome(which()))]
        assert answers.count(1) >= 4, answers
        for answer in answers:
            # a timeout if the device gave it to a connection that was just closed
            assert answer == 1 or isinstance(answer, LOST)
        if client_kind == 'sync':
            client.stop()


@scenario(needs=('callable',))
def test_a_call_while_a_server_stops_did_not_run(net):
    with device(net) as (front, back):
        servers = servers_behind(net, back)
        go_on, running, runs = net.event(), [], []

        def wait():
            running.append(True)
            yield go_on.wait()
            return 'done'

        for server in servers:
            server.register_rpc(net.handler(wait), name='wait')
            server.register_rpc(lambda: runs.append(True), name='run')
        client = net.client(front)
        yield from both(net, client)
        call = client.wait()
        yield from net.until(lambda: running)
        stopping = next(s for s in servers if s._engine.core.running)

        def stop():
            yield stopping.stop(grace=20)

        stopped = net.spawn(stop())
        yield from net.until(lambda: stopping._engine.core.draining)
        outcomes = []
        for _ in range(10):
            outcomes += [(yield from net.outcome(client.run()))]
        refused = [each for each in outcomes if each is not None]
        assert len(runs) == 10 - len(refused)
        for error in refused:
            assert isinstance(error, pseud.NotSentError)
            assert 'did not run' in str(error)
        go_on.set()
        assert (yield call) == 'done'
        yield stopped


@scenario(needs=('callable',))
def test_one_server_behind_a_device_can_call_back(net):
    with device(net) as (front, back):
        (server,) = servers_behind(net, back, count=1)

        @server.register_rpc
        @net.handler
        def ask(value):
            return (yield pseud.current_call().caller.len(value))

        client = net.client(front)
        client.register_rpc(len)
        assert (yield client.ask('abc')) == 3


@scenario(needs=('callable',))
def test_several_servers_behind_a_device_can_not(net):
    """The answer may come to another of them: it is dropped, and nothing else happens."""
    with device(net) as (front, back):
        servers = servers_behind(net, back)
        client = net.client(front)
        client.register_rpc(len)
        yield from both(net, client)
        for server in servers:
            yield from net.until(lambda server=server: server.peers)
        outcomes = []
        for server in servers * 2:
            caller = server.with_options(timeout=0.3).send_to(server.peers[0])
            outcomes.append((yield from net.outcome(caller.len('abc'))))
        for outcome in outcomes:
            assert outcome == 3 or isinstance(outcome, pseud.TimeoutError)
        yield from both(net, client)
