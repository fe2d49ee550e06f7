"""Attacks on who may connect and on who is who: what the table in security.rst says."""

import contextlib
import functools
import ipaddress
import socket
import struct
import threading
import urllib.parse

import msgpack
import pytest
import zmq
from backends import PATIENCE, scenario
from peers import CALL, CANCEL, ERROR, HELLO, RESULT, WELCOME, RawServer
from service import Service
from zope.interface import implementer

import pseud
from pseud import admission, passwords, zap
from pseud._core.login import MAX_LOGINS
from pseud._core.receive import MAX_NAME
from pseud.admission import Admission, networks
from pseud.auth import AuthenticationBackend
from pseud.interfaces import IAuthenticationBackend
from pseud.packer import PackerV2
from pseud.packer_v1 import PackerV1
from pseud.passwords import set_password
from pseud.pump import HEAD_ROOM
from pseud.zap import Credentials

PING, PONG, REJECT, GOAWAY = 8, 9, 12, 13
ARGS = msgpack.packb([[], {}])
KEYS = zmq.curve_keypair()
ALICE = zmq.curve_keypair()
MALLORY = zmq.curve_keypair()
SHAKEN = zmq.EVENT_HANDSHAKE_SUCCEEDED
NOT_SHAKEN = (
    zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)

attack = functools.partial(scenario, needs=('loop',))
only_tornado = pytest.mark.parametrize('backend', ['tornado'], indirect=True)


class Stranger:
    """A DEALER without pseud; its methods block, so they run in a thread."""

    def __init__(self, net, address, **options):
        self.socket = net.raw(zmq.DEALER, sndtimeo=PATIENCE * 1000, **options)
        self.monitor = self.socket.get_monitor_socket(
            SHAKEN | NOT_SHAKEN | zmq.EVENT_DISCONNECTED
        )
        net.sockets.append(self.monitor)
        self.monitor.rcvtimeo = PATIENCE * 1000
        self.socket.connect(address)

    def happened(self):
        """The next thing that happened to the connection."""
        return int.from_bytes(self.monitor.recv_multipart()[0][:2], 'little')

    def send(self, *messages):
        self.socket.send_multipart([b'', msgpack.packb(messages)])

    def receive(self):
        return msgpack.unpackb(self.socket.recv_multipart()[1])

    def until(self, kind, number=None):
        """What arrives until there is this kind of message."""
        got = []
        while True:
            got += self.receive()
            for message in got:
                if message[0] == kind and number in (None, message[1]):
                    return got

    def still_served(self, number=99):
        """What arrives until a sign of life: all that was answered before it."""
        self.send([PING, number])
        return self.until(PONG, number)[:-1]

    def call(self, call_id, name):
        """What a function returns."""
        self.send([CALL, call_id, 0, ARGS, name])
        return msgpack.unpackb(self.until(RESULT, call_id)[-1][3])

    def log_in(self, user_id, password):
        """What is answered to that."""
        self.send([HELLO, 0, 0, {'user_id': user_id, 'password': password}])
        return self.receive()

    def leave(self):
        self.socket.disable_monitor()
        self.monitor.close(0)
        self.socket.close(0)


def by_plain(net, address, user_id, password='x', **options):
    return Stranger(
        net,
        address,
        plain_username=user_id.encode(),
        plain_password=password.encode(),
        **options,
    )


def by_curve(net, address, keys=MALLORY, **options):
    return Stranger(
        net,
        address,
        curve_serverkey=KEYS[0],
        curve_publickey=keys[0],
        curve_secretkey=keys[1],
        **options,
    )


def serve(net, plugin, **settings):
    """A server of a plugin that says who calls; mallory and alice are its users."""
    if plugin in ('plain', 'untrusted_curve'):
        settings.setdefault('passwords', {'alice': 'wonderland', 'mallory': 'x'})
    if plugin == 'trusted_curve':
        settings['authorized_keys'] = {'alice': ALICE[0], 'mallory': MALLORY[0]}
    if plugin.endswith('curve'):
        settings['secret_key'] = KEYS[1]
    server, address = net.serve(security_plugin=plugin, **settings)
    server.register_rpc(
        lambda user_id: [user_id, pseud.current_call().user_id],
        name='who',
        with_identity=True,
    )
    server.start()
    return server, address


def client_of(net, address, plugin, user_id='alice', password='wonderland'):
    """A client that keeps to the rules."""
    settings = {'peer_public_key': KEYS[0]} if plugin.endswith('curve') else {}
    if plugin == 'trusted_curve':
        settings['secret_key'] = ALICE[1]
    elif plugin != 'noop_auth_backend':
        settings.update(user_id=user_id, password=password)
    return net.client(address, security_plugin=plugin, timeout=PATIENCE, **settings)


def mallory_at(net, address, plugin):
    """A `Stranger` that the server knows as mallory."""
    if plugin.endswith('curve'):
        return by_curve(net, address)
    return by_plain(net, address, 'mallory')


