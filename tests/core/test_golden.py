"""Golden frames: the exact bytes of every message, in both versions.

Peers of other releases and other languages rely on them: what fails here has changed
the protocol.  Each is written out, compared with what we send, and read back.
"""

import msgpack
import pytest
from helpers import Clock, Program, Wire

from pseud._core import events as ev
from pseud._core import v1, wire
from pseud._core.limits import Limits
from pseud._core.outbox import enqueue, enqueue_body
from pseud._core.peer import Peer
from pseud._core.route import Route

PREFIX = bytes.fromhex('00112233 44556677')
BODY = b'\x92\x91\x01\x80'  # ((1,), {}), packed
LARGE = b'x' * 65536

# message, its bytes within the array of the head
V2 = {
    'call': (
        (wire.CALL, 1, 0, BODY, 'a.b', 5000),
        '96 01 01 00 c404 92910180 a3 612e62 cd1388',
    ),
    'call without timeout': (
        (wire.CALL, 1, 0, BODY, 'a.b', None),
        '96 01 01 00 c404 92910180 a3 612e62 c0',
    ),
    'call with buffers': (
        (wire.CALL, 257, 2, BODY, 'f', 1),
        '96 01 cd0101 02 c404 92910180 a1 66 01',
    ),
    'call with a large body': (
        (wire.CALL, 1, 1, None, 'f', 1),
        '96 01 01 01 c0 a1 66 01',
    ),
    'call that was passed on': (
        (wire.CALL, 1, 0, BODY, 'f', None, Route((b'h' * 16,), 'alice', ())),
        '97 01 01 00 c404 92910180 a1 66 c0 93 91 c410'
        + 16 * '68'
        + 'a5 616c696365 90',
    ),
    'call back': (
        (wire.CALL, 2, 0, BODY, 'f', 1, Route(to=(b'h' * 16,))),
        '97 01 02 00 c404 92910180 a1 66 01 93 90 c0 91 c410' + 16 * '68',
    ),
    'result': ((wire.RESULT, 1, 0, b'\x2a'), '94 02 01 00 c401 2a'),
    'large result': ((wire.RESULT, 1, 1, None), '94 02 01 01 c0'),
    'error': (
        (wire.ERROR, 1, 0, wire.error_body('pseud.X', 'why')),
        '94 03 01 00 c41a 82 a4 74797065 a7 70736575642e58 a7 6d657373616765 a3 776879',
    ),
    'cancel': ((wire.CANCEL, 70000), '92 04 ce00011170'),
    'item': ((wire.ITEM, 1, 0, b'\x2a'), '94 05 01 00 c401 2a'),
    'end': ((wire.END, 1, 0, b'\xc0'), '94 06 01 00 c401 c0'),
    'credit': ((wire.CREDIT, 1, 0, None, 16), '95 07 01 00 c0 10'),
    'ping': ((wire.PING, 0), '92 08 00'),
    'pong': ((wire.PONG, 255), '92 09 ccff'),
    'hello': (
        (wire.HELLO, 0, 0, {'versions': [2], 'name': 'x', 'max_calls': 9}),
        '94 0a 00 00 83 a8 76657273696f6e73 91 02 a4 6e616d65 a1 78'
        ' a9 6d61785f63616c6c73 09',
    ),
    'hello with a login': (
        (wire.HELLO, 0, 0, {'user_id': 'a', 'password': 'b'}),
        '94 0a 00 00 82 a7 757365725f6964 a1 61 a8 70617373776f7264 a1 62',
    ),
    'welcome': (
        (wire.WELCOME, 0, 0, {'name': 'x'}),
        '94 0b 00 00 81 a4 6e616d65 a1 78',
    ),
    'reject': (
        (wire.REJECT, 0, 0, {'reason': 'why'}),
        '94 0c 00 00 81 a6 726561736f6e a3 776879',
    ),
    'reject of a login': (
        (wire.REJECT, 0, 0, {'reason': 'why', 'unauthorized': True}),
        '94 0c 00 00 82 a6 726561736f6e a3 776879 ac 756e617574686f72697a6564 c3',
    ),
    'goaway': (
        (wire.GOAWAY, 0, 0, {'reason': 'why'}),
        '94 0d 00 00 81 a6 726561736f6e a3 776879',
    ),
}


@pytest.mark.parametrize('name', V2)
def test_v2(name):
    message, text = V2[name]
    head = b'\x91' + bytes.fromhex(text)
    assert wire.encode([message]) == head
    (read,) = wire.decode(head)
    assert len(read) == len(message)
    for got, expected in zip(read, message, strict=True):
        # lists arrive as tuples, within maps too
        assert msgpack.packb(got) == msgpack.packb(expected)


def test_v2_many_in_one_head():
    messages = [message for message, _ in V2.values()]
    parts = [bytes.fromhex(text) for _, text in V2.values()]
    assert len(parts) == 21
    assert wire.encode(messages) == b'\xdc\x00\x15' + b''.join(parts)


