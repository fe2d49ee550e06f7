"""One endpoint by itself: bounds, deadlines, and what a call fails with."""

import math

import pytest
from helpers import ARGS, Clock, Program, Wire, invariants, quiescent

from pseud._core import events as ev
from pseud._core import v1, wire
from pseud._core.endpoint import Endpoint
from pseud._core.limits import Limits
from pseud._core.peer import InboundCall, Peer
from pseud.errors import (
    LocalProtocolError,
    MessageTooLargeError,
    NotSentError,
    NotSentTimeoutError,
    OverloadedError,
    PeerLostError,
    TimeoutError,
)


def pair_with(**limits):
    """Client and server, both with these limits, hellos exchanged."""
    clock, limits = Clock(), Limits(**limits)
    client = Program(clock, server=False, limits=limits)
    server = Program(clock, server=True, limits=limits)
    return Wire(client, server).start()


def refused(error, program, **how):
    """The call fails with exactly this error, and nothing of it is left."""
    before = dict(program.core.pending)
    with pytest.raises(error) as caught:
        program.call('f', **how)
    assert type(caught.value) is error
    assert 'f()' in str(caught.value)
    assert program.core.pending == before
    return str(caught.value)


# ---------------------------------------------------------------------- hello


def test_what_is_told_in_hello():
    limits = Limits(max_message=1000, max_calls_per_peer=5)
    core = Endpoint(server=False, name='service', limits=limits, agent='pseud/2')
    assert core.hello() == {
        'versions': [2],
        'name': 'service',
        'agent': 'pseud/2',
        'max_message': 1000,
        'max_calls': 5,
    }
    assert Endpoint(server=False, lockstep=True).hello()['lockstep'] is True


def test_a_server_waits_for_hello():
    program = Program(server=True)
    peer = Peer('x', program.core.limits)
    program.core.connected(peer, 0)
    assert peer.outbox == []


def test_labels():
    limits = Limits()
    peer = Peer(b'key', limits, user_id='alice')
    assert repr(peer) == "<Peer b'key' user_id='alice' connecting>"
    peer.ready = True
    assert repr(Peer('key', limits, label='the server')) == (
        '<Peer the server user_id=None connecting>'
    )
    assert repr(peer).endswith('ready>')
    peer.gone = True
    assert repr(peer).endswith('gone>')


def test_calls_of_ones_own_class():
    class Job(InboundCall):
        __slots__ = ('more',)

    pair = Wire(server=Program(server=True, make_call=Job)).start()
    pair.client.call()
    pair.run()
    assert type(pair.server.calls[0]) is Job


# ---------------------------------------------------------------------- ids


def test_ids_differ_by_side_and_do_not_repeat():
    pair = Wire().start()
    ours = [pair.client.call().id for _ in range(5)]
    theirs = [pair.server.call(peer=pair.to_client).id for _ in range(5)]
    assert all(call_id % 2 for call_id in ours)
    assert not any(call_id % 2 for call_id in theirs)
    assert len({*ours, *theirs}) == 10


# ---------------------------------------------------------------------- whom to call


def test_the_least_busy_peer_is_called():
    client = Program(server=False)
    first, second, third = (Wire(client).start() for _ in range(3))
    for _ in range(9):
        client.call()
    assert [each.to_server.in_flight for each in (first, second, third)] == [3, 3, 3]
    client.flush()
    first.drop()
    client.call()
    client.call()
    assert (second.to_server.in_flight, third.to_server.in_flight) == (4, 4)


def test_equals_take_turns():
    client = Program(server=False)
    pairs = [Wire(client).start() for _ in range(3)]
    for _ in range(6):
        client.call()
        for pair in pairs:
            pair.run()
            for call in pair.server.calls:
                pair.server.core.reply(call, b'')
            pair.run()
    assert [len(pair.server.calls) for pair in pairs] == [2, 2, 2]


def test_who_lets_calls_wait_for_too_long_comes_last():
    client = Program(server=False)
    slow, quick = Wire(client).start(), Wire(client).start()
    first, second = client.call('first', timeout=1), client.call('second', timeout=9)
    client.flush()
    assert len(slow.up.queue) == len(quick.up.queue) == 1
    slow.pass_time(2)
    assert type(client.failure(first)) is TimeoutError
    client.call()
    client.call()
    assert (slow.to_server.in_flight, quick.to_server.in_flight) == (0, 3)
    slow.server.core.ping(slow.to_client)  # there it is
    slow.run()
    client.call()
    assert (slow.to_server.in_flight, quick.to_server.in_flight) == (1, 3)
    assert second not in client.outcomes