def domain_of(server):
    """What the ZAP handler knows about a server."""
    engine = server._engine
    return zap._handlers[id(engine.context)].domains[engine.server_link().zap_domain]


# ---------------------------------------------------------------- being somebody else


@attack()
def test_the_routing_id_of_somebody_connected(net):
    """The second is not heard under it, and gets nothing that is the first one's."""
    server, address = serve(net, 'trusted_peer')
    alice = by_plain(net, address, 'alice', routing_id=b'seat')
    assert (yield net.thread(alice.call, 1, 'who')) == ['alice', 'alice']
    mallory = by_plain(net, address, 'mallory', routing_id=b'seat')
    assert (yield net.thread(mallory.happened)) == SHAKEN
    for number in range(3, 9, 2):
        mallory.send([CALL, number, 0, ARGS, 'who'])
    call = server.send_to('alice').secret()
    ((kind, call_id, *_),) = yield net.thread(alice.receive)
    assert kind == CALL
    alice.send([RESULT, call_id, 0, msgpack.packb('from alice')])
    assert (yield call) == 'from alice'
    assert (yield net.thread(alice.call, 3, 'who')) == ['alice', 'alice']
    while mallory.socket.poll(0):  # libzmq may give it another id
        for _, _, _, body in mallory.receive():
            assert msgpack.unpackb(body) == ['mallory', 'mallory']


@attack()
def test_the_routing_id_of_somebody_who_has_left(net):
    server, address = serve(net, 'trusted_peer')
    go, ran = net.event(), []

    def work():
        ran.append(True)
        yield go.wait()
        return 'for alice'

    server.register_rpc(net.handler(work), name='work')
    alice = by_plain(net, address, 'alice', routing_id=b'seat')
    alice.send([CALL, 1, 0, ARGS, 'work'])
    yield from net.until(lambda: ran)
    alice.leave()
    yield from net.until(lambda: not server.peers)
    mallory = by_plain(net, address, 'mallory', routing_id=b'seat')
    assert (yield net.thread(mallory.call, 1, 'who')) == ['mallory', 'mallory']
    yield from net.raises(pseud.NotSentError, server.send_to('alice').secret())
    go.set()
    assert (yield net.thread(mallory.still_served)) == []


@attack()
def test_the_routing_id_of_somebody_whose_leaving_is_not_known_yet(net):
    """What was meant for him does not go to who took his routing id."""
    server, address = serve(net, 'trusted_peer')
    go, ran = net.event(), []

    def work():
        ran.append(True)
        yield go.wait()
        return 'for alice'

    server.register_rpc(net.handler(work), name='work')
    alice = by_plain(net, address, 'alice', routing_id=b'seat')
    alice.send([HELLO, 0, 0, {}], [CALL, 1, 0, ARGS, 'work'])
    yield from net.until(lambda: ran)
    link = server._engine.links['']
    # from here on the loop is busy, and has not seen what the monitor says
    alice.leave()
    assert link.monitor.poll(PATIENCE * 1000)
    server._engine.backend.call_soon(link.observe)  # the poll has swallowed the news
    while b'seat' in server._engine.core.peers and link.socket.poll(10):
        link.drain()
    mallory = by_plain(net, address, 'mallory', routing_id=b'seat')
    assert mallory.happened() == SHAKEN
    link.socket.get(zmq.EVENTS)
    call = server.send_to('alice').secret()
    go.set()
    error = yield from net.outcome(call)
    assert isinstance(error, pseud.PseudError)
    mallory.send([HELLO, 0, 0, {}], [PING, 4])
    said = yield net.thread(mallory.until, PONG)
    assert not [message for message in said if message[0] in (CALL, RESULT, ERROR)]
    assert [peer.user_id for peer in server.peers] == ['mallory']


def test_the_routing_id_that_libzmq_gives_next():
    """libzmq ends the process if a client states it, and would begin with a known one."""
    first = 0x6B8B4567  # what rand() of glibc gives if nobody has seeded it
    service = Service('tornado')
    keep = [
        raw_zmtp(service.address, b'\0' + struct.pack('>I', first)),
        raw_zmtp(service.address),
    ]
    with pseud.SyncClient('service') as client:
        client.connect(service.address)
        assert client.same('alive') == 'alive'
    for connection in keep:
        connection.close()
    service.close()


@pytest.mark.parametrize('plugin', ['noop_auth_backend', 'plain', 'trusted_curve'])
@attack()
def test_a_user_id_in_a_message(net, plugin):
    """Who somebody is, the connection says."""
    server, address = serve(net, plugin)
    if plugin == 'noop_auth_backend':
        mallory, who = Stranger(net, address), None
    else:
        mallory, who = mallory_at(net, address, plugin), 'mallory'
    answer = yield net.thread(mallory.log_in, 'alice', 'wonderland')
    assert answer[0][0] == WELCOME
    assert (yield net.thread(mallory.call, 1, 'who')) == [who, who]
    assert [peer.user_id for peer in server.peers] == [who]
    old = b'v1', b'1' * 16, b'\x02', msgpack.packb(['alice', 'wonderland'])
    other = mallory_at(net, address, plugin) if who else Stranger(net, address)
    other.socket.send_multipart([b'', *old])
    yield net.thread(other.socket.recv_multipart)
    work = b'v1', b'2' * 16, b'\x03', msgpack.packb(['who', [], {}])
    other.socket.send_multipart([b'', *work])
    answer = yield net.thread(other.socket.recv_multipart)
    assert msgpack.unpackb(answer[-1]) == [who, who]
    yield from net.raises(pseud.NotSentError, server.send_to('alice').secret())


