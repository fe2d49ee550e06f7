"""What waits to be sent: batches, splitting, weights, and what grew old in the queue."""

import pytest
from helpers import ARGS, Clock, Program, Wire

from pseud import Limits
from pseud._core import v1, wire
from pseud._core.outbox import BATCH, BATCH_COUNT, OVERHEAD, enqueue, enqueue_body
from pseud._core.peer import Peer


@pytest.fixture
def program():
    return Program(server=False)


@pytest.fixture
def peer(program):
    return Peer('peer', program.core.limits)


@pytest.fixture
def v1_peer(program):
    return Peer('peer', program.core.limits, protocol=1)


def drain(program, peer):
    """Every ØMQ message that leaves now."""
    payloads = []
    while payload := program.core.take(peer, program.clock.now):
        # encoded from the queue, which `sent` empties
        payloads.append([bytes(frame) for frame in payload])
        program.core.sent(peer)
    return payloads


def decoded(payload):
    return list(wire.decode(payload[0]))


def test_nothing_to_send(program, peer):
    assert program.core.take(peer, 0) == []


def test_one_turn_is_one_message(program, peer):
    for token in range(10):
        enqueue(program.core, peer, (wire.PING, token), 0)
    (payload,) = drain(program, peer)
    assert decoded(payload) == [(wire.PING, token) for token in range(10)]
    assert peer.queued == 0


