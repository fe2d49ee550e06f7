"""Several servers behind one client, and servers that restart."""

import socket

from backends import PATIENCE, scenario

import pseud

NAMES = ('first', 'second', 'third')


def fleet(net, names=NAMES, **settings):
    """Servers that say who they are, each with its address."""
    made = []
    for name in names:
        server, address = net.serve(**settings)
        server.register_rpc(lambda name=name: name, name='who')
        server.start()
        made.append((server, address))
    return made


def serve_again(net, address, function, name):
    """Another server at an address whose last one may not have let go of it yet."""
    server = net.server()
    server.register_rpc(function, name=name)

    def bind():
        try:
            return server.bind(address)
        except OSError:
            return None

    yield from net.until(bind)
    server.start()
    return server


def stop(server, *args):
    yield server.stop(*args)


def all_connected(net, client, count):
    """Until that many servers have answered."""
    seen = set()
    while len(seen) < count:
        seen.add((yield client.who()))


@scenario
def test_calls_take_turns(net):
    servers = fleet(net)
    client = net.client(*(address for _, address in servers))
    yield from all_connected(net, client, 3)
    called = dict.fromkeys(NAMES, 0)
    for _ in range(9):
        called[(yield client.who())] += 1
    assert set(called.values()) == {3}


@scenario(needs=('results',))
def test_the_least_busy_is_called(net):
    servers = fleet(net)
    client = net.client(*(address for _, address in servers))
    yield from all_connected(net, client, 3)
    go, begun = net.event(), net.event()
    for server, _ in servers:

        @server.register_rpc
        @net.handler
        def busy():
            begun.set()
            yield go.wait()

    call = client.busy()
    yield begun.wait()
    called = set()
    for _ in range(6):
        called.add((yield client.who()))
    assert len(called) == 2  # and not the one that is busy
    go.set()
    yield call


@scenario
def test_a_dead_server_costs_no_call(net):
    servers = fleet(net)
    client = net.client(*(address for _, address in servers), timeout=PATIENCE)
    yield from all_connected(net, client, 3)
    yield servers[0][0].stop()
    called, lost = set(), 0
    for _ in range(10):
        outcome = yield from net.outcome(client.who())
        if isinstance(outcome, pseud.PeerLostError):
            lost += 1  # its connection was going while we sent: nobody can tell
        else:
            called.add(outcome)
    assert called == {'second', 'third'}
    assert lost <= (isinstance(client, pseud.SyncClient))


@scenario
def test_one_that_never_was_there_costs_no_call(net):
    ((_, address),) = fleet(net, ['here'])
    with socket.socket() as nobody:  # has the port, and takes no connections
        nobody.bind(('127.0.0.1', 0))
        dead = f'tcp://127.0.0.1:{nobody.getsockname()[1]}'
        client = net.client(dead, address)
        for _ in range(5):
            assert (yield client.who()) == 'here'


@scenario
def test_it_is_taken_back(net):
    servers = fleet(net, ['first', 'second'])
    client = net.client(*(address for _, address in servers))
    yield from all_connected(net, client, 2)
    yield servers[0][0].stop()
    outcome = None
    while outcome != 'second':
        outcome = yield from net.outcome(client.who())
    yield from serve_again(net, servers[0][1], lambda: 'again', 'who')
    called = None
    while called != 'again':
        called = yield client.who()


@scenario
def test_one_of_two_that_drains_gets_no_calls_and_loses_none(net):
    servers = fleet(net, ['first', 'second'])
    client = net.client(*(address for _, address in servers), timeout=PATIENCE)
    yield from all_connected(net, client, 2)
    go, begun = net.event(), net.event()
    draining = servers[0][0]

    @draining.register_rpc
    @net.handler
    def slow():
        begun.set()
        yield go.wait()
        return 'done'

    other = net.client(servers[0][1], timeout=PATIENCE)
    finishes = net.spawn(outcome(net, other))
    yield begun.wait()
    stopping = net.spawn(stop(draining, PATIENCE))
    for _ in range(50):
        assert (yield client.who()) in ('first', 'second')
    for _ in range(20):
        assert (yield client.who()) == 'second'
    go.set()
    yield stopping
    assert (yield finishes) == 'done'


def outcome(net, client):
    return (yield client.slow())