@attack()
def test_somebody_else_after_the_login(net):
    """Whoever has logged in stays who he is, even if he knows another password."""
    server, address = serve(net, 'untrusted_curve')
    mallory = by_curve(net, address)
    assert (yield net.thread(mallory.log_in, 'mallory', 'x'))[0][0] == WELCOME
    yield net.thread(mallory.log_in, 'alice', 'wonderland')
    assert (yield net.thread(mallory.call, 1, 'who')) == ['mallory', 'mallory']
    assert [peer.user_id for peer in server.peers] == ['mallory']


ODD_USERS = ['alice\0mallory', 'alice\nroot has logged in', '\x1b[2J', '', 'x' * 256]


@pytest.mark.parametrize('user_id', ODD_USERS, ids=ascii)
@attack()
def test_logins_of_odd_users(net, logs, user_id):
    """They are not asked about, and the log shows nothing of them."""
    asked = []

    def check(user_id, password):
        asked.append(user_id)
        return True

    server, address = serve(net, 'untrusted_curve', passwords=check)
    mallory = by_curve(net, address)
    ((kind, *_, fields),) = yield net.thread(mallory.log_in, user_id, 'x')
    assert (kind, fields['unauthorized']) == (REJECT, True)
    assert asked == []
    assert server.peers == []
    assert not any(set(text) & set('\0\n\x1b') for text in logs.texts())


@attack()
def test_answers_of_somebody_else_to_a_server(net):
    """And to cancel what another one has called does not cancel it either."""
    server, address = serve(net, 'trusted_peer')
    go, ran = net.event(), []

    def work():
        ran.append(True)
        yield go.wait()
        return 'done'

    server.register_rpc(net.handler(work), name='work')
    alice = by_plain(net, address, 'alice')
    alice.send([HELLO, 0, 0, {}], [CALL, 1, 0, ARGS, 'work'])
    yield from net.until(lambda: ran)
    call = server.send_to('alice').secret()
    call_id = (yield net.thread(alice.until, CALL))[-1][1]
    error = msgpack.packb({'type': 'ValueError', 'message': 'forged'})
    mallory = by_plain(net, address, 'mallory')
    mallory.send(
        [HELLO, 0, 0, {}],
        [RESULT, call_id, 0, msgpack.packb('forged')],
        [ERROR, call_id, 0, error],
        [CANCEL, call_id],
        [CANCEL, 1],
        [RESULT, 1, 0, msgpack.packb('forged')],
    )
    old = by_plain(net, address, 'mallory')
    uid = server._engine.core.uid_prefix + struct.pack('>Q', call_id)
    old.socket.send_multipart([b'', b'v1', uid, b'\x01', msgpack.packb('forged')])
    old.socket.send_multipart([b'', b'v1', b'', b'\x06', b''])
    yield from net.until(lambda: len(server.peers) == 3)
    yield net.thread(mallory.still_served)
    assert not call.done()
    go.set()
    got = yield net.thread(alice.until, RESULT, 1)
    assert [m[:2] for m in got if m[0] in (RESULT, ERROR)] == [[RESULT, 1]]
    alice.send([RESULT, call_id, 0, msgpack.packb('real')])
    assert (yield call) == 'real'
    assert ran == [True]


@attack()
def test_answers_of_somebody_else_to_a_client(net):
    """A client of two servers, one of which is hostile."""
    good, evil = RawServer(net), RawServer(net)
    go, ended = net.event(), []

    def work():
        try:
            yield go.wait()
        finally:
            ended.append(go.is_set())
        return 'done'

    client = net.client(good.address, timeout=PATIENCE)
    client.register_rpc(net.handler(work), name='work')
    call = client.f()
    who, call_id, _ = yield net.thread(good.call)
    good.send(who, [CALL, 2, 0, ARGS, 'work'])
    client.connect(evil.address)

    def forge():
        known, _ = evil.receive()
        error = msgpack.packb({'type': 'ValueError', 'message': 'forged'})
        evil.send(
            known,
            [RESULT, call_id, 0, msgpack.packb('forged')],
            [ERROR, call_id, 0, error],
            [CANCEL, call_id],
            [CANCEL, 2],
            [RESULT, 2, 0, msgpack.packb('forged')],
            [PING, 7],
        )
        return evil.receive()[1]

    assert [PONG, 7] in [m[:2] for m in (yield net.thread(forge))]
    assert not call.done()
    assert ended == []
    go.set()
    _, messages = yield net.thread(good.receive)
    assert [m[:2] for m in messages] == [[RESULT, 2]]
    good.send(who, [RESULT, call_id, 0, msgpack.packb('real')])
    assert (yield call) == 'real'
    assert ended == [True]


