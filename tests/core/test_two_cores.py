"""Two cores wired together under a clock that tests turn: what a call promises."""

import pytest
from helpers import ARGS, Clock, Program, Wire, quiescent

from pseud._core import events as ev
from pseud._core import v1, wire
from pseud._core.limits import Limits
from pseud._core.outbox import BATCH
from pseud.errors import (
    NotSentError,
    NotSentTimeoutError,
    PeerLostError,
    TimeoutError,
    UnauthorizedError,
)


@pytest.fixture(params=[2, 1], ids=['v2', 'v1'])
def pair(request):
    """A client and a server that know each other, in either version."""
    pair = Wire(protocol=request.param).start()
    if (
        request.param == 1
    ):  # v1 has no hello: the server learns of a client by its calls
        greet(pair)
    return pair


@pytest.fixture
def pair2():
    """The same, in v2 only: for what v1 has no word for."""
    return Wire().start()


def greet(pair):
    """One call from the client, so that the server knows it."""
    pair.client.call('hello')
    pair.run()
    pair.server.core.reply(pair.server.calls.pop(), b'\xc0')
    pair.run()
    pair.client.events.clear()
    pair.server.events.clear()


def at_rest(pair):
    quiescent(pair.client, [pair.to_server])
    quiescent(pair.server, [pair.to_client])


def sides(pair, direction):
    """(caller, callee, whom the caller calls)."""
    if direction == 'up':
        return pair.client, pair.server, None
    return pair.server, pair.client, pair.to_client


both_ways = pytest.mark.parametrize('direction', ['up', 'down'])


# ---------------------------------------------------------------------- hello


def test_hello():
    clock = Clock()
    client = Program(clock, server=False, agent='c', limits=Limits(max_message=1000))
    server = Program(clock, server=True, agent='s', limits=Limits(max_message=2000))
    pair = Wire(client, server).start()
    assert client.kinds == ['READY']
    assert server.kinds == ['READY']
    assert pair.up.types == [wire.HELLO]
    assert pair.down.types == [wire.WELCOME]
    assert pair.to_server.max_message == 2000
    assert pair.to_client.max_message == 1000
    assert pair.to_server.hello['agent'] == 's'
    assert pair.to_client.hello['agent'] == 'c'


def test_calls_wait_for_welcome():
    """Only then is it certain that this server takes them."""
    pair = Wire()
    pair.client.call('early')
    pair.connect()
    pair.client.call('next')
    pair.client.flush()
    assert pair.up.types == [wire.HELLO]
    pair.run()
    assert pair.up.types == [wire.HELLO, wire.CALL, wire.CALL]
    assert len(pair.up.sent) == 2
    assert [call.name for call in pair.server.calls] == ['early', 'next']


def test_the_service_of_that_name():
    clock = Clock()
    pair = Wire(
        Program(clock, server=False, name='red'),
        Program(clock, server=True, name='red'),
    ).start()
    assert pair.down.types == [wire.WELCOME]


def test_another_service():
    clock = Clock()
    pair = Wire(
        Program(clock, server=False, name='blue'),
        Program(clock, server=True, name='red'),
    ).connect()
    handle = pair.client.call()
    pair.run()
    assert pair.server.calls == []
    assert pair.down.types == [wire.REJECT]
    assert pair.client.kinds == ['REFUSED', 'FAILED']
    text = str(pair.client.failure(handle))
    assert "this server is 'red', the client looks for 'blue'" in text
    at_rest(pair)


def test_who_calls_another_service_in_lockstep():
    clock = Clock()
    pair = Wire(
        Program(clock, server=False, name='blue', lockstep=True),
        Program(clock, server=True, name='red'),
    ).connect()
    handle = pair.client.call(peer=pair.to_server)
    pair.run()
    assert pair.server.calls == []
    assert pair.down.types == [wire.REJECT, wire.ERROR]
    error = pair.client.error(handle)
    assert error['type'] == 'pseud.NotSentError'
    assert "this server is 'red', the client looks for 'blue'" in error['message']
    at_rest(pair)


