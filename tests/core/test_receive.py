"""What a peer sent becomes events, and nothing else happens to us."""

import msgpack
import pytest
from helpers import ARGS, Program, Wire, quiescent

from pseud._core import events as ev
from pseud._core import v1, wire
from pseud._core.limits import Limits
from pseud._core.peer import Peer
from pseud._core.receive import MAX_NAME
from pseud.errors import RemoteProtocolError, UnauthorizedError

UID = bytes(range(16))


@pytest.fixture
def pair():
    """Client and server, connected, hellos exchanged."""
    pair = Wire().start()
    pair.client.events.clear()
    pair.server.events.clear()
    return pair


@pytest.fixture
def fresh():
    """Client and server, connected; not a word was said yet."""
    return Wire().connect()


def head(*messages):
    return [msgpack.packb(messages)]


def kinds(events):
    return [event[0] for event in events]


def nested(depth):
    value = 1
    for _ in range(depth):
        value = (value,)
    return value


# Nothing of this is an id, a count, a name, a body or a timeout.
ODD = [
    pytest.param(value, id=str(value)[:20] or 'empty')
    for value in (
        True,
        1.5,
        -1.5,
        float('nan'),
        float('inf'),
        'text',
        (1,),
        nested(300),
        {'k': 1},
        {'a': 2},
        msgpack.Timestamp(1, 1),
        msgpack.ExtType(5, b'x'),
    )
]


def violated(events):
    """The one violation in events that hold nothing else."""
    ((kind, _, error),) = events
    assert kind == ev.VIOLATION
    assert type(error) is RemoteProtocolError
    assert len(str(error)) < 500
    return str(error)


def works(pair):
    """A call in each direction still comes through."""
    there = pair.client.call('there')
    pair.run()
    pair.server.core.reply(pair.server.calls[-1], b'\x01')
    back = pair.server.call('back', peer=pair.to_client)
    pair.run()
    pair.client.core.reply(pair.client.calls[-1], b'\x02')
    pair.run()
    assert pair.client.result(there) == b'\x01'
    assert pair.server.result(back) == b'\x02'
    quiescent(pair.client, [pair.to_server])
    quiescent(pair.server, [pair.to_client])


# ---------------------------------------------------------------------- the frame


def test_no_payload(pair):
    assert pair.inject_up([]) == []  # ZMQ_PROBE_ROUTER of pseud 1.x
    works(pair)


@pytest.mark.parametrize('frame', [b'', b'\xc1', b'v2', b'v', b'\x91' * 9999])
def test_a_head_that_is_no_msgpack(pair, frame):
    violated(pair.inject_up([frame]))
    violated(pair.inject_down([frame]))
    works(pair)


@pytest.mark.parametrize('value', [1, None, 'x', b'x', {}, 1.5, True])
def test_a_head_that_is_no_array(pair, value):
    violated(pair.inject_up([msgpack.packb(value)]))
    works(pair)


@pytest.mark.parametrize('value', [1, None, 'x', b'x', {}, 1.5, True, ()])
def test_a_message_that_is_no_array(pair, value):
    assert 'not an array' in violated(pair.inject_up(head(value)))
    works(pair)


def test_a_head_without_messages_is_nothing(pair):
    assert pair.inject_up(head()) == []


def test_thousands_of_frames_that_nobody_claims(pair):
    assert pair.inject_up([*head((wire.CANCEL, 1)), *[b''] * 9999]) == []
    works(pair)


def test_what_came_before_the_fault_counts(pair):
    events = pair.inject_up(head((wire.PONG, 1), 'rubbish', (wire.PONG, 2)))
    assert kinds(events) == [ev.BEAT, ev.VIOLATION]


@pytest.mark.parametrize('kind', [None, 1.5, 'CALL', b'\x01', (1,), {}, {'a': 2}])
def test_a_type_that_is_no_int(pair, kind):
    assert 'not an int' in violated(pair.inject_up(head((kind, 1))))
    works(pair)