# ---------------------------------------------------------------- before the login


@attack()
def test_what_is_sent_before_the_login(net, monkeypatch):
    """Nothing of it runs, and nothing is unpacked."""
    server, address = serve(net, 'untrusted_curve')
    ran, unpacked = [], []
    server.register_rpc(lambda: ran.append(True), name='run')
    for packer in PackerV2, PackerV1:
        for name in ('unpack', 'unpack_call'):
            monkeypatch.setattr(packer, name, lambda *_: unpacked.append(True))
    stranger, old = by_curve(net, address), by_curve(net, address)
    body = msgpack.packb('x')
    stranger.send(
        [CALL, 1, 0, ARGS, 'run'],
        [CANCEL, 1],
        [PING, 1],
        [RESULT, 2, 0, body],
        [ERROR, 2, 0, body],
        [WELCOME, 0, 0, {}],
        [GOAWAY, 0, 0, {}],
        [REJECT, 0, 0, {}],
        [CALL, 3, 0, ARGS, 'run'],
    )
    got = yield net.thread(stranger.until, ERROR, 3)
    assert [(m[0], m[1]) for m in got] == [(ERROR, 1), (ERROR, 3)]
    assert {msgpack.unpackb(m[3])['type'] for m in got} == {'pseud.UnauthorizedError'}
    work = b'v1', b'1' * 16, b'\x03', msgpack.packb(['run', [], {}])
    old.socket.send_multipart([b'', *work])
    answer = yield net.thread(old.socket.recv_multipart)
    assert answer[1:3] == [b'v1', b'1' * 16]
    # what comes with a wrong password waits for the decision, and is refused with it
    late = by_curve(net, address)
    hello = [HELLO, 0, 0, {'user_id': 'alice', 'password': 'wrong'}]
    late.send(hello, [CALL, 1, 0, ARGS, 'run'], [PING, 1])
    got = yield net.thread(late.until, REJECT)
    assert [m[0] for m in got if m[0] == ERROR] == [ERROR]
    assert PONG not in [m[0] for m in got]
    assert (ran, unpacked, server.peers) == ([], [], [])


@attack()
def test_both_versions_before_the_login(net):
    """No answer breaks off half-way, where the next one's would follow."""
    _server, address = serve(net, 'untrusted_curve')
    client = client_of(net, address, 'untrusted_curve')
    assert (yield client.who()) == ['alice', 'alice']
    stranger = by_curve(net, address)
    work = b'v1', b'1' * 16, b'\x03', msgpack.packb(['who', [], {}])
    stranger.socket.send_multipart([b'', *work])
    stranger.send([CALL, 1, 0, ARGS, 'who'])
    stranger.socket.send_multipart([b'', *work])
    for _ in range(2):
        assert (yield net.thread(stranger.socket.recv_multipart))[3] == b'\x11'
        assert (yield client.who()) == ['alice', 'alice']


@attack()
def test_a_login_refused_by_a_client(net):
    _server, address = serve(net, 'noop_auth_backend')
    stranger = Stranger(net, address)
    stranger.send([REJECT, 0, 0, {'reason': 'why', 'unauthorized': True}])
    assert (yield net.thread(stranger.still_served)) == []


@attack()
def test_a_flood_of_hellos(net):
    server, address = serve(net, 'noop_auth_backend')
    stranger = Stranger(net, address)

    def flood():
        for number in range(500):
            stranger.send(*[[HELLO, 0, 0, {'agent': f'{number}' * 100}]] * 20)
            while stranger.socket.poll(0):
                stranger.receive()
        stranger.still_served()

    flooding = net.spawn(_wait(net.thread(flood)))
    client = client_of(net, address, 'noop_auth_backend')
    while not flooding.done():
        assert (yield client.who()) == [None, None]
    yield flooding
    assert len(server.peers) == 2


def _wait(result):
    yield result


@attack()
def test_many_logins_on_one_connection(net):
    asked = []

    def check(user_id, password):
        asked.append(user_id)
        return password == 'wonderland'

    server, address = serve(net, 'untrusted_curve', passwords=check)
    stranger, at_once = by_curve(net, address), by_curve(net, address)
    for _ in range(MAX_LOGINS):
        ((kind, *_),) = yield net.thread(stranger.log_in, 'alice', 'wrong')
        assert kind == REJECT
    assert len(asked) == MAX_LOGINS
    for _ in range(50):  # not even with the right one
        fields = {'user_id': 'alice', 'password': 'wonderland'}
        stranger.send([HELLO, 0, 0, fields])
    stranger.send([CALL, 1, 0, ARGS, 'who'])
    ((kind, call_id, *_),) = yield net.thread(stranger.receive)
    assert (kind, call_id) == (ERROR, 1)
    assert len(asked) == MAX_LOGINS
    fields = {'user_id': 'mallory', 'password': 'wrong'}
    at_once.send(*[[HELLO, 0, 0, fields]] * 1000)
    assert (yield net.thread(at_once.receive))[0][0] == REJECT
    assert asked.count('mallory') == 1
    assert (yield client_of(net, address, 'untrusted_curve').who())[0] == 'alice'
    assert [peer.user_id for peer in server.peers] == ['alice']