def test_who_does_not_read_comes_last():
    client = Program(server=False)
    stuck, free = Wire(client).start(), Wire(client).start()
    stuck.up.block()
    client.call()
    client.call()
    client.flush()
    client.call()
    client.call()
    assert (stuck.to_server.in_flight, free.to_server.in_flight) == (1, 3)


def test_unsent_calls_move_to_whoever_is_connected():
    client = Program(server=False)
    lost, here = Wire(client).start(), Wire(client).start()
    large, buffer = b'x' * wire.LARGE, memoryview(b'y' * 10)
    client.call(body=large, buffers=[buffer])
    client.call()
    client.call(body=b'small', buffers=[buffer])
    client.call()
    assert (lost.to_server.in_flight, here.to_server.in_flight) == (2, 2)
    lost.lose_client()
    assert here.to_server.in_flight == 4
    here.run()
    bodies = {bytes(call.body) for call in here.server.calls}
    assert bodies == {large, b'small', ARGS}
    for call in here.server.calls:
        assert [bytes(each) for each in call.buffers] == (
            [] if call.body == ARGS else [bytes(buffer)]
        )


def test_unsent_calls_move_when_their_peer_goes_away():
    client = Program(server=False)
    away, here = Wire(client).start(), Wire(client).start()
    handles = [client.call(), client.call()]
    away.server.core.drain('it restarts')
    away.server.flush()
    away.deliver_down()
    assert (away.to_server.in_flight, here.to_server.in_flight) == (0, 2)
    away.run()
    here.run()
    assert away.server.calls == []
    assert len(here.server.calls) == len(handles)


def test_calls_that_moved_wait_within_bounds():
    client = Program(server=False, limits=Limits(max_calls_per_peer=2))
    pairs = [Wire(client).start() for _ in range(2)]
    handles = [client.call() for _ in range(4)]
    for pair in pairs:
        pair.lose_client()
    waiting = [handle for handle in handles if handle not in client.outcomes]
    assert len(waiting) == 2
    for handle in handles:
        if handle not in waiting:
            assert isinstance(client.failure(handle), NotSentError)


def test_calls_that_waited_and_find_a_peer_that_does_not_take_them():
    client = Program(server=False)
    handles = [client.call(), client.call(body=b'x' * 100), client.call()]
    server = Program(client.clock, server=True, limits=Limits(max_message=50))
    pair = Wire(client, server)
    pair.client.core.credentials = ('alice', 'secret')  # so that its limits come first
    pair.start()
    assert type(client.failure(handles[1])) is MessageTooLargeError
    assert len(server.calls) == 2


def test_peers_that_do_not_read_share_a_bound():
    server = Program(server=True, limits=Limits(max_queued=100_000))
    pairs = [Wire(server=server).start() for _ in range(4)]
    for pair in pairs:
        for _ in range(2):
            pair.client.call()
        pair.run()
        pair.down.block()
        for body in (b'', b'x' * 60_000):  # the first meets the full pipe
            server.core.reply(server.calls.pop(0), body)
            server.flush()
    first, second, *_ = pairs
    stuck = server.core.stuck
    assert 60_000 < stuck < 70_000
    server.retry(first.to_client)  # no room yet
    assert server.core.stuck == stuck
    text = refused(OverloadedError, server, peer=second.to_client, body=b'x' * 60_000)
    assert 'max_queued' in text
    free = Wire(server=server).start()
    server.call(peer=free.to_client, body=b'x' * 90_000)  # who reads is not concerned
    first.unblock()
    assert server.core.stuck < 5_000
    for pair in pairs:
        pair.drop()
    assert server.core.stuck == 0


def test_one_that_takes_no_calls_is_passed_over():
    client = Program(server=False)
    away, here = Wire(client).start(), Wire(client).start()
    away.server.core.drain('it restarts')
    away.run()
    client.call()
    client.call()
    assert here.to_server.in_flight == 2


def test_with_all_away_a_call_waits_for_another():
    pair = Wire().start()
    pair.server.core.drain('it restarts')
    pair.run()
    handle = pair.client.call()
    other = Wire(pair.client).start()
    assert other.to_server.in_flight == 1
    assert [call.name for call in other.server.calls] == [handle.name]


