"""Protocol v1 with peers written by hand, as pseud 1.x would speak to us."""

import builtins
import pickle
import uuid

import msgpack
import pytest
import zmq
from backends import scenario

import pseud
from pseud import raisable, remote
from pseud.packer_v1 import PackerV1

OK, HELLO, WORK, AUTHENTICATED, HEARTBEAT, ERROR, UNAUTHORIZED = (
    bytes([code]) for code in (1, 2, 3, 4, 6, 16, 17)
)


class V1Client:
    """pseud 1.x's client: a ROUTER that knows the server's name; or its REQ."""

    def __init__(self, net, address, kind=zmq.ROUTER, name=b'service', **options):
        self.to = [name, b''] if kind == zmq.ROUTER else []
        if kind == zmq.ROUTER:
            options.update(router_mandatory=True, probe_router=True)
        self.socket = net.raw(kind, **options)
        self.socket.connect(address)

    def send(self, uid, kind, body):
        while True:
            try:
                self.socket.send_multipart([*self.to, b'v1', uid, kind, body])
                return
            except zmq.ZMQError as error:  # not connected yet
                if error.errno != zmq.EHOSTUNREACH:
                    raise

    def receive(self):
        frames = self.socket.recv_multipart()
        assert frames[: len(self.to)] == self.to
        version, uid, kind, body = frames[len(self.to) :]
        assert version == b'v1'
        return uid, kind, body

    def work(self, name, *args, **kwargs):
        """Call; returns the type and the content of the answer."""
        uid = uuid.uuid4().bytes
        self.send(uid, WORK, msgpack.packb([name, args, kwargs]))
        answered, kind, body = self.receive()
        assert answered == uid
        return kind, msgpack.unpackb(body, use_list=False)


@pytest.mark.parametrize('kind', [zmq.ROUTER, zmq.REQ], ids=str)
@scenario
def test_an_old_client_calls_our_server(net, kind):
    server, address = net.serve()
    server.register_rpc(lambda *args, **kwargs: (args, kwargs), name='echo.it')

    def fail():
        raise ValueError('bad')

    server.register_rpc(fail)
    server.register_rpc(lambda: {1, 2}, name='a_set')

    def old():
        client = V1Client(net, address, kind)
        if kind == zmq.ROUTER:  # a REQ gets nothing that it did not ask for
            client.send(b'', HEARTBEAT, b'here')
        assert client.work('echo.it', 1, b'2', c='3') == (
            OK,
            ((1, b'2'), {'c': '3'}),
        )
        kind_, (name, message, trace) = client.work('fail')
        assert (kind_, name, message) == (ERROR, 'ValueError', 'bad')
        assert 'in fail' in trace
        kind_, (name, _, _) = client.work('nope')
        assert (kind_, name) == (ERROR, 'ServiceNotFoundError')
        kind_, (name, message, _) = client.work('a_set')
        assert (kind_, name) == (ERROR, 'SerializationError')
        assert 'a_set() ran' in message
        assert client.work('echo.it') == (OK, ((), {}))

    yield net.thread(old)


@scenario
def test_old_and_new_clients_side_by_side(net):
    server, address = net.serve()
    server.register_rpc(len)
    client = net.client(address)
    old = V1Client(net, address)
    for n in range(5):
        assert (yield net.thread(old.work, 'len', 'x' * n)) == (OK, n)
        assert (yield client.len('x' * n)) == n