@pytest.mark.parametrize('plugin', ['noop_auth_backend', 'plain', 'trusted_curve'])
@attack()
def test_half_open_handshakes(net, plugin):
    """Two hundred that connect and say nothing, or the first half."""
    server, address = serve(net, plugin)
    where = urllib.parse.urlsplit(address)
    mechanism = b'PLAIN' if plugin == 'plain' else b'CURVE'
    greeting = b'\xff' + bytes(8) + b'\x7f\x03\0' + mechanism.ljust(53, b'\0')
    first = [b'', b'\xff', greeting[:32], greeting, greeting + b'\x04\xff']
    opened = []
    try:
        for number in range(200):
            raw = socket.create_connection((where.hostname, where.port), PATIENCE)
            opened.append(raw)
            raw.sendall(first[number % len(first)])
            if not number % 50:
                who = yield client_of(net, address, plugin).who()
        assert who[0] == (None if plugin == 'noop_auth_backend' else 'alice')
        assert len(server.peers) == 4
    finally:
        for raw in opened:
            raw.close()


# ---------------------------------------------------------------- passwords and plugins


def guess(net, address, plugin, times):
    """Try passwords, each over a connection of its own."""
    for number in range(times):
        if plugin == 'plain':
            stranger = by_plain(net, address, 'alice', f'guess {number}')
            assert stranger.happened() & NOT_SHAKEN
        else:
            stranger = by_curve(net, address)
            ((kind, *_),) = stranger.log_in('alice', f'guess {number}')
            assert kind == REJECT
        stranger.leave()
        net.sockets.clear()


@pytest.mark.parametrize('kept', ['mapping', 'file'])
@pytest.mark.parametrize('plugin', ['plain', 'untrusted_curve'])
@attack()
def test_many_wrong_passwords(net, logs, tmp_path, monkeypatch, plugin, kept):
    known = {'alice': 'wonderland'}
    if kept == 'file':
        nobody = passwords._nobody
        monkeypatch.setattr(passwords, '_nobody', lambda *_: nobody(256, 8, 1))
        known = tmp_path / 'users'
        set_password(known, 'alice', 'wonderland')
    server, address = serve(net, plugin, passwords=known)
    guessing = net.spawn(_wait(net.thread(guess, net, address, plugin, 300)))
    count = 0
    while not guessing.done():
        client = client_of(net, address, plugin)
        assert (yield client.who())[0] == 'alice'
        yield client.stop()
        count += 1
    yield guessing
    assert count
    assert len(logs.records) <= 10  # at 1, 2, 4, … 256
    assert not any('guess' in text or 'wonder' in text for text in logs.texts())
    yield from net.until(lambda: not domain_of(server).waiting)
    assert not server._engine.admission._workers._tasks


class Blocks:
    """What `Admission` needs to know of a plugin that blocks."""

    name = 'blocks'
    needs_zap = identifies = blocking = True

    def __init__(self):
        self.asked = []
        self.go = threading.Event()

    def authenticate(self, credentials):
        self.asked.append(credentials.username)
        self.go.wait(PATIENCE)
        return credentials.username


def test_questions_that_wait_have_a_bound():
    plugin = Blocks()
    asks = Admission(plugin, (), ())
    answers, ended = [], threading.Event()
    most = admission.THREADS + admission.MAX_QUEUE

    def answer(outcome):
        answers.append(outcome)
        if len(answers) == most + 10:
            ended.set()

    for number in range(most + 10):
        shown = Credentials('PLAIN', '127.0.0.1', username=f'user{number}')
        asks.ask(shown, answer, lambda number=number: number < 100)
        while len(plugin.asked) < min(number + 1, admission.THREADS):
            pass
    assert [type(each) for each in answers] == [pseud.UnauthorizedError] * 10
    plugin.go.set()
    assert ended.wait(PATIENCE)
    # whom nobody waits for any more, nobody has asked about
    assert len(plugin.asked) == 100
    assert sum(isinstance(each, str) for each in answers) == 100


@implementer(IAuthenticationBackend)
class Plugin(AuthenticationBackend):
    """User ids by PLAIN, and a function that decides about them."""

    name = 'plugin'
    needs_zap = identifies = True

    def __init__(self, authenticate):
        self.authenticate = authenticate

    def socket_options(self):
        return {int(zmq.PLAIN_SERVER): 1}


def guarded(net, authenticate):
    """A server with such a plugin, and its address."""
    server, address = net.serve(security_plugin=Plugin(authenticate))
    server.register_rpc(lambda user_id: user_id, name='who', with_identity=True)
    server.start()
    return server, address