def test_a_call_that_no_other_came_for_says_why_it_waited():
    pair = Wire().start()
    pair.server.core.drain('it restarts')
    pair.run()
    handle = pair.client.call(timeout=1)
    pair.pass_time(1)
    failure = pair.client.failure(handle)
    assert type(failure) is NotSentTimeoutError
    assert 'the server takes no new calls (it restarts)' in str(failure)


# ---------------------------------------------------------------------- our bounds


def test_calls_in_flight_to_a_peer():
    pair = pair_with(max_calls_per_peer=3)
    for _ in range(3):
        pair.client.call()
    assert '3 calls are in flight' in refused(OverloadedError, pair.client)
    pair.run()
    pair.server.core.reply(pair.server.calls[0], b'')
    pair.run()
    pair.client.call()


def test_calls_in_flight_in_all():
    pair = pair_with(max_calls=3)
    for _ in range(3):
        pair.client.call()
    assert 'max_calls' in refused(OverloadedError, pair.client)


def test_a_message_too_large_for_the_peer():
    server = Program(server=True, limits=Limits(max_message=1000))
    pair = Wire(server=server).start()
    text = refused(MessageTooLargeError, pair.client, body=b'x' * 1001)
    assert '1001 bytes' in text
    assert 'the limit of the server' in text
    refused(MessageTooLargeError, pair.client, body=b'x' * 901, buffers=[b'y' * 100])
    views = [memoryview(bytes(400)).cast('H')]
    refused(MessageTooLargeError, pair.client, body=b'x' * 700, buffers=views)
    pair.client.call(body=b'x' * 900, buffers=[b'y' * 100])
    pair.run()
    assert len(pair.server.calls) == 1


def test_a_message_too_large_while_nobody_is_there():
    client = Program(server=False, limits=Limits(max_message=1000))
    text = refused(MessageTooLargeError, client, body=b'x' * 1001)
    assert 'the limit here' in text


def test_bytes_that_wait_for_a_slow_reader():
    pair = pair_with(max_queue=10_000)
    pair.up.block()
    for _ in range(3):
        pair.client.call(body=b'x' * 3000)
        pair.client.flush()
    text = refused(OverloadedError, pair.client, body=b'x' * 3000)
    assert 'reads too slowly' in text
    pair.unblock()
    pair.client.call(body=b'x' * 3000)


def test_calls_that_wait_for_a_connection():
    client = Program(server=False, limits=Limits(max_calls_per_peer=3))
    client.core.waits_for = 'tcp://there'
    for _ in range(3):
        client.call()
    text = refused(OverloadedError, client)
    assert 'tcp://there' in text
    assert '3 calls' in text


def test_bytes_that_wait_for_a_connection():
    client = Program(server=False, limits=Limits(max_queue=10_000))
    handles = [client.call(body=b'x' * 5000) for _ in range(2)]
    refused(OverloadedError, client, body=b'x')
    client.cancel(handles[0])
    client.call(body=b'x' * 5000)


# ---------------------------------------------------------------------- their bounds


def answer(pair, message, *frames):
    """What the server says to this, when it comes from a client that obeys nobody."""
    before = len(pair.server.calls)
    pair.inject_up([wire.encode([message]), *frames])
    assert len(pair.server.calls) == before
    pair.server.flush()
    kind, call_id, count, body = pair.down.messages[-1]
    assert (kind, call_id, count) == (wire.ERROR, message[1], 0)
    invariants(pair.server, {pair.to_client, *pair.server.core.peers.values()})
    return body


def call(number, body=ARGS, buffers=0):
    return (wire.CALL, number, buffers, body, 'f')


def test_calls_of_one_peer():
    pair = pair_with(max_calls_per_peer=2)
    pair.inject_up([wire.encode([call(101), call(103)])])
    body = answer(pair, call(105))
    assert b'pseud.OverloadedError' in body
    assert b'did not run' in body
    assert b'2 calls of this caller' in body
    assert b'Limits(max_calls_per_peer=...)' in body
    assert len(pair.server.calls) == 2


def test_calls_of_all_peers():
    pair = pair_with(max_calls=2)
    pair.inject_up([wire.encode([call(101)])])
    other = Wire(server=pair.server).start()
    other.inject_up([wire.encode([call(101)])])
    body = answer(pair, call(103))
    assert b'2 calls run at the peer' in body
    assert b'Limits(max_calls=...)' in body
    assert b'pseud.OverloadedError' in answer(other, call(103))