@scenario
def test_our_server_calls_an_old_client(net):
    """While that one waits for the answer to a call of its own."""
    server, address = net.serve(security_plugin='trusted_peer')

    @server.register_rpc(with_identity=True)
    @net.handler
    def ask(user_id):
        return (yield server.send_to(user_id).draw.me('a sheep', colour='white'))

    def old():
        client = V1Client(
            net, address, plain_username=b'alice', plain_password=b'whatever'
        )
        mine = uuid.uuid4().bytes
        client.send(mine, WORK, msgpack.packb(['ask', [], {}]))
        uid, kind, body = client.receive()
        assert kind == WORK
        assert len(uid) == 16
        assert msgpack.unpackb(body) == ['draw.me', ['a sheep'], {'colour': 'white'}]
        client.send(uid, OK, msgpack.packb('beeeh'))
        assert client.receive() == (mine, OK, msgpack.packb('beeeh'))
        # and now an exception comes up
        client.send(mine, WORK, msgpack.packb(['ask', [], {}]))
        uid, kind, _ = client.receive()
        client.send(uid, ERROR, msgpack.packb(['KeyError', 'gone', 'Traceback …']))
        uid, kind, body = client.receive()
        assert (uid, kind) == (mine, ERROR)
        assert msgpack.unpackb(body)[:2] == ['KeyError', "'gone'"]

    yield net.thread(old)


@scenario
def test_an_old_client_is_there_without_a_call(net):
    """Its ROUTER probes the connection; 1.x called its clients from then on."""
    server, address = net.serve(security_plugin='trusted_peer')
    server.register_rpc(len)
    old = V1Client(net, address, plain_username=b'alice', plain_password=b'whatever')
    yield from net.until(lambda: server.peers)

    def answer():
        uid, kind, body = old.receive()
        assert kind == WORK
        assert msgpack.unpackb(body) == ['draw', [], {}]
        old.send(uid, OK, msgpack.packb('beeeh'))

    call = server.send_to('alice').draw()
    yield net.thread(answer)
    assert (yield call) == 'beeeh'
    assert (yield net.thread(old.work, 'len', 'abc')) == (OK, 3)
    assert len(server.peers) == 1


@scenario
def test_hello_of_an_old_client(net):
    """The transport knows already who it is; v1 wants to say it once more."""
    server, address = net.serve()
    server.register_rpc(len)
    old = V1Client(net, address)

    def greet():
        uid = uuid.uuid4().bytes
        old.send(uid, HELLO, msgpack.packb([b'login', b'password']))
        assert old.receive()[:2] == (uid, AUTHENTICATED)
        assert old.work('len', 'abc') == (OK, 3)

    yield net.thread(greet)


HARMFUL = {
    cls.__name__: cls
    for cls in (
        *(SystemExit, KeyboardInterrupt, GeneratorExit, BaseException, StopIteration),
        *(StopAsyncIteration, SyntaxError, ExceptionGroup),
        *(type(name, (Exception,), {}) for name in ('quit', 'print', '__import__')),
    )
}
UNICODE = {
    'UnicodeDecodeError': ('utf-8', b'x', 0, 1, 'why'),
    'UnicodeEncodeError': ('utf-8', 'x', 0, 1, 'why'),
    'UnicodeTranslateError': ('x', 0, 1, 'why'),
}


@pytest.mark.parametrize('cls', HARMFUL.values(), ids=HARMFUL)
def test_names_of_exceptions_that_would_harm_an_old_peer(cls):
    """1.x calls what ``builtins`` has of the name, with one text, in its reader."""
    error = cls('both', [ValueError()]) if 'Group' in cls.__name__ else cls('why')
    body = remote.dump(error, PackerV1(), 1, show=True)
    name, _, _ = msgpack.unpackb(body)
    assert name == f'builtins.{cls.__name__}'
    assert not hasattr(builtins, name)
    arrived = remote.load(body, PackerV1(), 1)
    assert type(arrived).__name__ == cls.__name__


def test_names_of_exceptions_that_an_old_peer_can_make():
    known = [raisable.find(name) for name in vars(builtins) if raisable.find(name)]
    assert len(known) > 50
    for cls in known:
        made = cls(*UNICODE.get(cls.__name__, ('why',)))
        body = remote.dump(made, PackerV1(), 1, show=True)
        name, message, _ = msgpack.unpackb(body)
        there = getattr(builtins, name)
        assert issubclass(cls, there)
        assert isinstance(there(message), Exception)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ('a pickle was read',))