RESULTS = [None, '', b'alice', 7, True, ['alice'], 'alice\0mallory', 'x' * 256]


@pytest.mark.parametrize('result', RESULTS, ids=lambda each: ascii(each)[:20])
@attack()
def test_a_plugin_that_returns_no_user_id(net, logs, result):
    logs.errors_expected = True

    def wait(credentials):
        yield net.sleep(0)
        return result

    for authenticate in (lambda credentials: result, net.handler(wait)):
        server, address = guarded(net, authenticate)
        client = net.user(address, 'alice', timeout=None)
        yield from net.raises(pseud.UnauthorizedError, client.who())
        assert server.peers == []


@attack()
def test_a_plugin_that_raises(net, logs):
    """Others, of other servers, get in; and the log stays short."""
    logs.errors_expected = True
    asked = []

    def fail(credentials):
        asked.append(True)
        raise KeyError(credentials.username)

    server, address = guarded(net, fail)

    def annoy():
        for _ in range(100):
            stranger = by_plain(net, address, 'nobody')
            assert stranger.happened() & NOT_SHAKEN
            stranger.leave()
            net.sockets.clear()

    yield net.thread(annoy)
    assert len(asked) == 100
    assert len(logs.records) <= 7  # at 1, 2, 4, … 64
    _, other = serve(net, 'plain')
    assert (yield client_of(net, other, 'plain').who())[0] == 'alice'
    assert server.peers == []


@only_tornado
@attack()
def test_a_plugin_that_blocks(net):
    """Each server has threads of its own for that."""
    go = threading.Event()

    def block(credentials):
        assert go.wait(PATIENCE)
        return credentials.username

    yield from _slow(net, block, go)


@attack()
def test_a_plugin_that_waits(net):
    """A coroutine on tornado, a function that switches on gevent."""
    go = net.event()

    def wait(credentials):
        yield go.wait()
        return credentials.username

    yield from _slow(net, net.handler(wait), go)


def _slow(net, authenticate, go):
    slow, address = guarded(net, authenticate)
    names = [f'user{number}' for number in range(admission.THREADS + 4)]
    calls = [net.user(address, name, timeout=None).who() for name in names]
    waiting = domain_of(slow).waiting
    yield from net.until(lambda: len(waiting) == len(names))
    _, other = serve(net, 'plain')
    for _ in range(3):
        assert (yield client_of(net, other, 'plain').who())[0] == 'alice'
    assert not any(call.done() for call in calls)
    go.set()
    assert (yield from net.all(calls)) == names


@attack()
def test_stopping_while_logins_are_under_way(net, monkeypatch):
    """The ZAP handler ends, and the next server gets one of its own at once."""
    monkeypatch.setattr(zap, 'STOP_WAIT', -1)  # for ever
    go = net.event()

    def wait(credentials):
        yield go.wait()
        return credentials.username

    for _ in range(3):
        server, address = guarded(net, net.handler(wait))
        clients = [net.user(address, f'user{number}') for number in range(5)]
        for client in clients:
            client.start()
        waiting = domain_of(server).waiting
        yield from net.until(lambda waiting=waiting: len(waiting) == 5)
        yield server.stop()
        for client in clients:
            yield client.stop()
        _, other = serve(net, 'plain')
        client = client_of(net, other, 'plain')
        assert (yield client.who())[0] == 'alice'
        for rpc in (client, net.made[-2]):
            yield rpc.stop()
        assert not zap._handlers
    go.set()


@only_tornado
@attack()
def test_stopping_while_passwords_are_checked(net):
    asked, go = threading.Event(), threading.Event()

    def check(user_id, password):
        asked.set()
        return go.wait(PATIENCE)

    server, address = serve(net, 'untrusted_curve', passwords=check)
    stranger = by_curve(net, address)
    stranger.send([HELLO, 0, 0, {'user_id': 'alice', 'password': 'x'}])
    assert (yield net.thread(asked.wait, PATIENCE))
    yield server.stop()
    go.set()
    workers = server._engine.admission._workers
    yield from net.until(lambda: not workers._running)
    assert server.peers == []


# ---------------------------------------------------------------- messages


@attack()
def test_frames_beyond_the_limit(net):
    """They end their connection, before they are in memory."""
    limits = pseud.Limits(max_message=10_000)
    server, address = serve(net, 'noop_auth_backend', limits=limits)
    client = client_of(net, address, 'noop_auth_backend')
    assert (yield client.who()) == [None, None]
    for frames in (
        [b'', bytes(10_001 + HEAD_ROOM)],
        [b'', msgpack.packb([[PING, 1]]), bytes(10_001 + HEAD_ROOM)],
        [bytes(10_001 + HEAD_ROOM)],
    ):
        stranger = Stranger(net, address)
        assert (yield net.thread(stranger.happened)) == SHAKEN
        stranger.socket.send_multipart(frames)
        assert (yield net.thread(stranger.happened)) == zmq.EVENT_DISCONNECTED
        assert not stranger.socket.poll(0)
        stranger.leave()
    assert (yield client.who()) == [None, None]
    yield from net.until(lambda: len(server.peers) == 1)


