"""Peers that log in over a connection that is up, and servers that make them."""

import msgpack
import pytest
from helpers import ARGS, Clock, Pipe, Program, Wire, invariants, quiescent

from pseud._core import events as ev
from pseud._core import login, v1, wire
from pseud._core.expel import expel
from pseud._core.limits import Limits
from pseud._core.peer import Peer
from pseud.errors import (
    NotSentError,
    NotSentTimeoutError,
    PeerLostError,
    RemoteProtocolError,
    UnauthorizedError,
)

SECRET = 'the pass-word'
CREDENTIALS = ('alice', SECRET)
UID = bytes(range(16))


class Gate(Wire):
    """A connection to a server that challenges; the client has credentials."""

    def __init__(self, client=None, server=None, *, protocol=2, **how):
        how.setdefault('credentials', CREDENTIALS)
        clock = server.clock if server else Clock()
        super().__init__(
            client or Program(clock, server=False, **how),
            server or Program(clock, server=True, challenges=True),
            protocol=protocol,
        )

    def by_hand(self):
        """Connect, and let the client's core say nothing by itself."""
        self.connect()
        peer = self.to_server
        peer.outbox.clear()
        peer.queued = 0
        return self

    def inject_up(self, payload):
        if self.key not in self.server.core.peers:
            limits = self.server.core.limits
            peer = Peer(self.key, limits, label='a stranger', link=self.down)
            peer.admitted = False
            self.to_client = peer
            self.met.append(peer)
            return self.server.handle(
                self.server.core.receive(peer, payload, self.clock.now)
            )
        return super().inject_up(payload)

    def say(self, *messages, buffers=()):
        """The client sends these in one head, whatever its core thinks."""
        return self.inject_up([wire.encode(messages), *buffers])

    def say_v1(self, kind, body=b'', uid=UID):
        return self.inject_up([b'v1', uid, kind, body])

    def admit(self, user_id='alice'):
        core = self.server.core
        self.server.handle(core.admit(self.to_client, user_id, self.clock.now))
        self.run()

    def refuse(self, reason='wrong password'):
        self.server.core.refuse(self.to_client, reason)
        self.run()

    @property
    def said(self):
        """What the server has sent by protocol v1: types, uids and bodies."""
        self.server.flush()
        return [
            (bytes(kind), bytes(uid), bytes(body))
            for _, uid, kind, body in self.down.sent
        ]

    @property
    def answers(self):
        """Of the messages of the server: type and id, or what an ERROR says."""
        self.server.flush()
        return [
            (msgpack.unpackb(message[3])['type'], message[1])
            if message[0] == wire.ERROR
            else message[0]
            for message in self.down.messages
        ]


def hello(user_id='alice', password=SECRET, **fields):
    return (wire.HELLO, 0, 0, {'user_id': user_id, 'password': password, **fields})


def call(call_id, name='f', **extra):
    return (wire.CALL, call_id, 0, ARGS, name, None)


def work(name='f'):
    return msgpack.packb((name, (), {}))


def asked(program):
    """The logins that a server was asked about."""
    return [event[2] for event in program.events if event[0] == ev.LOGIN]


# ---------------------------------------------------------------- by both of our cores


def test_a_login_is_decided_about():
    pair = Gate().start()
    assert pair.server.kinds == ['LOGIN']
    (stated,) = asked(pair.server)
    assert (stated.user_id, stated.password) == CREDENTIALS
    peer = pair.to_client
    assert peer.user_id is None
    assert peer.closed
    pair.admit('alice!')
    assert peer.user_id == 'alice!'
    assert not peer.closed
    assert pair.server.kinds == ['LOGIN', 'READY']
    assert pair.client.kinds == ['READY']
    assert pair.down.types == [wire.WELCOME]


def test_no_call_leaves_before_the_welcome():
    pair = Gate()
    early = pair.client.call('early')
    pair.start()
    late = pair.client.call('late')
    pair.run()
    assert pair.up.types == [wire.HELLO]
    assert not pair.server.calls
    pair.admit()
    assert [inbound.name for inbound in pair.server.calls] == ['early', 'late']
    assert pair.up.types == [wire.HELLO, wire.CALL, wire.CALL]
    for inbound in pair.server.calls:
        pair.server.core.reply(inbound, b'\x07')
    pair.run()
    assert pair.client.result(early) == pair.client.result(late) == b'\x07'
    quiescent(pair.client, [pair.to_server])
    quiescent(pair.server, pair.met)