# ---------------------------------------------------------------------- calls


@both_ways
def test_a_result(pair, direction):
    caller, callee, peer = sides(pair, direction)
    handle = caller.call('a.b', peer=peer)
    pair.run()
    (call,) = callee.calls
    assert (call.name, bytes(call.body)) == ('a.b', ARGS)
    callee.core.reply(call, b'\x2a')
    pair.run()
    assert caller.result(handle) == b'\x2a'
    assert caller.outcome(handle)[4] == pair.protocol
    at_rest(pair)


@both_ways
def test_an_error(pair, direction):
    caller, callee, peer = sides(pair, direction)
    handle = caller.call(peer=peer)
    pair.run()
    callee.core.reply_error(callee.calls[0], b'packed')
    pair.run()
    kind, _, body, _, protocol = caller.outcome(handle)
    assert (kind, body, protocol) == (ev.ERROR, b'packed', pair.protocol)
    at_rest(pair)


@both_ways
def test_many_calls_answered_in_another_order(pair, direction):
    caller, callee, peer = sides(pair, direction)
    handles = [caller.call(f'f{n}', peer=peer) for n in range(200)]
    pair.run()
    assert [call.name for call in callee.calls] == [f'f{n}' for n in range(200)]
    for call in reversed(callee.calls):
        callee.core.reply(call, call.name.encode())
    pair.run()
    for number, handle in enumerate(handles):
        assert caller.result(handle) == b'f%d' % number
    at_rest(pair)


def test_calls_within_calls(pair):
    """A handler calls its caller, who calls back, to any depth."""
    depth = 20
    outer = [pair.client.call('0')]
    for level in range(1, depth):
        pair.run()
        caller, _, peer = sides(pair, 'down' if level % 2 else 'up')
        outer.append(caller.call(str(level), peer=peer))
    pair.run()
    for level in reversed(range(depth)):
        caller, callee, _ = sides(pair, 'down' if level % 2 else 'up')
        (call,) = (c for c in callee.calls if c.name == str(level))
        callee.core.reply(call, call.name.encode())
        pair.run()
        assert caller.result(outer[level]) == b'%d' % level
    at_rest(pair)


@both_ways
@pytest.mark.parametrize('size', [0, 1, wire.LARGE - 1, wire.LARGE, 3 * BATCH])
def test_bodies_of_any_size(pair, direction, size):
    caller, callee, peer = sides(pair, direction)
    # v1 bodies are msgpack throughout: (args, kwargs) behind one byte of array
    body = b'\x92' + b'x' * size
    handle = caller.call(peer=peer, body=body)
    pair.run()
    (call,) = callee.calls
    assert bytes(call.body) == body
    callee.core.reply(call, body)
    pair.run()
    assert caller.result(handle) == body
    at_rest(pair)


@both_ways
def test_buffers_travel_apart_from_the_body(pair2, direction):
    caller, callee, peer = sides(pair2, direction)
    buffers = [b'', b'1', memoryview(b'23'), bytearray(b'456'), b'x' * wire.LARGE]
    handle = caller.call(peer=peer, buffers=buffers)
    other = caller.call('other', peer=peer, body=b'y' * wire.LARGE, buffers=[b'z'])
    pair2.run()
    first, second = callee.calls
    assert [bytes(b) for b in first.buffers] == [bytes(b) for b in buffers]
    assert first.body == ARGS
    assert (second.body, second.buffers) == (b'y' * wire.LARGE, [b'z'])
    callee.core.reply(second, b'', [b'out', b'of band'])
    callee.core.reply(first, b'x' * wire.LARGE, buffers)
    pair2.run()
    _, _, body, got, _ = caller.outcome(other)
    assert (body, got) == (b'', [b'out', b'of band'])
    _, _, body, got, _ = caller.outcome(handle)
    assert body == b'x' * wire.LARGE
    assert [bytes(b) for b in got] == [bytes(b) for b in buffers]
    at_rest(pair2)


