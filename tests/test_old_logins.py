"""Protocol v1 over encrypted connections: peers of pseud 1.x that log in."""

import uuid

import msgpack
import pytest
import zmq
from backends import scenario
from test_old_peers import AUTHENTICATED, HELLO, OK, UNAUTHORIZED, WORK, V1Client

import pseud

SERVER_KEYS = zmq.curve_keypair()


def serve(net, **settings):
    """A server that challenges and says who calls, and its address."""
    server, address = net.serve(
        security_plugin='untrusted_curve',
        secret_key=SERVER_KEYS[1],
        passwords={'alice': 'secret'},
        **settings,
    )
    server.register_rpc(lambda user_id: user_id, name='whoami', with_identity=True)
    return server, address


def connect(net, address, kind):
    """A client with keys that nobody knows."""
    public, secret = zmq.curve_keypair()
    client = V1Client(
        net,
        address,
        kind,
        curve_publickey=public,
        curve_secretkey=secret,
        curve_serverkey=SERVER_KEYS[0],
    )
    if kind == zmq.DEALER:
        client.to = [b'']  # the delimiter, but no name
    return client


def challenge(client, name='whoami'):
    """Call without a login."""
    uid = uuid.uuid4().bytes
    client.send(uid, WORK, msgpack.packb([name, [], {}]))
    answered, kind, body = client.receive()
    assert (answered, kind) == (uid, UNAUTHORIZED)
    assert b'log in' in body


def login(client, *credentials):
    """Answer the challenge; returns the type of what comes back."""
    uid = uuid.uuid4().bytes
    client.send(uid, HELLO, msgpack.packb(credentials))
    answered, kind, _ = client.receive()
    assert answered == uid
    return kind


KINDS = pytest.mark.parametrize('kind', [zmq.ROUTER, zmq.DEALER, zmq.REQ], ids=str)


@KINDS
@scenario
def test_challenge_login_and_call(net, kind):
    server, address = serve(net)
    ran = []
    server.register_rpc(lambda: ran.append(1), name='run')

    def old():
        client = connect(net, address, kind)
        challenge(client, 'run')
        assert ran == []
        assert login(client, 'alice', 'secret') == AUTHENTICATED
        assert client.work('whoami') == (OK, 'alice')
        assert client.work('run') == (OK, None)

    yield net.thread(old)
    assert [peer.user_id for peer in server.peers] in (['alice'], [])


@KINDS
@scenario
def test_a_wrong_password(net, logs, kind):
    server, address = serve(net)

    def old():
        client = connect(net, address, kind)
        for password in ('wrong', b'', None):
            assert login(client, 'alice', password) == UNAUTHORIZED
            challenge(client)
        assert server.peers == []
        assert login(client, b'alice', b'secret') == AUTHENTICATED
        assert client.work('whoami') == (OK, 'alice')

    yield net.thread(old)
    assert 'secret' not in ' '.join(logs.texts())


@scenario
def test_a_call_right_behind_the_login(net):
    """It waits for the decision; so do more logins, as 1.x has one for each call."""
    _, address = serve(net)

    def old():
        client = connect(net, address, zmq.ROUTER)
        uids = [uuid.uuid4().bytes for _ in range(3)]
        for uid in uids[:2]:
            client.send(uid, HELLO, msgpack.packb(['alice', 'secret']))
        client.send(uids[2], WORK, msgpack.packb(['whoami', [], {}]))
        received = [client.receive() for _ in uids]
        assert [(uid, kind) for uid, kind, _ in received] == [
            (uids[0], AUTHENTICATED),
            (uids[1], AUTHENTICATED),
            (uids[2], OK),
        ]

    yield net.thread(old)


@scenario(needs=('callable',))
def test_our_server_calls_an_old_user(net):
    server, address = serve(net)

    def log_in():
        client = connect(net, address, zmq.ROUTER)
        assert login(client, 'alice', 'secret') == AUTHENTICATED
        return client

    def answer():
        uid, kind, _ = client.receive()
        assert kind == WORK
        client.send(uid, OK, msgpack.packb('beeeh'))

    client = yield net.thread(log_in)
    yield from net.until(lambda: server.peers)
    call = server.send_to('alice').draw()
    yield net.thread(answer)
    assert (yield call) == 'beeeh'


# ---------------------------------------------------------------- our client


# Not with a SyncClient: a REQ socket can not send a call right behind its HELLO.
def our_client(net, address, password):
    return net.client(
        address,
        protocol=1,
        security_plugin='untrusted_curve',
        user_id='alice',
        password=password,
        peer_public_key=SERVER_KEYS[0],
        timeout=None,
    )


@scenario(needs=('callable',))
def test_our_client_of_v1_logs_in(net):
    """With more calls than one, right behind its login."""
    _, address = serve(net)
    client = our_client(net, address, 'secret')
    calls = [client.whoami() for _ in range(40)]
    assert (yield from net.all(calls)) == ['alice'] * 40


@scenario(needs=('callable',))
def test_our_client_of_v1_with_a_wrong_password(net, logs):
    server, address = serve(net)
    ran = []
    server.register_rpc(ran.append, name='run')
    client = our_client(net, address, 'wrong')
    for _ in range(3):
        yield from net.raises(pseud.UnauthorizedError, client.run(1))
    assert ran == []
    assert server.peers == []


class V1Server:
    """pseud 1.x's server with CURVE, that lets in whoever says HELLO."""

    def __init__(self, net):
        self.socket = net.raw(
            zmq.ROUTER,
            routing_id=b'service',
            curve_server=True,
            curve_secretkey=SERVER_KEYS[1],
        )
        self.socket.bind('tcp://127.0.0.1:*')
        self.address = self.socket.last_endpoint.decode()

    def receive(self):
        client, *rest = self.socket.recv_multipart()
        if rest == [b'']:  # a probe
            return self.receive()
        empty, version, uid, kind, body = rest
        assert (empty, version) == (b'', b'v1')
        return client, uid, kind, msgpack.unpackb(body)

    def send(self, client, uid, kind, body):
        self.socket.send_multipart([client, b'', b'v1', uid, kind, body])


@pytest.mark.parametrize('right', [True, False])
@scenario(needs=('callable',))
def test_our_client_logs_in_to_an_old_server(net, right):
    server = V1Server(net)
    client = our_client(net, server.address, 'secret')
    call = client.f()

    def old():
        who, uid, kind, credentials = server.receive()
        assert (kind, credentials) == (HELLO, ['alice', 'secret'])
        server.send(who, uid, AUTHENTICATED if right else UNAUTHORIZED, b'text')
        who, uid, kind, _ = server.receive()
        assert kind == WORK
        if right:
            server.send(who, uid, OK, msgpack.packb(7))
        else:
            server.send(who, uid, UNAUTHORIZED, b'not you')

    yield net.thread(old)
    if right:
        assert (yield call) == 7
    else:
        yield from net.raises(pseud.UnauthorizedError, call, match='not you')