def test_a_server_calls_nobody_who_has_not_logged_in():
    pair = Gate().start()
    with pytest.raises(NotSentError, match='not said hello'):
        pair.server.call('down', peer=pair.to_client)
    pair.run()
    assert pair.down.types == []
    pair.admit()
    pair.server.call('direct', peer=pair.to_client)
    pair.run()
    assert [inbound.name for inbound in pair.client.calls] == ['direct']


def test_a_server_calls_nobody_whom_it_refused():
    pair = Gate().start()
    pair.refuse()
    with pytest.raises(NotSentError, match='wrong password'):
        pair.server.call('down', peer=pair.to_client)
    assert pair.client.calls == []


def test_a_call_that_waits_for_the_welcome_has_a_deadline():
    pair = Gate().start()
    handle = pair.client.call(timeout=1)
    pair.pass_time(2)
    assert type(pair.client.failure(handle)) is NotSentTimeoutError
    pair.admit()
    assert pair.server.calls == []


def test_a_refused_client_is_told():
    pair = Gate().start()
    pair.client.call()
    pair.refuse()
    assert pair.server.kinds == ['LOGIN']
    assert pair.client.kinds == ['REFUSED', 'FAILED']  # the call waited for its welcome
    assert pair.client.events[0][1:] == (pair.to_server, 'wrong password', True)
    assert pair.down.messages == [
        (wire.REJECT, 0, 0, {'reason': 'wrong password', 'unauthorized': True})
    ]
    with pytest.raises(NotSentError, match='wrong password'):
        pair.client.call()
    assert pair.to_client.rejected == 'wrong password'


@pytest.mark.parametrize('flag', [1, 'true', None, False])
def test_only_true_is_unauthorized(flag):
    pair = Gate().start()
    fields = {'reason': 'why', 'unauthorized': flag}
    pair.inject_down([wire.encode([(wire.REJECT, 0, 0, fields)])])
    assert pair.client.kinds == ['REFUSED']
    assert pair.client.events[0][1:] == (pair.to_server, 'why', False)


def test_what_is_certain_about_the_calls_of_who_was_refused():
    """The transport says it, see `ClientLink.refused`: none of them ran."""
    pair = Wire().start()
    handles = [pair.client.call(), pair.client.call()]
    pair.client.flush()
    error = UnauthorizedError('not you')
    pair.client.handle(pair.client.core.lost(pair.to_server, 'refused', error))
    failures = [pair.client.failure(handle) for handle in handles]
    assert [type(failure) for failure in failures] == [UnauthorizedError] * 2
    assert failures[0] is not failures[1]
    quiescent(pair.client, [pair.to_server])


def test_a_server_that_does_not_challenge_welcomes_them():
    pair = Wire(Program(server=False, credentials=CREDENTIALS))
    handle = pair.client.call()
    pair.start()
    assert 'LOGIN' not in pair.server.kinds
    pair.server.core.reply(pair.server.calls[0], b'\x01')
    pair.run()
    assert pair.client.result(handle) == b'\x01'
    assert SECRET not in repr(pair.to_client.hello)


def test_a_welcome_does_not_open_what_takes_no_calls():
    pair = Gate().start()
    pair.server.core.drain('closing')
    pair.run()
    pair.admit()
    told = [kind for kind in pair.client.kinds if kind != 'BEAT']
    assert told == ['AWAY', 'READY', 'AWAY']
    assert pair.to_server.closed


def test_the_wrong_service():
    clock = Clock()
    client = Program(clock, server=False, credentials=CREDENTIALS, name='a')
    pair = Gate(client, Program(clock, server=True, challenges=True, name='b')).start()
    pair.admit()
    assert pair.server.kinds == ['LOGIN']  # nobody for the program to know
    assert client.kinds == ['REFUSED']
    (message,) = pair.down.messages
    assert message[0] == wire.REJECT
    assert "this server is 'b'" in message[3]['reason']
    assert 'unauthorized' not in message[3]
    assert pair.to_client.closed


# ---------------------------------------------------------------- v2, by hand