def test_one_turn_is_one_message_each_way(pair2):
    before = len(pair2.up.sent), len(pair2.down.sent)
    for _ in range(50):
        pair2.client.call()
    pair2.run()
    for call in pair2.server.calls:
        pair2.server.core.reply(call, b'')
    pair2.run()
    assert (len(pair2.up.sent), len(pair2.down.sent)) == (before[0] + 1, before[1] + 1)


def test_more_than_a_batch_is_several_messages(pair2):
    before = len(pair2.up.sent)
    for _ in range(100):
        pair2.client.call(body=b'x' * 10_000)
    pair2.run()
    assert len(pair2.up.sent) - before == 1_000_000 // BATCH + 1
    assert len(pair2.server.calls) == 100


def test_ping(pair2):
    pair2.client.core.ping(pair2.to_server, 7)
    pair2.server.core.ping(pair2.to_client, 8)
    pair2.run()
    assert pair2.up.messages[1:] == [(wire.PING, 7), (wire.PONG, 8)]
    assert pair2.down.messages[1:] == [(wire.PING, 8), (wire.PONG, 7)]
    assert pair2.client.kinds[1:] == pair2.server.kinds[1:] == ['BEAT', 'BEAT']


# ---------------------------------------------------------------------- deadlines


@both_ways
def test_the_caller_gives_up(pair, direction):
    caller, callee, peer = sides(pair, direction)
    handle = caller.call(peer=peer, timeout=5)
    pair.run()
    pair.clock.now += 5
    caller.expire()
    failure = caller.failure(handle)
    assert type(failure) is TimeoutError
    assert 'may have run' in str(failure)
    pair.run()
    if pair.protocol == 2:
        assert callee.aborted == callee.calls
    else:  # v1 has no cancellation: it runs, and its answer comes late
        callee.core.reply(callee.calls[0], b'late')
        pair.run()
        assert caller.core.late == 1
    at_rest(pair)


@both_ways
def test_the_callee_gives_up(pair2, direction):
    caller, callee, peer = sides(pair2, direction)
    handle = caller.call(peer=peer, timeout=5)
    pair2.run()
    pair2.clock.now += 5.002
    callee.expire()
    assert callee.events[-1] == (ev.ABORT, callee.calls[0], 'its deadline has passed')
    callee.core.reply(callee.calls[0], b'too late')
    pair2.run()
    assert handle not in caller.outcomes
    caller.expire()
    assert type(caller.failure(handle)) is TimeoutError
    pair2.run()
    at_rest(pair2)


def test_the_callee_never_gives_up_first(pair2):
    """It would stop what its caller still waits for."""
    for microseconds in range(1, 3000, 37):
        pair2.client.call(timeout=1 + microseconds / 1e6)
    pair2.run()
    ours = [entry[1] for entry in pair2.client.core.pending.values()]
    theirs = [call.deadline for call in pair2.server.calls]
    assert all(mine <= other for mine, other in zip(ours, theirs, strict=True))
    assert all(o - m < 0.0011 for m, o in zip(ours, theirs, strict=True))


def test_no_timeout_is_none(pair):
    handle = pair.client.call(timeout=None)
    pair.run()
    pair.pass_time(1e8)
    assert pair.server.calls[0].deadline is None
    assert handle not in pair.client.outcomes


def test_waiting_for_a_connection_takes_from_the_time():
    pair = Wire()
    late = pair.client.call('late', timeout=3)
    pair.client.call('f', timeout=10)
    pair.client.call('patient', timeout=None)
    pair.clock.now += 4
    pair.start()
    assert [call.name for call in pair.server.calls] == ['f', 'patient']
    assert pair.server.calls[0].deadline == pytest.approx(pair.clock.now + 6, abs=0.01)
    assert pair.server.calls[1].deadline is None
    pair.client.expire()
    failure = pair.client.failure(late)
    assert type(failure) is NotSentTimeoutError
    assert 'did not run' in str(failure)