def test_every_type_is_here():
    types = {
        wire.CALL: 1,
        wire.RESULT: 2,
        wire.ERROR: 3,
        wire.CANCEL: 4,
        wire.ITEM: 5,
        wire.END: 6,
        wire.CREDIT: 7,
        wire.PING: 8,
        wire.PONG: 9,
        wire.HELLO: 10,
        wire.WELCOME: 11,
        wire.REJECT: 12,
        wire.GOAWAY: 13,
    }
    assert {message[0] for message, _ in V2.values()} == set(types)
    assert list(types.values()) == list(range(1, 14))


# ------------------------------------------------------- whole exchanges, as sent


def frames(pipe):
    return [[bytes(frame) for frame in payload] for payload in pipe.sent]


def test_v2_conversation():
    clock, limits = Clock(), Limits(max_message=1 << 16, max_calls_per_peer=7)
    client = Program(clock, server=False, limits=limits, agent='c', name='s')
    server = Program(clock, server=True, limits=limits, agent='v', name='s')
    pair = Wire(client, server).start()
    hello = (
        '85 a8 76657273696f6e73 91 02 a4 6e616d65 a1 73 a5 6167656e74 a1 {agent}'
        ' ab 6d61785f6d657373616765 ce00010000 a9 6d61785f63616c6c73 07'
    )
    assert frames(pair.up) == [
        [bytes.fromhex('91 94 0a 00 00' + hello.format(agent='63'))]
    ]
    assert frames(pair.down) == [
        [bytes.fromhex('91 94 0b 00 00' + hello.format(agent='76'))]
    ]
    client.call('a.b', body=BODY, timeout=5)
    client.call('f', body=LARGE)
    cancelled = client.call('g', body=BODY)
    pair.run()
    client.cancel(cancelled)
    client.core.ping(pair.to_server)
    first, second, _ = server.calls
    server.core.reply(first, b'\x2a')
    server.core.reply(second, b'\xc0', [b'buffer'])
    back = server.call('h', body=BODY, peer=pair.to_client, timeout=1)
    pair.run()
    client.core.reply_error(client.calls[0], b'\x80')
    server.core.drain('why')
    pair.run()
    assert frames(pair.up)[1:] == [
        [
            bytes.fromhex(
                '93'
                '96 01 01 00 c404 92910180 a3 612e62 cd1389'
                '96 01 03 01 c0 a1 66 c0'
                '96 01 05 00 c404 92910180 a1 67 c0'
            ),
            LARGE,
        ],
        [bytes.fromhex('92 92 04 05 92 08 00')],
        [bytes.fromhex('91 94 03 02 00 c401 80')],
        [bytes.fromhex('91 92 09 01')],
    ]
    assert frames(pair.down)[1:] == [
        [
            bytes.fromhex(
                '93'
                '94 02 01 00 c401 2a'
                '94 02 03 01 c401 c0'
                '96 01 02 00 c404 92910180 a1 68 cd03e9'
            ),
            b'buffer',
        ],
        [bytes.fromhex('91 92 09 00')],
        [bytes.fromhex('92 94 0d 00 00 81 a6 726561736f6e a3 776879 92 08 01')],
    ]
    assert server.outcome(back)[2] == b'\x80'


def test_v2_reject():
    clock = Clock()
    pair = Wire(
        Program(clock, server=False, name='a'), Program(clock, server=True, name='b')
    ).start()
    reason = b"this server is 'b', the client looks for 'a'"
    assert frames(pair.down) == [
        [bytes.fromhex('91 94 0c 00 00 81 a6 726561736f6e d92c') + reason]
    ]


def test_a_login():
    clock = Clock()
    client = Program(clock, server=False, credentials=('a', 'b'))
    pair = Wire(client, Program(clock, server=True, challenges=True)).connect()
    client.flush()
    login = 'a7 757365725f6964 a1 61 a8 70617373776f7264 a1 62'
    assert frames(pair.up)[0][0].endswith(bytes.fromhex(login))
    peer = Peer(pair.key, client.core.limits, link=pair.down)
    peer.admitted = False
    pair.server.core.receive(peer, pair.up.sent[0], 0)
    pair.server.core.refuse(peer, 'why')
    pair.server.flush()
    _, text = V2['reject of a login']
    assert frames(pair.down) == [[b'\x91' + bytes.fromhex(text)]]


def test_v2_turn_taker_says_so():
    pair = Wire(Program(server=False, lockstep=True)).connect()
    pair.client.flush()
    assert frames(pair.up)[0][0].endswith(bytes.fromhex('a8 6c6f636b73746570 c3'))


# ---------------------------------------------------------------------- version 1

UID = bytes.fromhex('00112233 44556677 8899aabb ccddeeff')
OURS = PREFIX + bytes.fromhex('00000000 00000001')