def test_calls_that_come_before_the_decision_are_held():
    pair = Gate().by_hand()
    pair.say(hello(), call(1))
    pair.say(call(3))
    pair.say((wire.PING, 5))
    assert pair.answers == []
    assert pair.to_client.held_bytes > 0
    pair.admit()
    assert [inbound.id for inbound in pair.server.calls] == [1, 3]
    assert pair.server.kinds == ['LOGIN', 'READY', 'INVOKE', 'INVOKE', 'BEAT']
    assert pair.answers == [wire.WELCOME, wire.PONG]
    assert pair.to_client.held == []
    assert pair.to_client.held_bytes == 0
    invariants(pair.server, pair.met)


def test_buffers_stay_with_their_messages():
    pair = Gate().by_hand()
    before = (wire.CALL, 1, 1, None, 'before', None)
    odd = (wire.HELLO, 0, 1, hello()[3])
    after = (wire.CALL, 3, 1, None, 'after', None)
    pair.say(before, odd, after, buffers=[b'1', b'2', b'3'])
    pair.admit()
    (inbound,) = pair.server.calls
    assert (inbound.name, inbound.body) == ('after', b'3')


def test_calls_that_were_held_are_answered_when_it_is_refused():
    pair = Gate().by_hand()
    pair.say(hello(), call(1), (wire.PING, 1), call('odd'))
    pair.say(call(3))
    pair.refuse()
    wrong = 'pseud.UnauthorizedError'
    assert pair.answers == [(wrong, 1), (wrong, 3), wire.REJECT]
    assert pair.server.calls == []
    assert pair.to_client.held == []
    pair.say(call(5))
    assert pair.answers[3:] == [(wrong, 5)]


def test_calls_before_the_login_are_refused():
    pair = Gate().by_hand()
    pair.say(call(1), (wire.PING, 1), (), 5, (wire.RESULT, 2, -1, b''))
    assert pair.answers == [('pseud.UnauthorizedError', 1)]
    assert b'log in first' in pair.down.messages[0][3]
    pair.say(hello(), call(3))
    pair.admit()
    assert [inbound.id for inbound in pair.server.calls] == [3]


def test_a_lockstep_peer_gets_one_answer():
    pair = Gate(lockstep=True).connect()
    handle = pair.client.call()
    pair.run()
    assert len(pair.up.sent) == 1
    pair.refuse()
    assert len(pair.down.sent) == 1
    assert pair.answers == [('pseud.UnauthorizedError', 1), wire.REJECT]
    assert pair.client.error(handle)['message'] == 'wrong password'
    assert pair.client.kinds == ['ERROR', 'REFUSED']


def test_a_lockstep_peer_is_not_welcomed():
    pair = Gate(lockstep=True).connect()
    handle = pair.client.call()
    pair.run()
    pair.admit()
    assert pair.to_client.closed  # it can not be called
    pair.server.core.reply(pair.server.calls[0], b'\x01')
    pair.run()
    assert pair.client.result(handle) == b'\x01'
    assert pair.down.types == [wire.RESULT]


@pytest.mark.parametrize('right', [True, False])
def test_a_ping_with_a_login_gets_one_answer(right):
    pair = Gate(lockstep=True).connect()
    pair.client.core.ping(pair.to_server)
    pair.run()
    assert pair.down.sent == []
    pair.admit() if right else pair.refuse()
    assert len(pair.up.sent) == len(pair.down.sent) == 1
    assert pair.answers == ([wire.WELCOME, wire.PONG] if right else [wire.REJECT])


def test_a_lockstep_peer_without_credentials():
    pair = Gate(lockstep=True, credentials=None).connect()
    pair.client.call()
    pair.run()
    assert pair.server.kinds == []
    assert len(pair.down.sent) == 1
    assert pair.answers == [wire.REJECT, ('pseud.UnauthorizedError', 1)]
    assert pair.client.kinds == ['REFUSED', 'ERROR']


def test_not_more_than_so_many_messages_are_held():
    pair = Gate().by_hand()
    pair.say(hello())
    for n in range(login.MAX_HELD):
        pair.say(call(2 * n + 1))
    assert pair.server.errors == []
    pair.say(call(999))
    (error,) = pair.server.errors
    assert type(error) is RemoteProtocolError
    pair.admit()
    assert len(pair.server.calls) == login.MAX_HELD