@pytest.mark.parametrize(
    'kind', [0, -1, wire.ITEM, wire.END, wire.CREDIT, 14, 99, 1 << 63]
)
def test_unknown_types_are_ignored_with_their_buffers(pair, kind):
    """So that v2 can grow: what comes after them is read as if they were not there."""
    payload = [
        *head(
            (kind, 1, 2, None, 'whatever', {}),
            (kind,),
            (wire.CALL, 101, 1, None, 'f'),
        ),
        b'theirs',
        b'theirs too',
        b'mine',
    ]
    ((kind, call),) = pair.inject_up(payload)
    assert kind == ev.INVOKE
    assert call.body == b'mine'


def test_extra_fields_are_ignored(pair):
    call = pair.server.call(peer=pair.to_client)
    pair.server.flush()
    events = pair.inject_up(
        head(
            (wire.RESULT, call.id, 0, b'body', 'extra', {}, (1, 2)),
            (wire.CALL, 101, 0, ARGS, 'f', None, None, 'extra'),
            (wire.CANCEL, 101, 0, None, 'extra'),
            (wire.PING, 1, 0, None, 'extra'),
            (wire.PONG, 1, 0, None, 'extra'),
        )
    )
    assert kinds(events) == [ev.RESULT, ev.INVOKE, ev.ABORT, ev.BEAT, ev.BEAT]


# ---------------------------------------------------------------------- buffers


@pytest.mark.parametrize('count', [-1, 3, 1 << 62, *ODD])
@pytest.mark.parametrize('kind', [wire.CALL, wire.RESULT, wire.CANCEL, 99])
def test_claims_that_the_frames_do_not_bear_out(pair, kind, count):
    payload = [*head((kind, 101, count, None, 'f')), b'1', b'2']
    assert 'claims' in violated(pair.inject_up(payload))
    works(pair)


def test_frames_are_claimed_once(pair):
    payload = [*head((99, 0, 1), (99, 0, 1), (99, 0, 1)), b'1', b'2']
    assert '1 buffers of 0' in violated(pair.inject_up(payload))


def test_a_claim_is_described_in_few_words(pair):
    """However long or deep what the peer wrote there: a log is not its to fill."""
    for count in ('x' * 1000000, nested(500), {i: i for i in range(100000)}):
        assert len(violated(pair.inject_up(head((99, 0, count))))) < 300


def test_body_inline_with_buffers(pair):
    payload = [*head((wire.CALL, 101, 2, b'body', 'f')), b'1', b'2']
    ((_, call),) = pair.inject_up(payload)
    assert call.body == b'body'
    assert list(call.buffers) == [b'1', b'2']


# ---------------------------------------------------------------------- calls


def test_a_call(pair):
    ((kind, call),) = pair.inject_up(head((wire.CALL, 101, 0, b'body', 'a.b', 1500)))
    assert kind == ev.INVOKE
    assert (call.id, call.name, call.body, call.buffers) == (101, 'a.b', b'body', ())
    assert call.deadline == pair.clock.now + 1.5
    assert call.peer is pair.to_client
    assert call.protocol == 2
    assert not call.done
    assert repr(call) == f"<InboundCall 'a.b' of {pair.to_client.label}>"


@pytest.mark.parametrize(
    'message',
    [
        (wire.CALL,),
        (wire.CALL, 101),
        (wire.CALL, 101, 0),
        (wire.CALL, 101, 0, b'body'),
        (wire.CALL, 101, 0, None, 'f'),
        (wire.CALL, 101, 0, 'text', 'f'),
        (wire.CALL, None, 0, b'body', 'f'),
        (wire.CALL, 101, 0, b'body', None),
        (wire.CALL, 101, 0, b'body', b'f'),
    ],
)
def test_a_call_that_lacks_something(pair, message):
    assert 'without id, name or body' in violated(pair.inject_up(head(message)))
    works(pair)