LARGE = b'x' * wire.LARGE


def test_large_calls_of_one_peer():
    """As many bytes of them wait here as may wait to be sent; small ones are few enough."""
    pair = pair_with(max_queue=2 * wire.LARGE + 100)
    frames = [memoryview(LARGE)]
    pair.inject_up([wire.encode([call(101, None, 1), call(103, None, 1)]), *2 * frames])
    assert len(pair.server.calls) == 2
    body = answer(pair, call(105, None, 1), *frames)
    assert b'pseud.OverloadedError' in body
    assert f'{2 * wire.LARGE} bytes of this caller'.encode() in body
    assert b'max_queue' in body
    pair.inject_up([wire.encode([call(107)])])
    assert len(pair.server.calls) == 3
    pair.server.core.reply(pair.server.calls[0], b'')
    pair.inject_up([wire.encode([call(109, None, 1)]), *frames])
    assert len(pair.server.calls) == 4
    pair.drop()
    invariants(pair.server, pair.server.core.peers.values())
    assert pair.server.core.large == 0


def test_large_calls_of_all_peers():
    pair = pair_with(max_queued=wire.LARGE)
    pair.inject_up([wire.encode([call(101, None, 1)]), memoryview(LARGE)])
    other = Wire(server=pair.server).start()
    body = answer(other, call(101, None, 1), memoryview(LARGE))
    assert b'pseud.OverloadedError' in body
    assert b'max_queued' in body
    other.inject_up([wire.encode([call(103)])])
    assert len(pair.server.calls) == 2


@pytest.mark.parametrize(
    ('inline', 'frames'),
    [
        pytest.param(b'x' * 1001, [], id='inline'),
        pytest.param(None, [b'x' * 1001], id='own frame'),
        pytest.param(b'x' * 901, [b'y' * 100], id='buffer'),
        pytest.param(None, [b'x' * 500, b'y' * 250, b'z' * 251], id='buffers'),
    ],
)
def test_size_of_a_call(inline, frames):
    pair = pair_with(max_message=1000)
    body = answer(pair, call(101, inline, len(frames)), *map(memoryview, frames))
    assert b'pseud.MessageTooLargeError' in body
    assert b'1000 bytes' in body


def test_a_call_of_just_that_size():
    pair = pair_with(max_message=1000)
    pair.inject_up([wire.encode([call(101, b'x' * 1000)])])
    pair.inject_up([wire.encode([call(103, None, 2)]), b'x' * 500, b'y' * 500])
    assert len(pair.server.calls) == 2


def test_number_of_peers():
    server = Program(server=True, limits=Limits(max_peers=2))
    first, second, third = (Wire(server=server).start() for _ in range(3))
    assert len(server.core.peers) == 2
    assert not third.to_client.ready
    assert third.to_server.rejected == '2 peers are connected already, the limit'
    assert 'the limit' in refused(NotSentError, third.client)
    first.drop()
    third.drop()
    third.client.core.refusal = None
    third.start()
    assert third.to_client.ready
    assert second.to_client.ready


def test_number_of_peers_without_hello():
    server = Program(server=True, limits=Limits(max_peers=1))
    Wire(server=server).start()
    second = Wire(server=server).connect()
    assert b'pseud.NotSentError' in answer(second, call(101))
    assert len(server.core.peers) == 1


def test_a_result_too_large_for_the_caller():
    client = Program(server=False, limits=Limits(max_message=1000))
    pair = Wire(client).start()
    handle = pair.client.call()
    pair.run()
    (inbound,) = pair.server.calls
    with pytest.raises(MessageTooLargeError, match=r'result of f\(\) is 1001 bytes'):
        pair.server.core.reply(inbound, b'x' * 1001)
    with pytest.raises(MessageTooLargeError):
        pair.server.core.reply(inbound, b'x' * 901, [b'y' * 100])
    assert not inbound.done
    pair.server.core.fail(inbound, 'pseud.MessageTooLargeError', 'too large')
    pair.run()
    assert client.error(handle)['type'] == 'pseud.MessageTooLargeError'