def test_not_more_than_so_many_bytes_are_held():
    limits = Limits(max_message=10000)
    server = Program(Clock(), server=True, challenges=True, limits=limits)
    pair = Gate(server=server).by_hand()
    pair.say(hello())
    large = (wire.CALL, 1, 1, None, 'f', None)
    pair.say(large, buffers=[b'x' * 6000])
    assert server.errors == []
    pair.say((wire.CALL, 3, 1, None, 'f', None), buffers=[b'x' * 6000])
    assert len(server.errors) == 1
    assert len(pair.to_client.held) == 1
    pair.admit()
    assert [inbound.id for inbound in server.calls] == [1]
    pair.say((wire.CALL, 5, 1, None, 'f', None), buffers=[b'x' * 6000])
    assert len(server.calls) == 2


def test_not_more_than_so_many_bytes_are_held_of_all_together():
    limits = Limits(max_message=10000, max_queue=15000)
    server = Program(Clock(), server=True, challenges=True, limits=limits)
    pairs = [Gate(server=server).by_hand() for _ in range(3)]
    for pair in pairs:
        pair.say(hello())
        pair.say((wire.CALL, 1, 1, None, 'f', None), buffers=[b'x' * 6000])
    assert len(server.errors) == 1
    assert [len(pair.to_client.held) for pair in pairs] == [1, 1, 0]
    pairs[0].admit()
    pairs[2].say((wire.CALL, 1, 1, None, 'f', None), buffers=[b'x' * 6000])
    assert len(pairs[2].to_client.held) == 1
    server.handle(server.core.lost(pairs[1].to_client, 'gone'))
    pairs[2].refuse()
    assert server.core.held_bytes == 0


def test_not_more_than_so_many_logins():
    pair = Gate().by_hand()
    for n in range(login.MAX_LOGINS):
        pair.say(hello(password=str(n)))
        pair.refuse()
    pair.say(hello(), call(1))
    assert len(asked(pair.server)) == login.MAX_LOGINS
    assert [str(error) for error in pair.server.errors] == ['one login too many']
    assert not pair.to_client.logging_in
    assert pair.server.core.admit(pair.to_client, 'alice', 0) == []


def test_the_second_login_may_be_right():
    pair = Gate().by_hand()
    pair.say(hello(password='wrong'))
    pair.refuse()
    pair.say(hello(), call(1))
    pair.admit()
    assert pair.server.kinds == ['LOGIN', 'LOGIN', 'READY', 'INVOKE']
    assert pair.to_client.rejected is None


@pytest.mark.parametrize(
    ('user_id', 'password'),
    [
        (None, SECRET),
        ('alice', None),
        (b'alice', SECRET),
        ('alice', SECRET.encode()),
        (1, 2),
        (['alice'], SECRET),
        ('a' * 1025, SECRET),
        ('alice', SECRET * 100),
    ],
)
def test_credentials_that_are_none(user_id, password):
    pair = Gate().by_hand()
    pair.say(hello(user_id, password), call(1))
    assert pair.server.kinds == []
    assert pair.answers == [wire.REJECT, ('pseud.UnauthorizedError', 1)]
    assert pair.down.messages[0][3]['unauthorized'] is True
    assert not pair.to_client.logging_in


def test_the_longest_credentials():
    pair = Gate().by_hand()
    pair.say(hello('ü' * 1024, 'ü' * 1024))
    assert pair.server.kinds == ['LOGIN']


@pytest.mark.parametrize('message', [(wire.HELLO,), (wire.HELLO, 0, 0, 'alice')])
def test_a_hello_without_a_map_says_nothing(message):
    pair = Gate().by_hand()
    pair.say(message, hello())
    assert pair.server.kinds == ['LOGIN']


def test_hello_twice():
    """The second one counts after the decision, and does not change who it is."""
    pair = Gate().by_hand()
    pair.say(hello(), hello('bob', 'other'), hello('carol'))
    assert pair.server.kinds == ['LOGIN']
    pair.admit()
    assert pair.to_client.user_id == 'alice'
    assert pair.answers == [wire.WELCOME] * 3
    pair.say(hello('bob', 'other'))
    assert pair.to_client.user_id == 'alice'
    assert pair.server.kinds == ['LOGIN', 'READY']
    assert SECRET not in repr(pair.to_client.hello)