@pytest.mark.parametrize('odd', ODD)
@pytest.mark.parametrize('field', [1, 3, 4, 5])
def test_a_call_with_something_odd_in_it(pair, field, odd):
    message = [wire.CALL, 101, 0, ARGS, 'f', None]
    if field == 4 and type(odd) is str:
        return
    message[field] = odd
    violated(pair.inject_up(head(message)))
    assert pair.to_client.inbound == {}
    works(pair)


def test_a_negative_timeout(pair):
    message = (wire.CALL, 101, 0, ARGS, 'f', -1)
    assert 'a timeout is -1' in violated(pair.inject_up(head(message)))


def test_the_longest_timeout(pair):
    message = (wire.CALL, 101, 0, ARGS, 'f', (1 << 64) - 1)
    assert kinds(pair.inject_up(head(message))) == [ev.INVOKE]
    works_later = pair.server.core.expire(pair.clock.now + 1e9)
    assert works_later == []


def test_ids_have_sides(pair):
    """So that both can count up by themselves."""
    even, odd = (wire.CALL, 100, 0, ARGS, 'f'), (wire.CALL, 101, 0, ARGS, 'f')
    assert 'wrong side' in violated(pair.inject_up(head(even)))
    assert 'wrong side' in violated(pair.inject_down(head(odd)))


@pytest.mark.parametrize('call_id', [-1, (1 << 63) + 1, -(1 << 63) + 1])
def test_ids_of_any_size(pair, call_id):
    pair.inject_up(head((wire.CALL, call_id, 0, ARGS, 'f')))
    pair.server.core.reply(pair.server.calls[-1], b'\xc0')
    pair.server.flush()
    assert pair.down.messages[-1] == (wire.RESULT, call_id, 0, b'\xc0')


def test_an_id_in_use(pair):
    message = (wire.CALL, 101, 0, ARGS, 'f')
    events = pair.inject_up(head(message, message))
    assert kinds(events) == [ev.INVOKE, ev.VIOLATION]
    assert 'in use' in str(events[1][2])
    assert pair.server.core.running == 1
    # and not any more, once it was answered
    pair.server.core.reply(pair.server.calls[0], b'')
    assert kinds(pair.inject_up(head(message))) == [ev.INVOKE]


def test_a_call_introduces_a_peer(fresh):
    """HELLO is the custom, not a condition."""
    events = fresh.inject_up(head((wire.CALL, 101, 0, ARGS, 'f')))
    assert kinds(events) == [ev.READY, ev.INVOKE]
    assert fresh.to_client.ready
    assert fresh.server.core.peers == {fresh.key: fresh.to_client}


def test_other_messages_do_not(fresh):
    fresh.inject_up(head((wire.CANCEL, 1), (wire.RESULT, 1, 0, b'')))
    assert fresh.server.core.peers == {}
    assert not fresh.to_client.ready


@pytest.mark.parametrize('kind', [wire.PING, wire.PONG])
def test_one_that_was_forgotten_is_met_again(pair, kind):
    """It has said hello long ago, and thinks that it is known."""
    pair.lose_server()
    assert kinds(pair.inject_up(head((kind, 0)))) == [ev.READY, ev.BEAT]
    assert pair.to_client.ready
    # Who answers does not speak in turns, and may be asked; of others we do not know.
    assert pair.server.core.ping(pair.to_client) is (kind == wire.PONG)
    works(pair)


def test_a_probe_is_of_version_1(fresh):
    """ZMQ_PROBE_ROUTER, by which clients of pseud 1.x say that they are there."""
    assert kinds(fresh.inject_up([])) == [ev.READY]
    assert fresh.to_client.protocol == 1
    assert fresh.inject_up([]) == []
    # from then on it is settled
    assert kinds(fresh.inject_up(v1_message(v1.HEARTBEAT, b'', b''))) == [ev.BEAT]
    assert 'speaks v1' in violated(fresh.inject_up(head((wire.PONG, 0))))