def test_results_that_a_slow_reader_does_not_take():
    pair = pair_with(max_queue=10_000)
    pair.down.block()
    handles = [pair.client.call() for _ in range(4)]
    pair.run()
    for inbound in pair.server.calls:
        pair.server.core.reply(inbound, b'x' * 4000)
        pair.server.flush()
    pair.unblock()
    pair.run()
    assert [len(pair.client.result(handle)) for handle in handles[:2]] == [4000] * 2
    for handle in handles[2:]:
        error = pair.client.error(handle)
        assert error['type'] == 'pseud.PeerLostError'
        assert 'reads too slowly' in error['message']


# ---------------------------------------------------------------------- refusals


def test_a_peer_that_is_gone():
    pair = Wire().start()
    pair.drop()
    text = refused(NotSentError, pair.server, peer=pair.to_client)
    assert 'no longer connected' in text
    refused(NotSentError, pair.client, peer=pair.to_server)


def test_a_peer_that_speaks_in_turns():
    pair = Wire(Program(server=False, lockstep=True)).start()
    text = refused(LocalProtocolError, pair.server, peer=pair.to_client)
    assert 'SyncClient' in text


def test_a_peer_that_looks_for_another_service():
    clock = Clock()
    pair = Wire(
        Program(clock, server=False, name='blue'),
        Program(clock, server=True, name='red'),
    ).start()
    text = refused(NotSentError, pair.client)
    assert "this server is 'red', the client looks for 'blue'" in text
    refused(NotSentError, pair.client, peer=pair.to_server)
    refused(NotSentError, pair.server, peer=pair.to_client)


def test_a_peer_that_takes_no_new_calls():
    pair = Wire().start()
    pair.client.core.drain('it goes home')
    pair.run()
    text = refused(NotSentError, pair.server, peer=pair.to_client)
    assert 'it goes home' in text


@pytest.mark.parametrize('timeout', [0, -1, -math.inf])
def test_a_deadline_that_has_passed(timeout):
    """One that was inherited, say."""
    pair = Wire().start()
    refused(NotSentTimeoutError, pair.client, timeout=timeout)


# ---------------------------------------------------------------------- deadlines


@pytest.mark.parametrize('timeout', [1e9, 1e12, 1e300, math.inf])
@pytest.mark.parametrize('body', [ARGS, b'x' * wire.LARGE])
def test_timeouts_of_any_length_leave(timeout, body):
    """Milliseconds travel as an integer, and an integer has an end."""
    pair = Wire().start()
    pair.client.call(timeout=timeout, body=body)
    pair.up.block()
    pair.client.flush()  # waits, so that what is left is told anew
    pair.unblock()
    pair.run()
    assert len(pair.server.calls) == 1
    assert pair.client.expire() == []


def test_due_is_the_first_deadline():
    client = Program(server=False)
    now = client.clock.now
    assert client.core.due == math.inf
    client.call(timeout=None)
    assert client.core.due == math.inf
    client.call(timeout=7)
    assert client.core.due == now + 7
    client.call(timeout=3)
    assert client.core.due == now + 3
    client.call(timeout=5)
    assert client.core.due == now + 3


def test_due_of_calls_that_came_in():
    pair = Wire().start()
    now = pair.clock.now
    pair.inject_up([wire.encode([(wire.CALL, 101, 0, ARGS, 'f', 7000)])])
    pair.inject_up([wire.encode([(wire.CALL, 103, 0, ARGS, 'f', 9000)])])
    pair.inject_up([wire.encode([(wire.CALL, 105, 0, ARGS, 'f')])])
    assert pair.server.core.due == now + 7


def test_expire_sets_due_anew():
    clock = Clock()
    pair = Wire(clock=clock).start()
    for timeout in (1, 2, 3, None):
        pair.client.call(timeout=timeout)
    pair.run()
    for seconds in (1, 2, 3):
        clock.now = 1000 + seconds
        assert len(pair.client.expire()) == 1
        if seconds < 3:
            assert 1000 + seconds < pair.client.core.due <= 1001 + seconds + 0.001
    assert pair.client.core.due == math.inf
    # the callee has been told a millisecond more
    clock.now = 1002
    assert len(pair.server.expire()) == 1
    assert 1002 < pair.server.core.due <= 1003.01


def test_looking_for_what_is_due_leaves_time_for_other_things():
    client = Program(server=False)
    for number in range(1000):
        client.call(timeout=1 + number * 1e-6)
    client.clock.now += 1
    client.expire()
    pause = client.core.due - client.clock.now
    assert 0.001 < pause < 0.1


