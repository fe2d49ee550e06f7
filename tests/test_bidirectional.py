"""The server calls its clients; they call back; nobody waits for anybody."""

import pytest
from backends import scenario

import pseud

both_ways = scenario(needs=('callable',))


def connected(net, server, *names):
    """``yield from`` this until the server can call these users."""
    for name in names:
        outcome = pseud.NotSentError()
        while isinstance(outcome, pseud.NotSentError):
            yield net.sleep(0.002)
            outcome = yield from net.outcome(server.send_to(name).call('?'))


# inproc connections have no user id
@pytest.mark.parametrize('transport', ['tcp', 'ipc'])
@both_ways
def test_send_to(net, transport):
    server, address = net.serve(transport=transport, security_plugin='trusted_peer')
    alice = net.user(address, 'alice')

    @alice.register_rpc(name='draw.me.a.sheep')
    def sheep():
        return 'beeeh'

    yield alice.start()
    yield from connected(net, server, 'alice')
    assert (yield server.send_to('alice').draw.me.a.sheep()) == 'beeeh'
    assert (yield server.send_to(b'alice').call('draw.me.a.sheep')) == 'beeeh'


@both_ways
def test_everybody_gets_their_own(net):
    names = ('alice', 'bob', 'carol')
    server, *clients = net.users(*names)
    for name, client in zip(names, clients, strict=True):
        client.register_rpc(lambda name=name: name, name='whoami')
    yield from connected(net, server, *names)
    for name in names * 3:
        assert (yield server.send_to(name).whoami()) == name


@both_ways
def test_passwords(net):
    server, address = net.serve(
        security_plugin='plain', passwords={'alice': 'secret', 'bob': ''}
    )
    server.register_rpc(lambda user_id: user_id, name='whoami', with_identity=True)
    alice = net.user(address, 'alice', 'secret')
    alice.register_rpc(len)
    assert (yield alice.whoami()) == 'alice'
    assert (yield server.send_to('alice').len('abc')) == 3
    assert (yield net.user(address, 'bob').whoami()) == 'bob'


@pytest.mark.parametrize(
    ('name', 'password'), [('alice', 'wrong'), ('alice', ''), ('nobody', 'secret')]
)
@scenario
def test_a_wrong_password_is_said_promptly(net, name, password, logs):
    server, address = net.serve(security_plugin='plain', passwords={'alice': 'secret'})
    ran = []
    server.register_rpc(ran.append, name='run')
    # without a timeout: the answer is the refusal, or the test's own timeout
    client = net.user(address, name, password, timeout=None)
    error = yield from net.raises(pseud.UnauthorizedError, client.run(1))
    assert name in str(error)
    yield from net.raises(pseud.UnauthorizedError, client.run(2))
    assert ran == []
    written = ' '.join([*logs.texts(), str(error), repr(client), repr(client.settings)])
    assert 'wrong password' in written or 'wrong user id or password' in written
    if password:
        assert repr(password) not in written
    assert 'secret' not in written.replace('secret_key', '')


@scenario
def test_a_function_decides_about_passwords(net):
    asked = []

    def right(user_id, password):
        asked.append((user_id, password))
        return password == user_id[::-1]

    server, address = net.serve(security_plugin='plain', passwords=right)
    server.register_rpc(len)
    assert (yield net.user(address, 'abc', 'cba', timeout=None).len('')) == 0
    refused = net.user(address, 'abc', 'abc', timeout=None)
    yield from net.raises(pseud.UnauthorizedError, refused.len(''))
    assert asked[0] == ('abc', 'cba')


@scenario
def test_a_password_function_that_fails_refuses(net, logs):
    def broken(user_id, password):
        raise RuntimeError('the database is down')

    _, address = net.serve(security_plugin='plain', passwords=broken)
    client = net.user(address, 'alice', timeout=None)
    yield from net.raises(pseud.UnauthorizedError, client.f())
    logs.errors_expected = True
    assert any('asking about it failed' in text for text in logs.texts())


@scenario
def test_a_server_with_passwords_needs_some(net):
    with pytest.raises(ValueError, match='passwords='):
        net.server(security_plugin='plain')
    with pytest.raises(ValueError, match='user_id'):
        net.client(security_plugin='plain')
    yield from ()


@scenario
def test_security_plugins_that_do_not_go_together(net, logs):
    _, address = net.serve(security_plugin='trusted_peer')
    client = net.client(address, timeout=None)  # states nothing
    yield from net.raises(
        pseud.UnauthorizedError, client.f(), match='security_plugin does not go'
    )


@both_ways
def test_unknown_users(net):
    server, alice = net.users('alice')
    yield alice.start()
    yield from connected(net, server, 'alice')
    # at once: the calls never end otherwise
    eve = server.send_to('eve').with_options(timeout=None)
    error = yield from net.raises(pseud.NotSentError, eve.f(), match="'eve'")
    assert not isinstance(error, pseud.TimeoutError)
    for bad in ('', None, 3):
        with pytest.raises(TypeError, match='user id'):
            server.send_to(bad)


@both_ways
def test_without_authentication_there_are_no_users(net):
    server, client = net.pair()
    server.register_rpc(len)
    yield client.len('')
    call = server.send_to('alice').with_options(timeout=None).f()
    yield from net.raises(pseud.NotSentError, call, match='trusted_peer')