def test_unless_it_turns_out_not_to_be(fresh):
    fresh.inject_up([])
    fresh.run()
    assert fresh.to_client.protocol == 2
    works(fresh)
    assert 'speaks v2' in violated(fresh.inject_up(v1_message(v1.HEARTBEAT, b'', b'')))


def test_then_it_is_too_late(fresh):
    """As it has been called by v1."""
    fresh.inject_up([])
    fresh.server.call(peer=fresh.to_client)
    fresh.server.flush()
    assert 'speaks v1' in violated(fresh.inject_up(head((wire.PONG, 0))))


def test_probes_that_mean_nothing(pair):
    assert pair.inject_down([]) == []
    server = Program(server=True, challenges=True)
    stranger = Peer('stranger', Limits())
    stranger.admitted = False
    assert server.core.receive(stranger, [], 0) == []
    assert not stranger.ready


# ---------------------------------------------------------------------- answers


@pytest.mark.parametrize('kind', [wire.RESULT, wire.ERROR])
def test_answers(pair, kind):
    handle = pair.client.call()
    pair.client.flush()
    ((event, got, body, buffers, protocol),) = pair.inject_down(
        [*head((kind, handle.id, 2, None)), b'body', b'buffer']
    )
    assert event == (ev.RESULT if kind == wire.RESULT else ev.ERROR)
    assert got is handle
    assert (body, list(buffers), protocol) == (b'body', [b'buffer'], 2)


@pytest.mark.parametrize('odd', [None, *ODD])
@pytest.mark.parametrize('field', [1, 3])
@pytest.mark.parametrize('kind', [wire.RESULT, wire.ERROR])
def test_an_answer_with_something_odd_in_it(pair, kind, field, odd):
    handle = pair.client.call()
    pair.client.flush()
    message = [kind, handle.id, 0, b'']
    message[field] = odd
    assert 'an answer without' in violated(pair.inject_down(head(message)))
    assert list(pair.client.core.pending) == [handle.id]


@pytest.mark.parametrize(
    'message', [(wire.RESULT,), (wire.RESULT, 1), (wire.ERROR, 1, 0)]
)
def test_an_answer_that_lacks_something(pair, message):
    assert 'an answer without' in violated(pair.inject_down(head(message)))


@pytest.mark.parametrize('kind', [wire.RESULT, wire.ERROR])
def test_answers_that_nobody_waits_for_are_counted(pair, kind):
    handle = pair.client.call()
    pair.client.flush()
    answer = (kind, handle.id, 0, b'')
    assert len(pair.inject_down(head(answer, answer, answer))) == 1
    assert pair.inject_down(head((kind, 12345, 0, b''))) == []
    assert pair.client.core.late == 3


# ---------------------------------------------------------------------- cancel, ping


def test_cancel(pair):
    pair.inject_up(head((wire.CALL, 101, 0, ARGS, 'f')))
    (event,) = pair.inject_up(head((wire.CANCEL, 101)))
    assert event == (ev.ABORT, pair.server.calls[0], 'its caller cancelled it')
    assert pair.server.calls[0].done
    assert pair.server.core.running == 0


@pytest.mark.parametrize('odd', [None, 101, 0, *ODD])
def test_cancelling_what_is_not_there(pair, odd):
    assert pair.inject_up(head((wire.CANCEL, odd), (wire.CANCEL,))) == []


def test_ping(pair):
    events = pair.inject_up(head((wire.PING, 77)))
    assert events == [(ev.BEAT, pair.to_client)]
    pair.server.flush()
    assert pair.down.messages[-1] == (wire.PONG, 77)


