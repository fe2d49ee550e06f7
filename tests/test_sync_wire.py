"""What `SyncClient` sends, and what it is sent: it speaks in turns."""

import msgpack
import pytest
import zmq
from backends import PATIENCE, scenario
from peers import CALL, HELLO, RESULT, RawServer

import pseud

sync = pytest.mark.parametrize('backend', ['sync', 'sync-gevent'], indirect=True)
servers = pytest.mark.parametrize('backend', ['tornado', 'gevent'], indirect=True)


@sync
@scenario
def test_hello_travels_with_the_first_call(net):
    server = RawServer(net)
    client = net.client(server.address)
    for number in range(3):
        call = client.f(number)
        sender, messages = yield net.thread(server.receive)
        kinds = [message[0] for message in messages]
        assert kinds == ([HELLO, CALL] if number == 0 else [CALL])
        if number == 0:
            hello = messages[0][3]
            assert hello['lockstep'] is True
            assert hello['versions'] == [2]
            assert hello['name'] == 'service'
            assert hello['agent'].startswith('pseud')
        server.send(sender, [RESULT, messages[-1][1], 0, msgpack.packb(number)])
        assert (yield call) == number


@sync
@pytest.mark.parametrize('first', [True, False], ids=['first', 'later'])
@pytest.mark.parametrize('size', [60_000, 262_100, 300_000, 5_000_000])
@scenario
def test_a_call_of_any_size_is_one_message(net, size, first):
    server = RawServer(net)
    client = net.client(server.address)
    if not first:
        call = client.f()
        yield net.thread(server.answer, result)
        yield call
    values = [bytes([65 + n]) * size for n in range(2)]
    call = client.f(*values, text='ü' * (size // 2))

    def serve():
        frames = server.socket.recv_multipart()
        *_, message = msgpack.unpackb(frames[2])
        assert message[0] == CALL
        server.send(frames[0], result(message[1], 'f'))
        return frames

    frames = yield net.thread(serve)
    assert sum(map(len, frames)) > 3 * size
    assert (yield call) == 'f'
    assert server.socket.poll(0) == 0


def result(call_id, name):
    return [RESULT, call_id, 0, msgpack.packb(name)]


@sync
@scenario
def test_an_answer_that_is_none_fails_one_call_only(net):
    server = RawServer(net)
    client = net.client(server.address)
    for messages in (
        [],
        [[99, 1, 2, 3]],
        [[RESULT, 4711, 0, b'\xc0']],
        [[RESULT, 'one', 0, b'\xc0']],
        [17],
    ):
        call = client.f()

        def garbage(messages=messages):
            sender, _, _ = server.call()
            server.send(sender, *messages)

        yield net.thread(garbage)
        yield from net.raises(pseud.RemoteProtocolError, call, match='no answer')
        call = client.g()
        yield net.thread(server.answer, result)
        assert (yield call) == 'g'


@servers
@scenario
def test_who_speaks_in_turns_gets_nothing_unasked(net, logs):
    """Not when the server stops, not when another connection is lost."""
    server, address = net.serve(security_plugin='trusted_peer')
    go, runs = net.event(), []

    @server.register_rpc
    @net.handler
    def wait():
        runs.append(True)
        yield go.wait()
        return 'done'

    # a DEALER, which sees what a REQ socket would swallow
    peer = net.raw(zmq.DEALER, plain_username=b'alice', plain_password=b'-')
    peer.connect(address)
    call = [CALL, 1, 0, msgpack.packb([[], {}]), 'wait', None]
    hello = [HELLO, 0, 0, {'versions': [2], 'name': 'service', 'lockstep': True}]
    peer.send_multipart([b'', msgpack.packb([hello, call])])
    yield from net.until(lambda: runs)
    other = net.user(address, 'bob', timeout=None)
    server.register_rpc(len)
    assert (yield other.len('')) == 0
    refused = pytest.raises(pseud.PseudError, match='alice')
    with refused:
        yield server.send_to('alice').ping()
    yield other.stop()
    stopped = net.spawn(stop(server))
    # the end of the grace is not near: the server waits for the call
    assert (yield net.thread(peer.poll, 50)) == 0
    go.set()
    yield stopped
    frames = yield net.thread(peer.recv_multipart)
    (message,) = msgpack.unpackb(frames[1])
    assert message[:2] == [RESULT, 1]
    assert (yield net.thread(peer.poll, 50)) == 0


def stop(server):
    yield server.stop(grace=PATIENCE)


@servers
@scenario
def test_a_user_is_called_where_it_can_be(net):
    """The SyncClient of the same name is not taken for its Client."""
    server, alice = net.users('alice')
    alice.register_rpc(lambda: 'beeeh', name='sheep')
    server.register_rpc(len)
    assert (yield alice.len('')) == 0
    address = next(iter(alice._engine.links))
    settings = {'security_plugin': 'plain', 'user_id': 'alice', 'password': ''}
    with pseud.SyncClient('service', context=net.context, **settings) as blocking:
        blocking.connect(address)
        assert (yield net.thread(blocking.len, 'abc')) == 3
        assert (yield server.send_to('alice').sheep()) == 'beeeh'
    yield alice.stop()
    yield from net.raises(pseud.NotSentError, server.send_to('alice').sheep())


@sync
@scenario
def test_the_server_of_another_service(net):
    server, address = net.serve('other')
    ran = []
    server.register_rpc(ran.append, name='run')
    client = net.client(address, name='service', timeout=None)
    for _ in range(3):
        error = yield from net.raises(pseud.NotSentError, client.run(1))
        assert "this server is 'other', the client looks for 'service'" in str(error)
    assert ran == []
    anybody = net.client(address, name='')
    assert (yield anybody.run(1)) is None


@sync
@scenario
def test_wrong_passwords_are_told_at_once_each_time(net):
    passwords = {'alice': 'right'}
    server, address = net.serve(security_plugin='plain', passwords=passwords)
    server.register_rpc(len)
    client = net.user(address, 'alice', 'wrong', timeout=None)
    errors = []
    for _ in range(3):
        error = yield from net.raises(pseud.UnauthorizedError, client.len(''))
        assert 'password' in str(error)
        assert 'wrong' not in str(error).replace('wrong password', '')
        errors.append(error)
    assert len(set(map(id, errors))) == 3  # whose tracebacks are their own
    other = net.user(address, 'alice', 'right', timeout=None)
    assert (yield other.len('abc')) == 3
    passwords['alice'] = 'wrong'  # which now is the right one
    assert (yield client.len('ab')) == 2