# our message, the payload
V1 = {
    'work': (
        (wire.CALL, 1, 0, BODY, 'a.b', 5000),
        [b'v1', OURS, b'\x03', bytes.fromhex('93 a3 612e62 91 01 80')],
    ),
    'ok': (
        (wire.RESULT, UID, 0, b'\x2a'),
        [b'v1', UID, b'\x01', b'\x2a'],
    ),
    'error': (
        (wire.ERROR, UID, 0, v1.encode_error('pseud.X', 'why', 'trace')),
        [b'v1', UID, b'\x10', bytes.fromhex('93 a1 58 a3 776879 a5 7472616365')],
    ),
    'authenticated': (
        (wire.WELCOME, UID, 0, b''),
        [b'v1', UID, b'\x04', b'Welcome'],
    ),
    'unauthorized': (
        (wire.REJECT, UID, 0, {'reason': 'why'}),
        [b'v1', UID, b'\x11', b'why'],
    ),
    'hello': (
        (wire.HELLO, UID, 0, ('login', 'password')),
        [b'v1', UID, b'\x02', bytes.fromhex('92 a5 6c6f67696e a8 70617373776f7264')],
    ),
}
# what only a peer sends: payload, and what is read in it
V1_READ = {
    'ok': ([b'v1', UID, b'\x01', b'\x2a'], (b'\x01', UID, b'\x2a')),
    'hello': (
        [b'v1', UID, b'\x02', bytes.fromhex('92 a5 6c6f67696e a8 70617373776f7264')],
        (b'\x02', UID, ('login', 'password')),
    ),
    'work': (
        [b'v1', UID, b'\x03', bytes.fromhex('93 a3 612e62 91 01 80')],
        (b'\x03', UID, ('a.b', BODY)),
    ),
    'authenticated': (
        [b'v1', UID, b'\x04', b'Welcome'],
        (b'\x04', UID, b'Welcome'),
    ),
    'heartbeat': ([b'v1', b'', b'\x06', b'idle'], (b'\x06', b'', b'idle')),
    'error': (
        [b'v1', UID, b'\x10', bytes.fromhex('93 a1 58 a3 776879 a5 7472616365')],
        (b'\x10', UID, bytes.fromhex('93 a1 58 a3 776879 a5 7472616365')),
    ),
    'unauthorized': ([b'v1', UID, b'\x11', b'why'], (b'\x11', UID, b'why')),
}


@pytest.mark.parametrize('name', V1)
def test_v1_written(name):
    message, payload = V1[name]
    assert v1.encode(message, PREFIX) == payload


@pytest.mark.parametrize('name', V1_READ)
def test_v1_read(name):
    payload, expected = V1_READ[name]
    assert v1.decode(payload) == expected


def test_v1_conversation():
    clock = Clock()
    pair = Wire(
        Program(clock, server=False, uid_prefix=PREFIX),
        Program(clock, server=True, uid_prefix=PREFIX[::-1]),
        protocol=1,
    ).start()
    client, server = pair.client, pair.server
    first = client.call('a.b', body=BODY, timeout=5)
    second = client.call('f', body=BODY)
    pair.run()
    server.core.reply(server.calls[0], b'\x2a')
    server.core.fail(server.calls[1], 'KeyError', 'why')
    back = server.call('g', body=BODY, peer=pair.to_client)
    pair.run()
    client.core.reply(client.calls[0], b'\xc3')
    pair.run()
    work = bytes.fromhex('93 a3 612e62 91 01 80')
    third = PREFIX + bytes.fromhex('00000000 00000003')
    theirs = PREFIX[::-1] + bytes.fromhex('00000000 00000002')
    assert frames(pair.up) == [
        [b'v1', OURS, b'\x03', work],
        [b'v1', third, b'\x03', bytes.fromhex('93 a1 66 91 01 80')],
        [b'v1', theirs, b'\x01', b'\xc3'],
    ]
    assert frames(pair.down) == [
        [b'v1', OURS, b'\x01', b'\x2a'],
        [
            b'v1',
            third,
            b'\x10',
            bytes.fromhex('93 a8 4b65794572726f72 a3 776879 a0'),
        ],
        [b'v1', theirs, b'\x03', bytes.fromhex('93 a1 67 91 01 80')],
    ]
    assert client.outcome(first) == (ev.RESULT, first, b'\x2a', (), 1)
    assert client.outcome(second)[0] == ev.ERROR
    assert server.outcome(back) == (ev.RESULT, back, b'\xc3', (), 1)


# ------------------------------------------------------- the queue writes the same


@pytest.mark.parametrize('name', V2)
def test_v2_from_the_queue(name):
    message, text = V2[name]
    program = Program(server=False)
    peer = Peer('x', program.core.limits)
    kind, call_id, *rest = message
    if kind in (wire.CALL, wire.RESULT, wire.ERROR):
        count, body, *rest = rest
        buffers = [b'buffer'] * (count if body is not None else count - 1)
        whole = body if body is not None else LARGE
        enqueue_body(program.core, peer, kind, call_id, whole, buffers, tuple(rest))
        expected = [*([] if body is not None else [LARGE]), *buffers]
    else:
        enqueue(program.core, peer, message, 0)
        expected = []
    head, *frames = program.core.take(peer, 0)
    assert head == b'\x91' + bytes.fromhex(text)
    assert frames == expected