@scenario(needs=('results',))
def test_a_restart_loses_no_call(net):
    """With one server, too: calls wait for the next."""
    server, address = net.serve()
    ran = []
    server.register_rpc(ran.append, name='f')
    server.start()
    client = net.client(address, timeout=PATIENCE)
    yield client.f('first')
    numbers = iter(range(100_000))
    restarted = []

    def restart():
        yield server.stop()
        yield from serve_again(net, address, ran.append, 'f')
        restarted.append(True)

    done = net.spawn(restart())
    made = []
    while not restarted or len(made) < 100:
        made.append(next(numbers))
        yield client.f(made[-1])
    yield done
    assert ran == ['first', *made]


@scenario(needs=('results',))
def test_many_calls_while_it_restarts_each_have_a_result(net):
    server, address = net.serve()
    ran = []
    server.register_rpc(ran.append, name='f')
    server.start()
    client = net.client(address, timeout=PATIENCE)
    yield client.f(-1)
    calls = [client.f(number) for number in range(200)]
    stopping = net.spawn(stop(server, PATIENCE))
    for number in range(200, 300):
        calls.append(client.f(number))
        yield net.sleep(0)
    yield stopping
    calls += [client.f(number) for number in range(300, 400)]
    yield from serve_again(net, address, ran.append, 'f')
    yield from calls
    assert ran == [-1, *range(400)]


@scenario
def test_what_a_call_to_a_restarting_server_says_is_true(net):
    """Where nobody can be told in advance, as a SyncClient only listens while it calls."""
    server, address = net.serve()
    ran = []
    server.register_rpc(ran.append, name='f')
    server.start()
    client = net.client(address, timeout=PATIENCE)
    yield client.f(0)
    restarting = net.spawn(restart(net, server, address, ran.append))
    outcomes = {0: None}
    for number in range(1, 100):
        outcomes[number] = yield from net.outcome(client.f(number))
    yield restarting
    assert len(ran) == len(set(ran))
    for number, outcome in outcomes.items():
        assert number in ran or isinstance(outcome, pseud.PeerLostError)
    lost = [each for each in outcomes.values() if each is not None]
    assert len(lost) <= 1  # with the one that it was under way with


def restart(net, server, address, function):
    yield server.stop()
    yield from serve_again(net, address, function, 'f')


@scenario(needs=('results',))
def test_calls_to_one_very_server_do_not_move(net):
    """A client may call back whoever called it: that one, or none."""
    servers = fleet(net, ['first', 'second'], security_plugin='trusted_peer')
    callers = []
    client = net.user(servers[0][1], 'alice')
    client.connect(servers[1][1])
    client.register_rpc(lambda: callers.append(pseud.current_call().caller), name='f')
    first = servers[0][0]
    yield from net.until(lambda: first.peers)
    yield first.send_to('alice').f()
    assert (yield callers[0].who()) == 'first'
    yield first.stop()
    yield from net.raises(pseud.NotSentError, callers[0].who())


@scenario
def test_with_the_wrong_name_another_is_called(net):
    wrong, address = net.serve('wrong')
    wrong.start()
    ((_, right),) = fleet(net, ['right'])
    client = net.client(address, right, timeout=PATIENCE)
    for _ in range(5):
        assert (yield client.who()) == 'right'


@scenario
def test_with_the_wrong_name_alone_it_is_said_at_once(net):
    wrong, address = net.serve('wrong')
    wrong.start()
    client = net.client(address, timeout=PATIENCE)
    text = "this server is 'wrong', the client looks for 'service'"
    yield from net.raises(pseud.NotSentError, client.who(), match=text)
    yield from net.raises(pseud.NotSentError, client.who(), match=text)


@scenario
def test_a_server_that_is_full_and_then_is_not(net):
    server, address = net.serve(limits=pseud.Limits(max_peers=1))
    server.register_rpc(len)
    server.start()
    first = net.client(address)
    assert (yield first.len('')) == 0
    second = net.client(address, timeout=PATIENCE)
    yield from net.raises(pseud.NotSentError, second.len(''), match='the limit')
    yield first.stop()
    answer = None
    while answer != 0:
        answer = yield from net.outcome(second.with_options(timeout=1).len(''))
        yield net.sleep(0.05)


@scenario
def test_one_that_refuses_is_asked_again(net):
    known = set()
    strict, address = net.serve(
        security_plugin='plain', passwords=lambda user, password: user in known
    )
    strict.register_rpc(lambda: 'strict', name='who')
    strict.start()
    ((_, other),) = fleet(net, ['other'], security_plugin='trusted_peer')
    client = net.user(address, 'alice', 'secret', timeout=PATIENCE)
    client.connect(other)
    for _ in range(5):
        assert (yield client.who()) == 'other'
    known.add('alice')
    called = None
    while called != 'strict':
        called = yield client.who()