def test_much_asks_to_leave(program, peer):
    enqueue_body(program.core, peer, wire.RESULT, 1, b'x' * (BATCH // 2))
    assert not program.core.full
    enqueue_body(program.core, peer, wire.RESULT, 2, b'x' * (BATCH // 2))
    assert program.core.full


def test_a_peer_is_dirty_once(program, peer):
    other = Peer('other', program.core.limits)
    for each in (peer, other, peer, peer, other):
        enqueue(program.core, each, (wire.PING, 0), 0)
    assert program.core.dirty == [peer, other]


def test_a_batch_asks_to_leave(program, peer):
    for token in range(BATCH_COUNT - 1):
        enqueue(program.core, peer, (wire.PING, token), 0)
    assert not program.core.full
    enqueue(program.core, peer, (wire.PING, 0), 0)
    assert program.core.full


def test_taking_twice_is_the_same_message(program, peer):
    """The first attempt met a full pipe."""
    enqueue_body(program.core, peer, wire.RESULT, 1, b'x' * wire.LARGE)
    first = program.core.take(peer, 0)
    assert program.core.take(peer, 0) == first


def test_what_came_between_waits_its_turn(program, peer):
    enqueue(program.core, peer, (wire.PING, 1), 0)
    program.core.take(peer, 0)
    enqueue(program.core, peer, (wire.PING, 2), 0)
    assert program.core.sent(peer)
    (payload,) = drain(program, peer)
    assert decoded(payload) == [(wire.PING, 2)]


@pytest.mark.parametrize('size', [1000, 50_000])
def test_more_than_a_batch_is_split(program, peer, size):
    body = b'x' * size
    count = 3 * BATCH // size
    for call_id in range(count):
        enqueue_body(program.core, peer, wire.RESULT, call_id, body)
    payloads = drain(program, peer)
    assert 3 <= len(payloads) <= 5
    messages = [m for payload in payloads for m in decoded(payload)]
    assert [m[1] for m in messages] == list(range(count))
    assert all(len(payload[0]) < BATCH + size for payload in payloads)


def test_what_exceeds_a_batch_goes_alone(program, peer):
    enqueue(program.core, peer, (wire.PING, 1), 0)
    large = b'x' * (2 * BATCH)
    enqueue_body(program.core, peer, wire.RESULT, 2, large)
    enqueue(program.core, peer, (wire.PING, 3), 0)
    first, second, third = drain(program, peer)
    assert decoded(first) == [(wire.PING, 1)]
    assert decoded(second) == [(wire.RESULT, 2, 1, None)]
    assert second[1:] == [large]
    assert decoded(third) == [(wire.PING, 3)]


def test_a_large_body_is_a_frame_of_its_own_uncopied(program, peer):
    large = b'x' * wire.LARGE
    enqueue_body(program.core, peer, wire.RESULT, 1, large)
    head, frame = program.core.take(peer, 0)
    assert frame is large
    assert wire.decode(head) == ((wire.RESULT, 1, 1, None),)


def test_a_smaller_body_is_not(program, peer):
    small = b'x' * (wire.LARGE - 1)
    enqueue_body(program.core, peer, wire.RESULT, 1, small)
    assert decoded(drain(program, peer)[0]) == [(wire.RESULT, 1, 0, small)]


def test_buffers_follow_in_order(program, peer):
    large, view = b'x' * wire.LARGE, memoryview(bytearray(range(200))).cast('H')
    enqueue_body(program.core, peer, wire.RESULT, 1, b'body', [b'1', view])
    enqueue_body(program.core, peer, wire.RESULT, 2, large, [b'3'])
    assert peer.queued == 2 * OVERHEAD + 4 + 1 + 200 + wire.LARGE + 1
    payload = program.core.take(peer, 0)
    assert decoded(payload) == [
        (wire.RESULT, 1, 2, b'body'),
        (wire.RESULT, 2, 2, None),
    ]
    assert payload[1] == b'1'
    assert payload[2] is view
    assert payload[3] is large
    assert payload[4] == b'3'


def test_buffers_are_split_with_their_messages(program, peer):
    chunks = [bytes([number]) * (BATCH // 2) for number in range(4)]
    for call_id, chunk in enumerate(chunks):
        enqueue_body(program.core, peer, wire.RESULT, call_id, b'', [chunk])
    payloads = drain(program, peer)
    assert len(payloads) > 1
    for payload in payloads:
        mine = [chunks[m[1]] for m in decoded(payload) for _ in range(m[2])]
        assert payload[1:] == mine
    assert [m[1] for p in payloads for m in decoded(p)] == [0, 1, 2, 3]
    assert peer.outbox_buffers == []
    assert peer.queued == 0


def test_weight_after_a_part_has_left(program, peer):
    for call_id in range(8):
        enqueue_body(program.core, peer, wire.RESULT, call_id, b'x' * 60_000)
    program.core.take(peer, 0)
    program.core.sent(peer)
    assert peer.queued == len(peer.outbox) * (60_000 + OVERHEAD) > 0


# ------------------------------------------------------------------ a blocked pipe


def test_what_waited_has_less_time_left():
    pair = Wire(clock=Clock()).start()
    pair.up.block()
    pair.client.call(timeout=10)
    pair.client.call(timeout=None)
    pair.client.flush()
    pair.pass_time(4)
    pair.unblock()
    timeouts = [m[5] for m in pair.up.messages if m[0] == wire.CALL]
    assert timeouts == [6001, None]


def test_what_was_cancelled_while_it_waited_stays():
    """Call, cancellation, and buffers that would go to the wrong message else."""
    pair = Wire().start()
    pair.up.block()
    large = b'x' * wire.LARGE
    cancelled = pair.client.call('cancelled', body=large)
    kept = pair.client.call('kept', body=b'y' * wire.LARGE, buffers=[b'1', b'2'])
    pair.client.flush()
    pair.client.core.ping(pair.to_server)
    pair.client.cancel(cancelled)
    before = len(pair.up.sent)
    pair.unblock()
    (payload,) = pair.up.sent[before:]
    assert decoded(payload) == [
        (wire.CALL, kept.id, 3, None, 'kept', None),
        (wire.PING, 0),
    ]
    assert payload[1:] == [b'y' * wire.LARGE, b'1', b'2']


def test_a_call_that_had_left_is_cancelled_at_the_peer():
    pair = Wire().start()
    handle = pair.client.call()
    pair.client.flush()
    pair.up.block()
    pair.client.cancel(handle)
    pair.client.flush()
    assert wire.CANCEL not in pair.up.types
    pair.unblock()
    assert pair.up.types[-1] == wire.CANCEL


@pytest.mark.parametrize('protocol', [1, 2])
def test_a_pipe_that_has_nothing_left_to_send_is_not_blocked(protocol):
    """Else nobody would ever try it again."""
    pair = Wire(protocol=protocol).start()
    pair.up.block()
    handle = pair.client.call()
    pair.client.flush()
    assert pair.to_server.blocked
    pair.client.cancel(handle)
    pair.unblock()
    assert not pair.to_server.blocked
    pair.client.call('next')
    pair.run()
    assert [call.name for call in pair.server.calls] == ['next']


def test_a_pipe_without_room_costs_nothing(monkeypatch):
    """Peers that do not read are tried all the time, however much waits for them."""
    pair = Wire().start()
    pair.up.block()
    pair.client.call()
    pair.client.flush()
    encoded = []
    encode = wire.encode
    monkeypatch.setattr(
        wire, 'encode', lambda what: encoded.append(what) or encode(what)
    )
    for _ in range(10):
        pair.client.call()
        pair.client.retry(pair.to_server)
    assert encoded == []
    before = len(pair.up.sent)
    pair.unblock()
    assert len(encoded) == 1
    assert len(pair.up.sent) == before + 1


@pytest.mark.parametrize('protocol', [1, 2])
def test_room_for_what_need_not_be_sent_is_filled_with_nothing(protocol):
    """Once a pipe has said that there is room, it gets a message."""
    pair = Wire(protocol=protocol).start()
    pair.up.block()
    handle = pair.client.call()
    pair.client.flush()
    if protocol == 2:  # an answer to a question that was not asked yet
        pair.inject_down([wire.encode([(wire.RESULT, handle.id, 0, b'')])])
    else:
        uid = pair.client.core.uid_prefix + handle.id.to_bytes(8, 'big')
        pair.inject_down([v1.VERSION, uid, v1.OK, b''])
    assert pair.client.result(handle) == b''
    before = len(pair.up.sent)
    pair.unblock()
    assert len(pair.up.sent) == before + 1
    assert not pair.to_server.blocked
    assert not pair.to_server.outbox
    assert pair.server.calls == []


def test_calls_that_were_cancelled_do_not_pile_up():
    """A server may go on calling one who does not read, and giving up."""
    pair = Wire().start()
    pair.up.block()
    for _ in range(5):
        pair.client.cancel(pair.client.call())
        pair.client.flush()
        pair.client.retry(pair.to_server)
        assert len(pair.to_server.outbox) == 0


def test_small_answers_that_nobody_reads_are_counted():
    pair = Wire(
        server=Program(server=True, limits=Limits(max_calls_per_peer=10))
    ).start()
    pair.down.block()
    for number in range(1, 201, 2):
        pair.inject_up([wire.encode([(wire.CALL, number, 0, ARGS, 'f')])])
        pair.server.core.reply(pair.server.calls.pop(0), b'')
        pair.server.flush()
    assert len(pair.to_client.outbox) == 40
    assert pair.server.core.running == 0


# ------------------------------------------------------------------ protocol v1


def test_v1_is_one_message_at_a_time(program, v1_peer):
    for number in range(3):
        uid = bytes([number]) * 16
        enqueue_body(program.core, v1_peer, wire.RESULT, uid, b'\xc0')
    payloads = drain(program, v1_peer)
    assert [payload[1][0] for payload in payloads] == [0, 1, 2]
    assert all(len(payload) == 4 for payload in payloads)
    assert v1_peer.queued == 0


def test_v1_has_large_bodies_in_their_place(program, v1_peer):
    large = b'x' * (2 * BATCH)
    enqueue_body(program.core, v1_peer, wire.RESULT, bytes(16), large)
    assert drain(program, v1_peer) == [[b'v1', bytes(16), b'\x01', large]]


def test_v1_calls(program, v1_peer):
    enqueue(program.core, v1_peer, (wire.CALL, 1, 0, ARGS, 'f', 5), len(ARGS))
    ((version, uid, kind, body),) = drain(program, v1_peer)
    assert (version, uid, kind) == (b'v1', bytes(15) + b'\x01', b'\x03')
    assert body == b'\x93\xa1f\x90\x80'


def test_v1_leaves_out_what_it_has_no_word_for(program, v1_peer):
    enqueue(program.core, v1_peer, (wire.PONG, 1), 0)
    enqueue_body(program.core, v1_peer, wire.RESULT, bytes(16), b'\xc0')
    enqueue(program.core, v1_peer, (wire.CANCEL, 1), 0)
    assert [payload[2] for payload in drain(program, v1_peer)] == [b'\x01']
    assert v1_peer.outbox == []
    assert v1_peer.queued == 0


def test_names_count_in_the_size_of_a_batch():
    """Or thousands of calls with long names would make a head that is refused."""
    pair = Wire().start()
    core, peer = pair.client.core, pair.to_server
    for number in range(1200):
        core.call(peer, 'f' * 1024, ARGS, (), 5.0, 0.0, number)
    sizes = []
    while payload := core.take(peer, 0.0):
        sizes.append(len(payload[0]))
        core.sent(peer)
    assert len(sizes) > 1
    assert max(sizes) <= 2 * BATCH < wire.MAX_HEAD