def test_expire_before_anything_is_due():
    client = Program(server=False)
    client.call(timeout=5)
    client.clock.now += 4.999
    assert client.expire() == []
    client.clock.now += 0.001
    assert [event[0] for event in client.expire()] == [ev.FAILED]
    assert client.expire() == []


# ---------------------------------------------------------------------- endings


def test_a_reply_is_given_once():
    pair = Wire().start()
    handle = pair.client.call()
    pair.run()
    (inbound,) = pair.server.calls
    core = pair.server.core
    core.reply(inbound, b'first')
    core.reply(inbound, b'second')
    core.fail(inbound, 'X', 'third')
    core.reply_error(inbound, b'fourth')
    core.forget(inbound)
    assert core.running == 0
    pair.run()
    assert pair.client.result(handle) == b'first'
    assert pair.down.types.count(wire.RESULT) == 1
    assert wire.ERROR not in pair.down.types


def test_forgetting_is_not_answering():
    pair = Wire().start()
    pair.client.call()
    pair.run()
    (inbound,) = pair.server.calls
    pair.server.core.forget(inbound)
    pair.server.core.reply(inbound, b'x')
    pair.run()
    assert pair.down.types == [wire.WELCOME]


def test_cancelling_what_has_ended():
    pair = Wire().start()
    handle = pair.client.call()
    pair.run()
    pair.server.core.reply(pair.server.calls[0], b'x')
    pair.run()
    pair.client.cancel(handle)
    pair.client.core.cancel(987654)
    pair.run()
    assert wire.CANCEL not in pair.up.types
    quiescent(pair.client, [pair.to_server])


def test_losing_a_peer_twice():
    pair = Wire().start()
    pair.client.call()
    assert pair.client.core.lost(pair.to_server, 'first')
    assert pair.client.core.lost(pair.to_server, 'second') == []


def test_losing_a_peer_whose_name_is_taken_by_now():
    """It connected anew before the loss was noticed."""
    program = Program(server=True)
    old, new = Peer('x', Limits()), Peer('x', Limits())
    program.core.connected(old, 0)
    program.core.connected(new, 0)
    program.core.lost(old, 'cut')
    assert program.core.peers == {'x': new}


def test_no_connection_will_come():
    client = Program(server=False)
    handles = [client.call(timeout=timeout) for timeout in (None, 5)]
    error = NotSentError('refused')
    client.handle(client.core.fail_waiting(error))
    failures = [client.failure(handle) for handle in handles]
    text = 'f() was not sent: refused; it did not run'
    assert [str(failure) for failure in failures] == [text] * 2
    assert failures[0] is not failures[1]  # or tracebacks would pile up
    quiescent(client, [])


def test_the_end():
    client = Program(server=False)
    first, second = Wire(client).start(), Wire(client).start()
    sent = client.call()
    client.flush()
    unsent = client.call()
    client.handle(client.core.fail_all('it was stopped here'))
    assert type(client.failure(sent)) is PeerLostError
    assert type(client.failure(unsent)) is NotSentError
    assert client.core.peers == {}
    quiescent(client, [first.to_server, second.to_server])


def test_the_end_of_what_waits():
    client = Program(server=False)
    handle = client.call()
    client.handle(client.core.fail_all('it was stopped here'))
    assert 'it was stopped here' in str(client.failure(handle))
    quiescent(client, [])


def test_the_end_of_what_was_due_when_the_connection_came():
    """It is not sent any more, nor is it forgotten."""
    client = Program(server=False)
    handle = client.call(timeout=1)
    client.clock.now += 2
    pair = Wire(client).start()
    client.handle(client.core.fail_all('it was stopped here'))
    assert type(client.failure(handle)) is NotSentError
    assert pair.server.calls == []
    quiescent(client, [pair.to_server])


def test_idle():
    pair = Wire().start()
    core = pair.server.core
    assert core.idle
    pair.client.call()
    pair.run()
    assert not core.idle
    core.reply(pair.server.calls[0], b'x')
    assert core.running == 0
    assert not core.idle
    pair.run()
    assert core.idle


@pytest.mark.parametrize('state', ['gone', 'lockstep', 'v1'])
def test_nobody_pings_who_can_not_answer(state):
    program = Program(server=True)
    peer = Peer('x', Limits(), protocol=1 if state == 'v1' else 2)
    program.core.connected(peer, 0)
    if state != 'v1':
        setattr(peer, state, True)
    program.core.ping(peer)
    assert peer.outbox == []