@pytest.mark.parametrize('odd', [None, *ODD])
def test_an_odd_token_is_not_sent_back(pair, odd):
    before = len(pair.down.sent)
    assert kinds(pair.inject_up(head((wire.PING, odd)))) == [ev.BEAT]
    pair.server.flush()
    assert len(pair.down.sent) == before


def test_no_pong_into_a_full_pipe(pair):
    pair.to_client.blocked = True
    pair.inject_up(head((wire.PING, 1)))
    assert pair.to_client.outbox == []


# ---------------------------------------------------------------------- hello


def test_hello_tells_limits(fresh):
    fields = {'max_message': 1000, 'max_calls': 7, 'agent': 'x/1', 'unknown': [1]}
    events = fresh.inject_up(head((wire.HELLO, 0, 0, fields)))
    peer = fresh.to_client
    assert kinds(events) == [ev.READY]
    assert (peer.max_message, peer.max_calls) == (1000, 7)
    assert peer.hello['agent'] == 'x/1'


@pytest.mark.parametrize('odd', [None, 0, -1, *ODD])
def test_limits_that_are_none(fresh, odd):
    fields = {'max_message': odd, 'max_calls': odd, 'lockstep': 1}
    fresh.inject_up(head((wire.HELLO, 0, 0, fields)))
    peer = fresh.to_client
    assert peer.max_message == Limits().max_message
    assert peer.max_calls == Limits().max_calls_per_peer
    assert not peer.lockstep


@pytest.mark.parametrize('fields', [None, 5, 'x', b'x', (1, 2), 1.5])
@pytest.mark.parametrize('kind', [wire.HELLO, wire.WELCOME])
def test_a_hello_that_is_no_map(pair, kind, fields):
    inject = pair.inject_up if kind == wire.HELLO else pair.inject_down
    assert 'not a map' in violated(inject(head((kind, 0, 0, fields))))
    assert 'not a map' in violated(inject(head((kind,))))
    works(pair)


def test_hello_goes_up_and_welcome_down(pair):
    assert 'from a server' in violated(pair.inject_down(head((wire.HELLO, 0, 0, {}))))
    assert 'from a client' in violated(pair.inject_up(head((wire.WELCOME, 0, 0, {}))))


@pytest.mark.parametrize('name', ['other', 5, b'x', ('x',), nested(500), 'x' * 10000])
def test_another_service_was_meant(name):
    pair = Wire(server=Program(server=True, name='service')).connect()
    pair.inject_up(head((wire.HELLO, 0, 0, {'name': name})))
    pair.server.flush()
    ((kind, _, _, fields),) = pair.down.messages
    assert kind == wire.REJECT
    assert "this server is 'service'" in fields['reason']
    assert len(fields['reason']) < 300


@pytest.mark.parametrize('name', ['', None, 0, (), 'service'])
def test_any_service_or_this_one_was_meant(name):
    pair = Wire(server=Program(server=True, name='service')).connect()
    pair.inject_up(head((wire.HELLO, 0, 0, {'name': name})))
    pair.server.flush()
    assert pair.down.types == [wire.WELCOME]


@pytest.mark.parametrize('kind', [wire.REJECT, wire.GOAWAY])
@pytest.mark.parametrize(
    ('fields', 'reason'),
    [
        ({'reason': 'because'}, 'because'),
        ({'reason': 'x' * 9999}, 'x' * 200),
        ({'reason': 5}, '5'),
        ({'reason': nested(500)}, 'tuple'),
        ({'reason': b'x' * 9999}, 'bytes'),
        ({'reason': ''}, 'no reason given'),
        ({}, 'no reason given'),
        (None, 'no reason given'),
        ('because', 'no reason given'),
    ],
)
def test_reasons(pair, kind, fields, reason):
    events = pair.inject_down(head((kind, 0, 0, fields)))
    if kind == wire.GOAWAY:
        assert events == [(ev.AWAY, pair.to_server, reason)]
    else:
        assert events == [(ev.REFUSED, pair.to_server, reason, False)]