def raw_zmtp(address, routing_id=b''):
    """A TCP connection after the handshake of ZMTP's NULL mechanism."""
    where = urllib.parse.urlsplit(address)
    raw = socket.create_connection((where.hostname, where.port), PATIENCE)
    raw.sendall(b'\xff' + bytes(8) + b'\x7f\x03\0NULL'.ljust(55, b'\0'))
    ready = b'\x05READY\x0bSocket-Type' + struct.pack('>I', 6) + b'DEALER'
    ready += b'\x08Identity' + struct.pack('>I', len(routing_id)) + routing_id
    greeting = b''
    while len(greeting) < 64:
        greeting += raw.recv(64 - len(greeting))
    raw.sendall(b'\x04' + bytes([len(ready)]) + ready)
    assert raw.recv(4096)
    return raw


@attack()
def test_a_message_that_does_not_end(net):
    """Its sender alone waits for it; when it leaves, all is as if it never came."""
    server, address = serve(net, 'noop_auth_backend')
    ran = []
    server.register_rpc(lambda: ran.append(True), name='run')
    client = client_of(net, address, 'noop_auth_backend')
    call = msgpack.packb([[CALL, 1, 0, ARGS, 'run']])
    part = b'\x01\xff' + bytes(255)  # more is to follow
    raw = raw_zmtp(address)
    raw.sendall(b'\x01\0\x01' + bytes([len(call)]) + call)
    for _ in range(100):
        raw.sendall(part * 100)
        assert (yield client.who()) == [None, None]
    raw.close()
    assert (yield client.who()) == [None, None]
    assert ran == []
    assert len(server.peers) == 1
    assert server._engine._violations.count == 0