def test_no_connection_in_time():
    client = Program(server=False)
    client.core.waits_for = 'tcp://there'
    handle = client.call('f', timeout=3)
    client.clock.now += 3
    client.expire()
    failure = client.failure(handle)
    assert type(failure) is NotSentTimeoutError
    assert isinstance(failure, NotSentError)
    assert str(failure) == (
        'f() was not sent within 3 s: not connected to tcp://there; it did not run'
    )
    quiescent(client, [])
    pair = Wire(client).start()
    assert pair.server.calls == []


@both_ways
def test_what_did_not_leave_in_time_did_not_run(pair, direction):
    """The pipe is full: no sooner is the call given up than it is out of the queue."""
    caller, callee, peer = sides(pair, direction)
    pipe = pair.up if direction == 'up' else pair.down
    pipe.block()
    stuck = caller.call('stuck', peer=peer, timeout=3, body=b'\x92' + b'x' * wire.LARGE)
    kept = caller.call('kept', peer=peer, timeout=9)
    caller.flush()
    pair.clock.now += 4
    caller.expire()
    failure = caller.failure(stuck)
    assert type(failure) is NotSentTimeoutError
    assert 'stuck() could not leave' in str(failure)
    pair.unblock()
    pair.run()
    (call,) = callee.calls
    assert call.name == 'kept'
    if pair.protocol == 2:
        assert call.deadline == pytest.approx(pair.clock.now + 5, abs=0.01)
        assert wire.CANCEL not in pipe.types
    callee.core.reply(call, b'x')
    pair.run()
    assert caller.result(kept) == b'x'
    at_rest(pair)


def test_due_before_it_could_leave_in_the_same_turn(pair):
    """A turn that was busy for long: nothing was sent yet, and now it is too late."""
    handle = pair.client.call(timeout=1)
    other = pair.client.call('other')
    pair.clock.now += 2
    pair.client.expire()
    pair.run()
    assert type(pair.client.failure(handle)) is NotSentTimeoutError
    assert [call.name for call in pair.server.calls] == ['other']
    assert other not in pair.client.outcomes


# ---------------------------------------------------------------------- cancellation


@both_ways
def test_cancelling_what_runs(pair2, direction):
    caller, callee, peer = sides(pair2, direction)
    handle = caller.call(peer=peer)
    pair2.run()
    caller.cancel(handle)
    pair2.run()
    assert callee.events[-1] == (ev.ABORT, callee.calls[0], 'its caller cancelled it')
    callee.core.reply(callee.calls[0], b'nobody wants this')
    pair2.run()
    assert caller.outcomes == {}
    assert caller.core.late == 0
    at_rest(pair2)


def test_cancelling_before_it_was_sent(pair2):
    """It has to travel after the call, or the call would run for nobody."""
    handle = pair2.client.call()
    pair2.client.cancel(handle)
    pair2.run()
    assert pair2.up.types in ([wire.HELLO], [wire.HELLO, wire.CALL, wire.CANCEL])
    assert pair2.server.aborted == pair2.server.calls
    assert pair2.client.outcomes == {}
    at_rest(pair2)


def test_cancelling_before_there_is_a_connection():
    pair = Wire()
    handle = pair.client.call(body=b'x' * 1000)
    pair.client.cancel(handle)
    assert pair.client.core.waiting.size == 0
    pair.start()
    assert pair.server.calls == []
    at_rest(pair)


def test_cancelling_while_the_answer_is_on_its_way(pair2):
    handle = pair2.client.call()
    pair2.run()
    pair2.server.core.reply(pair2.server.calls[0], b'x')
    pair2.server.flush()
    pair2.client.cancel(handle)
    pair2.run()
    assert pair2.client.outcomes == {}
    assert pair2.client.core.late == 1
    assert pair2.server.aborted == []
    at_rest(pair2)


def test_v1_can_not_be_told_of_a_cancellation():
    pair = Wire(protocol=1).connect()
    handle = pair.client.call()
    pair.run()
    pair.client.cancel(handle)
    pair.run()
    assert len(pair.up.sent) == 1
    assert pair.server.aborted == []
    pair.server.core.reply(pair.server.calls[0], b'\xc0')
    pair.run()
    assert pair.client.core.late == 1
    at_rest(pair)