def test_errors_are_in_the_callers_words():
    """In v1's words for those who speak it, without pseud's prefix."""
    pair = Wire(protocol=1).connect()
    handle = pair.client.call()
    pair.run()
    pair.server.core.fail(pair.server.calls[0], 'pseud.SerializationError', 'why')
    pair.run()
    kind, _, body, *_ = pair.client.outcome(handle)
    assert kind == ev.ERROR
    assert body == v1.encode_error('SerializationError', 'why')


def test_a_timeout_says_which():
    pair = Wire().start()
    handle = pair.client.call('slow', timeout=1.5)
    pair.run()
    pair.pass_time(2)
    failure = pair.client.failure(handle)
    assert type(failure) is TimeoutError
    assert str(failure) == (
        'slow() got no answer from the server within 1.5 s; it may have run'
    )


# ---------------------------------------------------------------------- hostile peers


def test_an_error_too_large_for_the_caller():
    """It fails its own call, and says why, in few bytes."""
    pair = Wire(Program(server=False, limits=Limits(max_message=1000))).start()
    calls = [pair.client.call('f'), pair.client.call('g')]
    pair.run()
    pair.server.core.reply_error(pair.server.calls[0], bytes(1001))
    pair.server.core.reply(pair.server.calls[1], b'body')
    pair.run()
    fields = pair.client.error(calls[0])
    assert fields['type'] == 'pseud.MessageTooLargeError'
    assert 'f() raised something of 1001 bytes' in fields['message']
    assert pair.client.result(calls[1]) == b'body'
    quiescent(pair.server, pair.met)


@pytest.mark.parametrize('protocol', [1, 2])
def test_a_caller_who_states_that_he_accepts_nothing(protocol):
    """Any error is larger than that: it is sent all the same, once."""
    pair = Wire(Program(server=False, limits=Limits(max_message=5)), protocol=protocol)
    pair.start()
    handle = pair.client.call(body=b'\x90')
    pair.run()
    pair.server.core.reply_error(pair.server.calls[0], b'packed')
    pair.server.core.fail(pair.server.calls[0], 'pseud.PeerLostError', 'too late')
    pair.run()
    assert len(pair.client.outcomes[handle]) == 1
    quiescent(pair.server, pair.met)


def test_small_answers_are_bounded_too():
    """A peer that asks and does not read: the queue counts, not only its bytes."""
    clock, limits = Clock(), Limits(max_calls_per_peer=10, max_message=1)
    pair = Wire(server=Program(clock, server=True, limits=limits)).start()
    pair.down.block()
    for call_id in range(1, 200, 2):  # each is refused: its arguments are too large
        pair.inject_up([wire.encode([(wire.CALL, call_id, 0, ARGS, 'f')])])
        pair.server.flush()
    assert len(pair.to_client.outbox) == 40
    pair.unblock()
    assert pair.down.types.count(wire.ERROR) == 40
    pair.inject_up([wire.encode([(wire.CALL, 201, 0, ARGS, 'f')])])
    pair.run()
    assert pair.down.messages[-1][:2] == (wire.ERROR, 201)


def meet(program, key, *, watched):
    """A peer says hello; the peer, and the events of that."""
    peer = Peer(key, program.core.limits, label=key, watched=watched)
    head = wire.encode([(wire.HELLO, 0, 0, {})])
    return peer, program.handle(program.core.receive(peer, [head], 0.0))


def test_idle_peers_nobody_watches_make_room():
    """The first of them, without a word to the others."""
    program = Program(server=True, limits=Limits(max_peers=3))
    watched, _ = meet(program, 'watched', watched=True)
    busy, _ = meet(program, 'busy', watched=False)
    busy.outbox.clear()
    busy.queued = 0
    call = wire.encode([(wire.CALL, 1, 0, ARGS, 'f')])
    program.handle(program.core.receive(busy, [call], 0.0))
    idle, _ = meet(program, 'idle', watched=False)
    rejected, events = meet(program, 'too early', watched=False)
    assert rejected.closed  # as the answer to HELLO waits for the idle one
    assert events == []
    idle.outbox.clear()
    idle.queued = 0
    newcomer, events = meet(program, 'newcomer', watched=True)
    assert [(event[0], event[1]) for event in events] == [
        (ev.LOST, idle),
        (ev.READY, newcomer),
    ]
    assert idle.gone
    assert set(program.core.peers) == {'watched', 'busy', 'newcomer'}
    assert not watched.gone
    assert not busy.gone