def test_a_turn_taker_stays_one(fresh):
    """One that could shed this would get what passes for an answer."""
    fresh.inject_up(head((wire.HELLO, 0, 0, {'lockstep': True})))
    fresh.inject_up(head((wire.HELLO, 0, 0, {})))
    assert fresh.to_client.lockstep


# ---------------------------------------------------------------------- floods


@pytest.mark.parametrize(
    'message',
    [
        (wire.PING, 1),
        (wire.HELLO, 0, 0, {}),
        (wire.HELLO, 0, 0, {'name': 'other'}),
        (wire.CALL, 1, 0, ARGS, 'f'),
    ],
    ids=['ping', 'hello', 'wrong hello', 'refused call'],
)
def test_who_asks_and_does_not_read_is_not_answered_for_ever(message):
    limits = Limits(max_queue=20_000)
    pair = Wire(server=Program(server=True, name='service', limits=limits)).connect()
    pair.server.core.drain('so that calls are refused')
    for _ in range(10):
        pair.inject_up(head(*[message] * 100))
    assert 0 < pair.to_client.queued < 21_000


def test_whose_results_do_not_fit_gets_no_endless_errors_either():
    limits = Limits(max_queue=20_000)
    pair = Wire(server=Program(server=True, limits=limits)).connect()
    for number in range(1000):
        call = (wire.CALL, 2 * number + 1, 0, ARGS, 'f')
        pair.inject_up(head(call))
        pair.server.core.reply(pair.server.calls[-1], b'x' * 5000)
    assert pair.server.core.running == 0
    assert 15_000 < pair.to_client.queued < 21_000


# ---------------------------------------------------------------------- protocol v1


def v1_message(kind, body, uid=UID):
    return [v1.VERSION, uid, kind, body]


WORK = v1_message(v1.WORK, msgpack.packb(('a.b', (1,), {})))


@pytest.fixture
def old():
    """A v1 client and a server that knows it."""
    pair = Wire(protocol=1).connect()
    pair.inject_up(v1_message(v1.HEARTBEAT, b'', b''))
    pair.server.events.clear()
    return pair


def test_v1_is_detected(fresh):
    events = fresh.inject_up(WORK)
    assert kinds(events) == [ev.READY, ev.INVOKE]
    assert fresh.to_client.protocol == 1
    call = events[1][1]
    assert (call.id, call.name, call.protocol) == (UID, 'a.b', 1)
    assert call.deadline is None
    assert msgpack.unpackb(call.body) == [[1], {}]


def test_v1_is_detected_from_a_view(fresh):
    assert kinds(fresh.inject_up([memoryview(f) for f in WORK])) == [
        ev.READY,
        ev.INVOKE,
    ]


def test_v1_heartbeat(old):
    events = old.inject_up(v1_message(v1.HEARTBEAT, b'whatever', b''))
    assert events == [(ev.BEAT, old.to_client)]


def test_v1_hello_is_welcome(old):
    """Who it is, the transport has established."""
    body = msgpack.packb(('login', 'password'))
    assert old.inject_up(v1_message(v1.HELLO, body)) == []
    old.server.flush()
    ((*frames,),) = old.down.sent
    assert frames == [b'v1', UID, v1.AUTHENTICATED, b'Welcome']


def test_v1_authenticated_is_no_news(old):
    assert old.inject_up(v1_message(v1.AUTHENTICATED, b'Welcome')) == []


def test_v1_uid_in_use(old):
    old.inject_up(WORK)
    assert 'in use' in violated(old.inject_up(WORK))
    assert old.server.core.running == 1