# ---------------------------------------------------------------------- loss


@both_ways
def test_losing_the_connection(pair, direction):
    caller, callee, peer = sides(pair, direction)
    running = caller.call('running', peer=peer)
    pair.run()
    pipe = pair.up if direction == 'up' else pair.down
    on_its_way = caller.call('on its way', peer=peer)
    caller.flush()
    pipe.block()
    waits = caller.call('waits', peer=peer)
    caller.flush()
    unflushed = caller.call('unflushed', peer=peer)
    pair.drop('pulled the plug')
    for handle in (running, on_its_way):
        failure = caller.failure(handle)
        assert type(failure) is PeerLostError
        assert 'may have run' in str(failure)
        assert 'pulled the plug' in str(failure)
    assert [call.name for call in callee.calls] == ['running']
    assert callee.aborted == callee.calls
    if direction == 'up':  # any server may take them
        pair.connect().run()
        assert [call.name for call in callee.calls[1:]] == ['waits', 'unflushed']
        for call in callee.calls[1:]:
            callee.core.reply(call, b'done')
        pair.run()
        assert [caller.result(handle) for handle in (waits, unflushed)] == [b'done'] * 2
    else:
        for handle in (waits, unflushed):
            failure = caller.failure(handle)
            assert type(failure) is NotSentError
            assert 'did not run' in str(failure)
    assert ev.LOST in [event[0] for event in caller.events]
    assert ev.LOST in [event[0] for event in callee.events]
    at_rest(pair)


def test_nothing_stale_is_sent_on_the_next_connection(pair):
    pair.client.call('left')
    pair.client.flush()
    pair.up.block()
    fixed = pair.client.call('to this very server', peer=pair.to_server)
    pair.client.call('due', timeout=1)
    pair.client.call('moves', timeout=9)
    cancelled = pair.client.call('cancelled')
    pair.client.flush()
    pair.client.cancel(cancelled)
    pair.drop()
    pair.pass_time(2)
    pair.connect()
    pair.client.call('new')
    pair.run()
    assert type(pair.client.failure(fixed)) is NotSentError
    assert [call.name for call in pair.server.calls] == ['moves', 'new']
    if pair.protocol == 2:
        assert wire.CANCEL not in pair.up.types
        (moved, _) = pair.server.calls
        assert moved.deadline == pytest.approx(pair.client.clock.now + 7, abs=0.01)


def test_an_answer_to_the_last_connection_is_not_sent_on_the_next(pair):
    pair.client.call()
    pair.run()
    (call,) = pair.server.calls
    pair.drop()
    pair.start()
    pair.server.core.reply(call, b'too late')
    pair.server.core.fail(call, 'X', 'too late')
    pair.run()
    assert pair.client.core.late == 0
    assert not pair.down.sent or pair.down.types == [wire.WELCOME]


def test_one_lost_peer_costs_the_others_nothing():
    server = Program(server=True)
    first, second = Wire(server=server).start(), Wire(server=server).start()
    handles = [server.call(peer=wire_.to_client) for wire_ in (first, second)]
    kept = second.client.call()
    first.client.call()
    first.run()
    second.run()
    first.drop()
    assert type(server.failure(handles[0])) is PeerLostError
    for call in server.calls:
        server.core.reply(call, b'1')
    second.client.core.reply(second.client.calls[0], b'2')
    second.run()
    assert second.client.result(kept) == b'1'
    assert server.result(handles[1]) == b'2'
    quiescent(server, [first.to_client, second.to_client])