@scenario(needs=('callable',))
def test_a_server_does_not_guess_whom_to_call(net):
    server, client = net.pair()
    with pytest.raises(pseud.UsageError, match='send_to'):
        server._caller.call('f')
    with pytest.raises(AttributeError, match=r'send_to\(user_id\)\.hello'):
        server.with_options(timeout=1).hello()
    with pytest.raises(pseud.UsageError, match='calls its server'):
        client.send_to('alice')
    with pytest.raises(pseud.UsageError, match='connects'):
        client.bind('tcp://127.0.0.1:*')
    yield from ()


@both_ways
def test_nested_calls_to_any_depth(net):
    server, alice = net.users('alice')
    depth = 100

    @server.register_rpc(with_identity=True)
    @net.handler
    def ping(user_id, n):
        return n if n == depth else (yield server.send_to(user_id).pong(n + 1))

    @alice.register_rpc
    @net.handler
    def pong(n):
        return n if n == depth else (yield alice.ping(n + 1))

    assert (yield alice.ping(0)) == depth


@both_ways
def test_an_exception_comes_up_through_nested_calls(net):
    server, alice = net.users('alice')

    @server.register_rpc(with_identity=True)
    @net.handler
    def down(user_id, n):
        return (yield server.send_to(user_id).down(n - 1))

    @alice.register_rpc(name='down')
    @net.handler
    def down_again(n):
        if n <= 0:
            raise KeyError('bottom')
        return (yield alice.down(n - 1))

    error = yield from net.raises(KeyError, alice.down(5))
    assert error.args == ('bottom',)


@scenario(needs=('results',))
def test_handlers_of_one_peer_run_concurrently(net):
    server, client = net.pair()
    events = {name: net.event() for name in 'abc'}
    started = []

    @server.register_rpc
    @net.handler
    def wait_for(name):
        started.append(name)
        yield events[name].wait()
        return name

    server.register_rpc(lambda name: events[name].set(), name='release')
    calls = [client.wait_for(name) for name in 'abc']
    yield from net.until(lambda: len(started) == 3)
    assert started == ['a', 'b', 'c']  # sent in order, run in order
    for name, call in reversed(list(zip('abc', calls, strict=True))):
        assert not call.done()
        yield client.release(name)
        assert (yield call) == name


@both_ways
def test_several_clients_of_one_user(net):
    """The one that came last is called; when it goes, the other one is."""
    server, address = net.serve(security_plugin='trusted_peer')
    server.register_rpc(len)
    clients = []
    for number in range(2):
        clients.append(net.user(address, 'alice'))
        clients[-1].register_rpc(lambda number=number: number, name='number')
        yield clients[-1].len('')  # connected, before the next one is
    first, last = clients
    assert (yield server.send_to('alice').number()) == 1
    yield last.stop()
    outcomes = [1]
    while outcomes[-1] != 0:
        yield net.sleep(0.002)
        outcomes.append((yield from net.outcome(server.send_to('alice').number())))
    yield first.stop()
    while not isinstance(outcomes[-1], pseud.NotSentError):
        yield net.sleep(0.002)
        outcomes.append((yield from net.outcome(server.send_to('alice').number())))


@both_ways
def test_several_servers_in_one_process_and_context(net, logs):
    """Each asks its own rules; one of them stopping changes nothing for the others."""
    servers, clients = {}, {}
    for name, password in (('one', '1'), ('two', '2')):
        servers[name], address = net.serve(
            name, security_plugin='plain', passwords={'alice': password}
        )
        servers[name].register_rpc(lambda name=name: name, name='which')
        for tried in '12':
            clients[name, tried] = net.user(
                address, 'alice', tried, name=name, timeout=None
            )
    trusting, address = net.serve('three', security_plugin='trusted_peer')
    trusting.register_rpc(lambda user_id: user_id, name='which', with_identity=True)
    bob = net.user(address, 'bob', name='three', timeout=None)
    assert (yield clients['one', '1'].which()) == 'one'
    assert (yield clients['two', '2'].which()) == 'two'
    assert (yield bob.which()) == 'bob'
    for wrong in (clients['one', '2'], clients['two', '1']):
        yield from net.raises(pseud.UnauthorizedError, wrong.which())
    yield servers['one'].stop()
    assert (yield clients['two', '2'].which()) == 'two'
    carol = net.user(address, 'carol', name='three', timeout=None)
    assert (yield carol.which()) == 'carol'


@scenario
def test_a_client_that_looks_for_another_service_is_told(net):
    server, address = net.serve('bakery')
    server.register_rpc(len)
    lost = net.client(address, name='butcher')
    yield from net.raises(
        pseud.NotSentError, lost.len(''), match=r"'bakery'.*'butcher'"
    )
    assert (yield net.client(address, name='').len('')) == 0


@both_ways
def test_a_refused_client_gets_in_once_the_server_knows_it(net):
    passwords = {}
    server, address = net.serve(
        security_plugin='plain',
        passwords=lambda user, word: passwords.get(user) == word,
    )
    server.register_rpc(len)
    login = {'security_plugin': 'plain', 'user_id': 'alice', 'password': 'secret'}
    client = net.client(address, **login)
    yield from net.raises(pseud.UnauthorizedError, client.len(''), match='alice')
    passwords['alice'] = 'secret'
    outcome = pseud.UnauthorizedError()
    while isinstance(outcome, pseud.UnauthorizedError):
        yield net.sleep(0.01)
        outcome = yield from net.outcome(client.len('abc'))
    assert outcome == 3