@pytest.mark.parametrize(
    'payload',
    [
        [v1.VERSION],
        [v1.VERSION, UID, v1.OK],
        [v1.VERSION, UID, v1.OK, b'', b''],
        v1_message(b'\x05', b''),
        v1_message(v1.OK, b'', b'short'),
        v1_message(v1.WORK, b''),
        v1_message(v1.HELLO, b''),
    ],
)
def test_what_v1_forbids(fresh, payload):
    violated(fresh.inject_up(payload))
    assert fresh.server.core.peers == {}
    assert kinds(fresh.inject_up(WORK)) == [ev.READY, ev.INVOKE]


@pytest.mark.parametrize('kind', [v1.OK, v1.FAILURE, v1.UNAUTHORIZED])
def test_v1_answers(old, kind):
    handle = old.client.call()
    old.client.flush()
    ((version, uid, work, _),) = old.up.sent
    assert (version, work) == (b'v1', v1.WORK)
    old.inject_down(v1_message(kind, b'body', bytes(uid)))
    if kind == v1.UNAUTHORIZED:
        failure = old.client.failure(handle)
        assert type(failure) is UnauthorizedError
        assert str(failure) == 'body'
    else:
        event = ev.RESULT if kind == v1.OK else ev.ERROR
        assert old.client.outcome(handle) == (event, handle, b'body', (), 1)
    quiescent(old.client, [old.to_server])


def test_v1_answers_that_nobody_waits_for(old):
    handle = old.client.call()
    old.client.flush()
    uid = bytes(old.up.sent[0][1])
    for _ in range(3):
        old.inject_down(v1_message(v1.OK, b'\xc0', uid))
    old.inject_down(v1_message(v1.OK, b'\xc0', b'\xff' * 16))
    assert old.client.core.late == 3
    assert old.client.result(handle) == b'\xc0'


def test_versions_do_not_mix(pair):
    assert 'speaks v2' in violated(pair.inject_up(WORK))
    assert 'speaks v2' in violated(pair.inject_down(WORK))
    works(pair)


def test_versions_do_not_mix_the_other_way(old):
    call = (wire.CALL, 101, 0, ARGS, 'f')
    assert 'speaks v1' in violated(old.inject_up(head(call)))
    assert 'speaks v1' in violated(old.inject_down(head(call)))


def test_versions_do_not_mix_before_the_first_proper_message():
    """What waits to be sent is in the version that it was asked in."""
    pair = Wire().connect()
    peer = pair.server
    pair.inject_up(head((wire.PING, 1)))
    first = pair.to_client
    assert first.outbox
    events = peer.core.receive(first, WORK, 0)
    assert 'speaks v2' in violated(events)


def test_who_was_not_taken_in_may_choose_anew():
    limits = Limits(max_peers=1)
    server = Program(server=True, limits=limits)
    Wire(server=server).start()
    pair = Wire(server=server).connect()
    assert pair.inject_up(v1_message(v1.HEARTBEAT, b'', b''))
    second = pair.to_client
    assert second.protocol == 1
    assert server.core.receive(second, head((wire.PONG, 1)), 0) == [(ev.BEAT, second)]
    assert second.protocol == 2


def test_names_have_an_end(pair):
    for name in 'x' * MAX_NAME, 'x' * (MAX_NAME + 1):
        events = pair.inject_up(head((wire.CALL, 101, 0, ARGS, name)))
        if len(name) == MAX_NAME:
            assert kinds(events) == [ev.INVOKE]
            pair.server.core.reply(pair.server.calls.pop(), b'')
        else:
            assert 'a function name of 1025 characters' in violated(events)
    works(pair)


def test_names_have_an_end_in_v1():
    pair = Wire(protocol=1).start()
    body = msgpack.packb(['x' * MAX_NAME, [], {}])
    events = pair.inject_up([b'v1', UID, b'\x03', body])
    assert kinds(events)[-1] == ev.INVOKE
    body = msgpack.packb(['x' * (MAX_NAME + 1), [], {}])
    events = pair.inject_up([b'v1', UID[::-1], b'\x03', body])
    assert 'a function name of 1025 characters' in violated(events)