@pytest.mark.parametrize('protocol', [1, 2])
def test_an_answer_of_another_peer_than_the_called_one(protocol):
    """Ids are no secret: only who was called may answer."""
    server = Program(server=True)
    called = Wire(server=server, protocol=protocol).start()
    other = Wire(server=server, protocol=protocol).start()
    if protocol == 1:
        greet(called)
        greet(other)
    handle = server.call(peer=called.to_client)
    server.flush()
    called.deliver_down()
    called.client.core.reply(called.client.calls[0], b'genuine')
    called.client.flush()
    genuine = called.up.queue[-1]
    other.inject_up(genuine)
    assert server.outcomes == {}
    assert server.core.late == 1
    called.run()
    assert server.result(handle) == b'genuine'


# ---------------------------------------------------------------------- drain


@both_ways
def test_drain(pair2, direction):
    caller, callee, peer = sides(pair2, direction)
    pipe = pair2.up if direction == 'down' else pair2.down
    running = caller.call('running', peer=peer)
    pair2.run()
    callee.core.drain('it is stopping')
    callee.core.drain('said twice')
    # in ignorance, before the news arrives
    crossing = caller.call('crossing', peer=peer)
    caller.flush()
    assert callee.core.parting
    pair2.run()
    assert not callee.core.parting
    assert pipe.types.count(wire.GOAWAY) == 1
    assert caller.events[-2][0] == ev.AWAY
    assert caller.events[-2][2] == 'it is stopping'
    assert [call.name for call in callee.calls] == ['running', 'crossing']
    with pytest.raises(NotSentError, match='it is stopping'):
        caller.call('too late', peer=peer or pair2.to_server)
    assert not callee.core.idle
    # what runs may call back, and finishes
    back = callee.call('back', peer=None if direction == 'down' else pair2.to_client)
    pair2.run()
    caller.core.reply(caller.calls[0], b'1')
    pair2.run()
    assert callee.result(back) == b'1'
    for call in callee.calls:
        callee.core.reply(call, b'2')
    pair2.run()
    assert caller.result(running) == caller.result(crossing) == b'2'
    assert callee.core.idle
    at_rest(pair2)


def test_who_connects_while_we_drain_is_told():
    server = Program(server=True)
    server.core.drain('it is stopping')
    pair = Wire(server=server).start()
    pair.client.call()
    pair.run()
    assert pair.down.types == [wire.WELCOME, wire.GOAWAY, wire.PING]
    assert server.calls == []
    assert not server.core.parting
    other = Wire(pair.client).start()
    assert len(other.server.calls) == 1


def test_who_goes_on_calling_is_refused():
    pair = Wire().start()
    pair.server.core.drain('it is stopping')
    pair.run()
    pair.to_server.closed = False
    handle = pair.client.call()
    pair.run()
    error = pair.client.error(handle)
    assert error['type'] == 'pseud.NotSentError'
    assert 'it is stopping' in error['message']


def test_one_in_lockstep_is_told_with_its_answer():
    pair = Wire(Program(server=False, lockstep=True)).start()
    pair.server.core.drain('it is stopping')
    pair.run()
    assert pair.down.sent == []
    handle = pair.client.call(peer=pair.to_server)
    pair.run()
    assert pair.down.types == [wire.GOAWAY, wire.ERROR]
    assert pair.client.error(handle)['type'] == 'pseud.NotSentError'
    assert pair.to_server.away == 'it is stopping'


def test_v1_is_told_by_refusal():
    pair = Wire(protocol=1).connect()
    greet(pair)
    pair.server.core.drain('it is stopping')
    handle = pair.client.call()
    pair.run()
    assert len(pair.down.sent) == 2
    kind, _, body, *_ = pair.client.outcome(handle)
    assert kind == ev.ERROR
    why = 'f() did not run: the peer takes no new calls: it is stopping'
    assert body == v1.encode_error('NotSentError', why)


# ---------------------------------------------------------------------- turn-takers


def test_one_that_speaks_in_turns():
    """A REQ socket: it takes what comes next for the answer, so nothing else may come."""
    clock = Clock()
    pair = Wire(Program(clock, server=False, lockstep=True)).connect()
    handle = pair.client.call(timeout=5)
    pair.run()
    server = pair.server
    server.core.ping(pair.to_client)
    server.core.drain('it is stopping')
    pair.run()
    assert pair.down.sent == []
    server.core.reply(server.calls[0], b'x')
    pair.run()
    assert pair.down.types == [wire.RESULT]
    assert pair.client.result(handle) == b'x'
    at_rest(pair)