@scenario
def test_pickles_are_never_read(net):
    server, address = net.serve()
    server.register_rpc(lambda value: value, name='same')
    old = V1Client(net, address)
    for code in range(123, 127):
        bomb = msgpack.ExtType(code, pickle.dumps(Bomb()))
        kind, (name, message, _) = yield net.thread(old.work, 'same', bomb)
        assert (kind, name) == (ERROR, 'SerializationError')
        assert 'pickle' in message


# ---------------------------------------------------------------- our client


class V1Server:
    """pseud 1.x's server, as far as a client can tell."""

    def __init__(self, net, name=b'service'):
        self.socket = net.raw(zmq.ROUTER, routing_id=name)
        self.socket.bind('tcp://127.0.0.1:*')
        self.address = self.socket.last_endpoint.decode()

    def receive(self):
        while True:
            client, *rest = self.socket.recv_multipart()
            if rest == [b'']:  # a probe, as its own clients send
                continue
            empty, version, uid, kind, body = rest
            assert (empty, version) == (b'', b'v1')
            if kind != HEARTBEAT:
                return client, uid, kind, body

    def send(self, client, uid, kind, body):
        self.socket.send_multipart([client, b'', b'v1', uid, kind, body])

    def answer(self, kind, body):
        """Answer one call; returns what was called."""
        client, uid, asked, work = self.receive()
        assert asked == WORK
        self.send(client, uid, kind, body)
        return msgpack.unpackb(work, use_list=False)


@scenario
def test_our_client_calls_an_old_server(net):
    server = V1Server(net)
    client = net.client(server.address, protocol=1)
    call = client.some.function(1, (2,), key=b'3')
    work = yield net.thread(server.answer, OK, msgpack.packb([1, [2]]))
    assert work == ('some.function', (1, (2,)), {'key': b'3'})
    assert (yield call) == (1, (2,))  # v1's arrays are tuples


@scenario
def test_errors_of_an_old_server(net):
    server = V1Server(net)
    client = net.client(server.address, protocol=1)
    cases = [
        ('ValueError', ValueError),
        ('ServiceNotFoundError', pseud.ServiceNotFoundError),
        ('OutOfMilk', pseud.RemoteError),
        ('SystemExit', pseud.RemoteError),
        ('StopIteration', pseud.RemoteError),
    ]
    for name, kind in cases:
        call = client.f()
        body = msgpack.packb([name, 'the message', 'Traceback (most recent…'])
        yield net.thread(server.answer, ERROR, body)
        error = yield from net.raises(kind, call)
        assert type(error).__name__ == name
        assert str(error) == 'the message'
        assert 'Traceback' in str(error.__cause__)
    call = client.f()
    yield net.thread(server.answer, UNAUTHORIZED, b'who are you?')
    yield from net.raises(pseud.UnauthorizedError, call, match='who are you')


@scenario(needs=('callable',))
def test_an_old_server_calls_our_client(net):
    server = V1Server(net)
    client = net.client(server.address, protocol=1)

    @client.register_rpc(name='draw.me.a.sheep')
    def sheep(name):
        return ('beeeh', name)

    call = client.hello()  # lets the server know us

    def old():
        address, uid, *_ = server.receive()
        mine = uuid.uuid4().bytes
        work = msgpack.packb(['draw.me.a.sheep', ['Dolly'], {}])
        server.send(address, mine, WORK, work)
        assert server.receive() == (
            address,
            mine,
            OK,
            msgpack.packb(['beeeh', 'Dolly']),
        )
        server.send(address, uid, OK, msgpack.packb(None))

    yield net.thread(old)
    assert (yield call) is None


@scenario
def test_a_late_reply_of_an_old_server_ends_nothing(net):
    server = V1Server(net)
    client = net.client(server.address, protocol=1)
    late = client.with_options(timeout=0.05).f()
    yield from net.raises(pseud.TimeoutError, late)
    call = client.f()

    def old():
        for answer in ('late', 'in time'):
            address, uid, _, _ = server.receive()
            for _ in range(3):  # repeats itself
                server.send(address, uid, OK, msgpack.packb(answer))

    yield net.thread(old)
    assert (yield call) == 'in time'