def test_what_no_core_understands_is_a_violation():
    pair = Gate().by_hand()
    pair.inject_up([b'\xc1'])
    assert pair.server.kinds == ['VIOLATION']
    pair.say(hello(), call(2))  # of the wrong side
    pair.admit()
    assert pair.server.kinds == ['VIOLATION', 'LOGIN', 'READY', 'VIOLATION']


def test_who_does_not_read_is_not_answered():
    limits = Limits(max_queue=200)
    server = Program(Clock(), server=True, challenges=True, limits=limits)
    pair = Gate(server=server).by_hand()
    pair.down.block()
    for n in range(100):
        pair.say(call(2 * n + 1))
        pair.say(hello(None))
    assert len(pair.to_client.outbox) < 4


# ---------------------------------------------------------------- losses


def test_lost_while_it_logs_in():
    pair = Gate().by_hand()
    pair.say(hello(), call(1))
    pair.drop()
    pair.admit()
    assert pair.server.core.admit(pair.to_client, 'alice', 0) == []
    assert pair.server.kinds == ['LOGIN', 'LOST']
    pair.refuse()
    assert pair.to_client.held == []
    assert pair.server.core.peers == {}
    assert pair.down.sent == []
    quiescent(pair.server, pair.met)


def test_admitted_once():
    pair = Gate().start()
    pair.admit()
    pair.admit('somebody else')
    assert pair.to_client.user_id == 'alice'
    assert pair.server.kinds == ['LOGIN', 'READY']


def test_expelled_while_it_logs_in():
    pair = Gate().by_hand()
    pair.say(hello(), call(1))
    pair.server.handle(expel(pair.server.core, pair.to_client, 'too slow'))
    pair.admit()
    assert pair.server.kinds == ['LOGIN', 'LOST']
    assert pair.to_client.closed
    assert pair.answers == [wire.REJECT]
    assert pair.server.calls == []


def test_expelled_after_it_logged_in():
    pair = Gate().start()
    pair.admit()
    handle = pair.client.call()
    pair.run()
    pair.server.handle(expel(pair.server.core, pair.to_client, 'revoked'))
    pair.run()
    assert pair.client.error(handle)['type'] == 'pseud.PeerLostError'
    pair.drop()
    quiescent(pair.client, [pair.to_server])


def test_a_client_that_is_lost_while_it_logs_in():
    pair = Gate()
    handle = pair.client.call()
    pair.start()
    pair.drop()
    assert pair.client.kinds == ['LOST']
    assert pair.client.outcomes == {}  # it waits for the next connection
    pair.start()
    pair.admit()
    assert [inbound.name for inbound in pair.server.calls] == [handle.name]
    pair.drop()
    assert type(pair.client.failure(handle)) is PeerLostError


def crowd(**how):
    """A server that has room for two, and one who has logged in."""
    limits = Limits(max_peers=2)
    server = Program(Clock(), server=True, challenges=True, limits=limits)
    first = Gate(server=server, **how).start()
    first.admit()
    return server, first


def test_strangers_make_room():
    server, first = crowd()
    stranger = Gate(server=server).start()
    other = Gate(server=server).start()
    assert stranger.to_client.gone
    assert not first.to_client.gone
    stranger.admit()
    other.admit()
    assert set(server.core.peers) == {first.key, other.key}
    third = Gate(server=server).start()  # all are watched now, none is a stranger
    assert third.client.kinds == ['REFUSED']
    (reject,) = third.down.messages
    assert reject == (
        wire.REJECT,
        0,
        0,
        {'reason': '2 peers are connected already, the limit'},
    )
    assert len(asked(server)) == 3


def test_calls_of_who_finds_no_room_are_answered():
    server, _ = crowd()
    Gate(server=server).start().admit()
    late = Gate(server=server).by_hand()
    late.say(hello(lockstep=True), call(1))
    late.run()
    kinds = [message[0] for message in late.down.messages]
    assert kinds == [wire.REJECT, wire.ERROR]
    body = msgpack.unpackb(late.down.messages[1][3])
    assert body['type'] == 'pseud.NotSentError'
    assert server.calls == []