def test_giving_up_is_not_a_turn():
    pair = Wire(Program(server=False, lockstep=True)).connect()
    cancelled = pair.client.call('cancelled')
    pair.client.call('expired', timeout=1)
    pair.run()
    sent = len(pair.up.sent)
    pair.client.cancel(cancelled)
    pair.clock.now += 2
    pair.client.expire()
    pair.run()
    assert len(pair.up.sent) == sent


def test_a_turn_is_one_message_of_any_size():
    pair = Wire(Program(server=False, lockstep=True)).connect()
    sizes = [BATCH, 10, BATCH]
    for size in sizes:
        pair.client.call(body=b'x' * size)
    pair.run()
    assert len(pair.up.sent) == 1
    assert [len(call.body) for call in pair.server.calls] == sizes


def test_what_it_looks_for_is_answered_in_turn():
    clock = Clock()
    client = Program(clock, server=False, lockstep=True, name='blue')
    pair = Wire(client, Program(clock, server=True, name='red')).connect()
    handle = client.call()
    pair.run()
    assert len(pair.down.sent) == 1
    assert client.error(handle)['type'] == 'pseud.NotSentError'


def test_a_turn_may_be_a_ping():
    """What answers it, is all that such a peer ever learns of the server."""
    clock = Clock()
    client = Program(clock, server=False, lockstep=True)
    server = Program(clock, server=True, name='red', agent='s/2')
    pair = Wire(client, server).connect()
    client.core.ping(pair.to_server)
    pair.run()
    assert pair.up.types == [wire.HELLO, wire.PING]
    assert len(pair.up.sent) == len(pair.down.sent) == 1
    assert pair.down.types == [wire.WELCOME, wire.PONG]
    assert client.kinds == ['READY', 'BEAT']
    assert pair.to_server.hello['name'] == 'red'
    assert pair.to_server.hello['agent'] == 's/2'
    handle = client.call(peer=pair.to_server)
    pair.run()
    server.core.reply(server.calls[0], b'x')
    pair.run()
    assert client.result(handle) == b'x'
    assert pair.to_client.closed  # it can not be called
    server.core.drain('it is stopping')
    client.core.ping(pair.to_server)
    pair.run()
    assert len(pair.down.sent) == 3
    assert pair.down.types[-3:] == [wire.WELCOME, wire.GOAWAY, wire.PONG]
    assert pair.to_server.away == 'it is stopping'
    at_rest(pair)


def test_a_ping_of_another_service_is_one_turn():
    clock = Clock()
    client = Program(clock, server=False, lockstep=True, name='blue')
    pair = Wire(client, Program(clock, server=True, name='red')).connect()
    client.core.ping(pair.to_server)
    pair.run()
    assert len(pair.down.sent) == 1
    assert pair.down.types == [wire.REJECT, wire.PONG]
    assert "this server is 'red'" in pair.to_server.rejected


# ---------------------------------------------------------------------- v1's own


def test_v1_refusal():
    pair = Wire(protocol=1).connect()
    handle = pair.client.call()
    pair.client.flush()
    uid = bytes(pair.up.sent[0][1])
    pair.inject_down([v1.VERSION, uid, v1.UNAUTHORIZED, b'who are you?'])
    assert type(pair.client.failure(handle)) is UnauthorizedError
    quiescent(pair.client, [pair.to_server])


def test_old_and_new_clients_of_one_server():
    server = Program(server=True)
    old, new = Wire(server=server, protocol=1).start(), Wire(server=server).start()
    handles = [(each, each.client.call(str(each.protocol))) for each in (old, new)]
    old.run()
    new.run()
    for call in server.calls:
        server.core.reply(call, call.name.encode())
    old.run()
    new.run()
    for each, handle in handles:
        assert each.client.result(handle) == b'%d' % each.protocol