NAMES = [
    '',
    '.',
    '..',
    'a..b',
    '.hello',
    'hello.',
    'hello\0',
    '\0',
    'Hello',
    ' hello',
    'hello.__call__',
    'hello.__globals__',
    'func.__globals__',
    'hello.func.__globals__',
    '__class__',
    '__init__',
    '__class__.__mro__',
    'stop',
    'expel',
    'register_rpc',
    'settings',
    'settings.password',
    'registry',
    '_engine',
    'os.system',
    'builtins.eval',
    '../hello',
    'hello/../hello',
    '%s%n',
    '{0.__class__}',
    'x' * MAX_NAME,
    'a.' * (MAX_NAME // 2),
    'ﬁ',
    'h\u0435llo',  # Cyrillic
]


@attack()
def test_names_that_nobody_registered(net):
    """A name is looked up as it is, and nothing is followed; by either side."""
    server, address = serve(net, 'noop_auth_backend')
    ran = []
    server.register_rpc(ran.append, name='hello')
    stranger = Stranger(net, address)

    def check(kind, call_id, _, body):
        fields = msgpack.unpackb(body)
        assert kind == ERROR
        assert fields['type'] == 'pseud.ServiceNotFoundError'
        assert len(fields['message']) < 2 * MAX_NAME
        return call_id

    def ask():
        ids = range(1, 2 * len(NAMES), 2)
        for call_id, name in zip(ids, NAMES, strict=True):
            stranger.send([CALL, call_id, 0, ARGS, name])
        got = []
        while len(got) < len(NAMES):
            got += [check(*message) for message in stranger.receive()]
        assert sorted(got) == list(ids)
        # and what is no name at all
        for name in (None, 7, b'hello', ['hello'], 'x' * (MAX_NAME + 1)):
            stranger.send([CALL, 1001, 0, ARGS, name])
        return stranger.still_served()

    assert (yield net.thread(ask)) == []
    evil = RawServer(net)
    client = net.client(evil.address)
    client.register_rpc(ran.append, name='hello')
    client.start()

    def ask_back():
        who, _ = evil.receive()
        ids = range(2, 2 * len(NAMES) + 2, 2)
        for call_id, name in zip(ids, NAMES, strict=True):
            evil.send(who, [CALL, call_id, 0, ARGS, name])
        got = []
        while len(got) < len(NAMES):
            got += [check(*message) for message in evil.receive()[1]]
        return got

    yield net.thread(ask_back)
    assert ran == []


# ---------------------------------------------------------------- mechanisms


@pytest.mark.parametrize(
    ('plugin', 'mechanism'),
    [
        ('trusted_peer', 'NULL'),
        ('plain', 'NULL'),
        ('plain', 'CURVE'),
        ('trusted_curve', 'NULL'),
        ('trusted_curve', 'PLAIN'),
        ('untrusted_curve', 'NULL'),
        ('untrusted_curve', 'PLAIN'),
    ],
)
@attack()
def test_a_weaker_mechanism(net, plugin, mechanism):
    server, address = serve(net, plugin)
    ran = []
    server.register_rpc(lambda: ran.append(True), name='run')
    if mechanism == 'NULL':
        stranger = Stranger(net, address)
    elif mechanism == 'PLAIN':
        stranger = by_plain(net, address, 'alice', 'wonderland')
    else:
        stranger = by_curve(net, address)
    stranger.socket.sndtimeo = 0
    with contextlib.suppress(zmq.Again):  # refused already
        stranger.send([CALL, 1, 0, ARGS, 'run'])
    assert (yield net.thread(stranger.happened)) & NOT_SHAKEN
    assert (yield client_of(net, address, plugin).who())[0] == 'alice' or (
        plugin == 'trusted_peer'
    )
    assert ran == []


def old_zmtp(address, version):
    """Speak ZMTP 1 or 2, which know no security; then call run().  Waits for the end."""
    where = urllib.parse.urlsplit(address)
    head = msgpack.packb([[CALL, 1, 0, ARGS, 'run']])
    with socket.create_connection((where.hostname, where.port), PATIENCE) as raw:
        try:
            if version == 1:
                raw.sendall(b'\x01\0\x01\x01' + bytes([len(head) + 1, 0]) + head)
            else:
                raw.sendall(b'\xff' + bytes(8) + b'\x7f\x01\x05\0\0')
                raw.sendall(b'\x01\0' + bytes([0, len(head)]) + head)
            while raw.recv(4096):
                pass
        except OSError:  # it was reset
            pass


GUARDED = ['trusted_peer', 'plain', 'trusted_curve', 'untrusted_curve', 'deny']


@pytest.mark.parametrize('version', [1, 2])
@attack()
def test_versions_of_zmtp_without_security(net, version):
    """Such a connection ends, unless everybody may connect anyway."""
    ran = []

    def start(plugin, **settings):
        server, address = serve(net, plugin, **settings)
        server.register_rpc(lambda: ran.append(plugin), name='run')
        return server, address

    for plugin in GUARDED:
        if plugin == 'deny':
            _, address = start('noop_auth_backend', deny='127.0.0.0/8')
        else:
            _, address = start(plugin)
        yield net.thread(old_zmtp, address, version)
    assert ran == []
    server, address = start('noop_auth_backend')
    calling = net.thread(old_zmtp, address, version)
    if hasattr(calling, '__await__'):
        calling = net.spawn(_wait(calling))
    yield from net.until(lambda: ran)
    yield server.stop()
    yield calling


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ('allow', 'deny', 'address', 'admitted'),
    [
        (None, '192.0.2.0/24', '192.0.2.7', False),
        (None, '192.0.2.0/24', '::ffff:192.0.2.7', False),
        (None, '192.0.2.0/24', '::ffff:c000:207', False),
        (None, '192.0.2.0/24', '198.51.100.7', True),
        ('192.0.2.0/24', None, '::ffff:192.0.2.7', True),
        ('192.0.2.0/24', None, '::ffff:198.51.100.7', False),
        ('192.0.2.0/24', None, '2001:db8::1', False),
        ('192.0.2.0/24', '192.0.2.7', '192.0.2.7', False),
        ('192.0.2.0/24', '192.0.2.7', '::ffff:192.0.2.7', False),
        (None, '::ffff:192.0.2.0/120', '192.0.2.7', False),
        (None, '::ffff:192.0.2.0/120', '::ffff:192.0.2.7', False),
        (['::ffff:192.0.2.7'], None, '192.0.2.7', True),
        ('2001:db8::/32', None, '2001:db8::1', True),
        ('2001:db8::/32', None, '2001:db9::1', False),
        ('fe80::/10', None, 'fe80::1%eth0', True),
        (None, 'fe80::/10', 'fe80::1%eth0', False),
        ('::/0', None, '192.0.2.7', False),
        ('192.0.2.0/24', None, '', True),  # ipc
    ],
)
def test_addresses_in_any_form(allow, deny, address, admitted):
    plugin = Blocks()
    plugin.needs_zap = False
    asks = Admission(plugin, networks('allow', allow), networks('deny', deny))
    answers = []
    asks.ask(Credentials('NULL', address), answers.append)
    (answer,) = answers
    assert (answer == '') is admitted
    assert admitted or isinstance(answer, pseud.UnauthorizedError)
    assert not address or ipaddress.ip_address(address)


@pytest.mark.parametrize(
    ('settings', 'admitted'),
    [
        ({'allow': '127.0.0.1'}, True),
        ({'allow': ['192.0.2.0/24']}, False),
        ({'deny': ['192.0.2.0/24']}, True),
        ({'deny': '127.0.0.0/8'}, False),
        ({'allow': '127.0.0.0/8', 'deny': '127.0.0.1'}, False),
    ],
    ids=str,
)
@pytest.mark.parametrize('plugin', ['noop_auth_backend', 'plain', 'trusted_curve'])
@attack()
def test_addresses_that_are_not_allowed(net, plugin, settings, admitted):
    _, address = serve(net, plugin, **settings)
    outcome = yield from net.outcome(client_of(net, address, plugin).who())
    if admitted:
        assert outcome[0] in (None, 'alice')
    else:
        assert isinstance(outcome, pseud.UnauthorizedError)