def test_no_room_for_an_old_one():
    server, _ = crowd()
    Gate(server=server).start().admit()
    old = Gate(server=server, protocol=1).by_hand()
    old.say_v1(v1.HEARTBEAT)
    assert old.said == []
    old.say_v1(v1.HELLO, msgpack.packb(CREDENTIALS))
    old.say_v1(v1.WORK, work())
    assert len(asked(server)) == 2
    full = b'2 peers are connected already, the limit'
    assert old.said == [(v1.UNAUTHORIZED, UID, full)] * 2
    assert len(server.core.peers) == 2


# ---------------------------------------------------------------- version 1


def old():
    return Gate(protocol=1).by_hand()


def test_v1_is_challenged():
    pair = old()
    pair.say_v1(v1.WORK, work())
    ((kind, uid, text),) = pair.said
    assert (kind, uid) == (v1.UNAUTHORIZED, UID)
    assert b'log in first' in text
    pair.say_v1(v1.HELLO, msgpack.packb(CREDENTIALS), UID[::-1])
    (stated,) = asked(pair.server)
    assert (stated.user_id, stated.password) == CREDENTIALS
    pair.admit()
    assert pair.said[1:] == [(v1.AUTHENTICATED, UID[::-1], b'Welcome')]
    assert pair.server.kinds == ['LOGIN', 'READY']
    assert pair.to_client.user_id == 'alice'
    pair.say_v1(v1.WORK, work('again'))
    assert pair.server.calls[0].name == 'again'


def test_v1_is_refused():
    pair = old()
    pair.say_v1(v1.HELLO, msgpack.packb(CREDENTIALS), UID[::-1])
    pair.say_v1(v1.WORK, work())
    assert pair.said == []
    pair.refuse()
    assert pair.said == [
        (v1.UNAUTHORIZED, UID, b'wrong password'),
        (v1.UNAUTHORIZED, UID[::-1], b'wrong password'),
    ]
    assert pair.server.kinds == ['LOGIN']


def test_v1_work_is_held():
    pair = old()
    pair.say_v1(v1.HELLO, msgpack.packb(CREDENTIALS))
    for n in range(50):  # one to a message, so more of them
        pair.say_v1(v1.WORK, work(f'f{n}'), bytes([n]) * 16)
    pair.say_v1(v1.HEARTBEAT)
    pair.admit()
    assert [inbound.name for inbound in pair.server.calls] == [
        f'f{n}' for n in range(50)
    ]
    assert pair.server.errors == []


def test_not_more_work_than_may_run_is_held():
    limits = Limits(max_calls_per_peer=20)
    server = Program(Clock(), server=True, challenges=True, limits=limits)
    pair = Gate(server=server, protocol=1).by_hand()
    pair.say_v1(v1.HELLO, msgpack.packb(CREDENTIALS))
    for n in range(21):
        pair.say_v1(v1.WORK, work(), bytes([n]) * 16)
    assert len(server.errors) == 1
    pair.admit()
    assert len(server.calls) == 20


@pytest.mark.parametrize('admitted', [True, False])
def test_every_hello_of_v1_is_answered(admitted):
    """1.x says one for each call that was challenged."""
    pair = old()
    for n in range(5):
        pair.say_v1(v1.HELLO, msgpack.packb(CREDENTIALS), bytes([n]) * 16)
    if admitted:
        pair.admit()
    else:
        pair.refuse()
    kind = v1.AUTHENTICATED if admitted else v1.UNAUTHORIZED
    assert sorted(uid for _, uid, _ in pair.said) == [bytes([n]) * 16 for n in range(5)]
    assert {said for said, *_ in pair.said} == {kind}
    assert len(asked(pair.server)) == 1


def test_versions_do_not_mix_before_the_login():
    """The answer to a call of v2 would be none of v1: it has another kind of id."""
    pair = old()
    pair.say_v1(v1.WORK, work())
    before = pair.said
    pair.say(call(1), hello())
    assert pair.server.kinds == ['VIOLATION']
    assert pair.said == before
    pair.say_v1(v1.HELLO, msgpack.packb(CREDENTIALS))
    pair.say(call(1))
    assert pair.server.kinds == ['VIOLATION', 'LOGIN', 'VIOLATION']
    pair.admit()
    assert [kind for kind, *_ in pair.said] == [v1.UNAUTHORIZED, v1.AUTHENTICATED]


def test_v1_credentials_of_bytes():
    pair = old()
    pair.say_v1(v1.HELLO, msgpack.packb(('älice'.encode(), b'p\xff')))
    (stated,) = asked(pair.server)
    assert (stated.user_id, stated.password) == ('älice', 'p\ufffd')


@pytest.mark.parametrize('content', [(None, None), (1, 'x'), ('x', 'y' * 1025)])
def test_v1_credentials_that_are_none(content):
    pair = old()
    pair.say_v1(v1.HELLO, msgpack.packb(content))
    assert pair.server.kinds == []
    ((kind, uid, _),) = pair.said
    assert (kind, uid) == (v1.UNAUTHORIZED, UID)


def test_not_more_than_so_many_logins_of_v1():
    pair = old()
    for _ in range(login.MAX_LOGINS):
        pair.say_v1(v1.HELLO, msgpack.packb(CREDENTIALS))
        pair.refuse()
    pair.say_v1(v1.HELLO, msgpack.packb(CREDENTIALS))
    assert len(asked(pair.server)) == login.MAX_LOGINS
    assert len(pair.server.errors) == 1


def test_v1_is_not_answered_that_does_not_read():
    server = Program(
        Clock(), server=True, challenges=True, limits=Limits(max_queue=300)
    )
    pair = Gate(server=server, protocol=1).by_hand()
    pair.down.block()
    for _ in range(100):
        pair.say_v1(v1.WORK, work())
    assert len(pair.to_client.outbox) == 1


def test_answers_of_v1_before_the_login_are_ignored():
    pair = old()
    for kind in (v1.OK, v1.FAILURE, v1.AUTHENTICATED, v1.UNAUTHORIZED, v1.HEARTBEAT):
        pair.say_v1(kind, b'\xc0')
    assert pair.server.kinds == []
    assert pair.said == []


def test_our_client_of_v1_logs_in():
    pair = Gate(protocol=1)
    handle = pair.client.call()
    pair.start()
    kinds = [bytes(frames[2]) for frames in pair.up.sent]
    assert kinds == [v1.HELLO, v1.WORK]
    assert asked(pair.server)[0].password == SECRET
    pair.admit()
    pair.server.core.reply(pair.server.calls[0], b'\x01')
    pair.run()
    assert pair.client.result(handle) == b'\x01'
    assert pair.client.core.late == 0


def test_our_client_of_v1_is_refused():
    pair = Gate(protocol=1)
    handle = pair.client.call()
    pair.start()
    pair.refuse()
    failure = pair.client.failure(handle)
    assert type(failure) is UnauthorizedError
    assert str(failure) == 'wrong password'


def test_admitted_without_a_hello():
    """Nobody does that: nothing breaks."""
    pair = old()
    pair.say_v1(v1.HEARTBEAT)
    pair.admit()
    assert pair.said == [(v1.AUTHENTICATED, b'', b'Welcome')]


# ---------------------------------------------------------------- secrets


@pytest.mark.parametrize('protocol', [1, 2])
@pytest.mark.parametrize('admitted', [True, False])
def test_passwords_are_not_shown(protocol, admitted):
    pair = Gate(protocol=protocol)
    pair.client.call()
    pair.start()
    if protocol == 2:
        pair.say(hello(), hello())
    else:
        pair.say_v1(v1.HELLO, msgpack.packb(CREDENTIALS))
    seen = []

    def look():
        for program in (pair.client, pair.server):
            seen.extend(map(repr, program.events))
            seen.extend(map(repr, program.core.peers.values()))
            seen.append(repr(program.core))
        seen.append(repr(pair.to_client.hello))
        seen.append(repr(pair.to_server.hello))

    look()
    if admitted:
        pair.admit()
    else:
        pair.refuse()
    look()
    pair.drop()
    look()
    assert 'alice' in ''.join(seen)
    assert SECRET not in ''.join(seen)
    assert SECRET not in ''.join(map(repr, pair.down.sent))


def test_pipes_hold_what_they_should():
    """The test of passwords means nothing if they did not travel."""
    pipe = Pipe()
    pipe.send([wire.encode([hello()])])
    assert SECRET.encode() in pipe.sent[0][0]
