"""Whatever arrives at a server's port, those who call it meanwhile notice nothing."""

import random
import socket
import urllib.parse

import msgpack
import pytest
import zmq
from backends import scenario
from peers import CALL, CANCEL, HELLO, RESULT

MESSAGES = 2000


def noise(rng, most=64):
    return rng.randbytes(rng.randrange(most))


def tcp_garbage(address, rng):
    """Bytes that are no ZMTP, and some that begin like it."""
    where = urllib.parse.urlsplit(address)
    greeting = bytes.fromhex('ff00000000000000017f03004e554c4c').ljust(64, b'\0')
    for number in range(60):
        with socket.create_connection((where.hostname, where.port), 20) as raw:
            start = (
                b'',
                greeting[: rng.randrange(64)],
                greeting,
                b'GET / HTTP/1.1\r\n',
            )
            try:
                raw.sendall(start[number % 4] + noise(rng, 2000))
            except OSError:  # hung up on: as it should be
                pass


def real_messages():
    """v2 and v1 payloads as a peer would send them, without harm in them."""
    body = msgpack.packb([['x'], {}])
    call = msgpack.packb([[CALL, 1, 0, body, 'len', 5000]])
    hello = msgpack.packb([[HELLO, 0, 0, {'versions': [2], 'name': 'service'}]])
    uid = bytes(range(16))
    return [
        [call],
        [hello],
        [msgpack.packb([[CALL, 3, 1, None, 'len', None]]), body],
        [msgpack.packb([[CANCEL, 1], [RESULT, 2, 0, body], [8, 7], [13, 0, 0, {}]])],
        [msgpack.packb([[kind, 5, 0, body] for kind in range(20)])],
        [b'v1', uid, b'\x03', msgpack.packb(['len', ['x'], {}])],
        [b'v1', uid, b'\x01', msgpack.packb(3)],
        [b'v1', uid, b'\x02', msgpack.packb(['login', 'password'])],
        [b'v1', b'', b'\x06', b''],
        [b'v1', uid, b'\x10', msgpack.packb(['SystemExit', 'now', ''])],
    ]


def mutated(rng, frames):
    """A message with something wrong somewhere."""
    frames = [bytearray(frame) for frame in frames]
    for _ in range(rng.randrange(1, 4)):
        frame = rng.choice(frames)
        at = rng.randrange(len(frame) + 1)
        kind = rng.randrange(6)
        if kind == 0 and frame:
            frame[at - 1] ^= 1 << rng.randrange(8)
        elif kind == 1:
            frame[at:] = b''
        elif kind == 2:
            frame[at:at] = noise(rng, 8)
        elif kind == 3:
            frames.insert(rng.randrange(len(frames) + 1), bytearray(noise(rng)))
        elif kind == 4:
            # lengths that lie: 4 GiB of array, map, bytes
            frame[at:at] = rng.choice([b'\xdd', b'\xdf', b'\xc6']) + b'\xff' * 4
        else:
            frame[:0] = b'\x91' * rng.randrange(2000)
    return [bytes(frame) for frame in frames]


def zmq_garbage(net, kind, address, rng):
    """Messages that ØMQ itself has nothing against."""
    raw = net.raw(kind, sndtimeo=20_000, linger=2000)
    if kind == zmq.REQ:  # else it sends but one
        raw.req_relaxed = True
        raw.req_correlate = False
    if kind == zmq.ROUTER:
        raw.connect_routing_id = b'server'
    raw.connect(address)
    known = real_messages()
    prefix = {zmq.DEALER: [b''], zmq.REQ: [], zmq.ROUTER: [b'server', b'']}[kind]
    for _ in range(MESSAGES):
        if rng.random() < 0.7:
            frames = [*prefix, *mutated(rng, rng.choice(known))]
        else:
            frames = [noise(rng) for _ in range(rng.randrange(1, 12))]
            if kind == zmq.ROUTER:
                frames[:0] = [b'server']
        raw.send_multipart(frames)
    raw.close()


def calls_go_on(net, client, attack):
    """``yield from`` this: call while ``attack`` lasts, and a bit; counts the calls."""
    count = 0
    while not attack.done() or count < 100:
        if not count % 20:
            yield net.sleep(0)
        assert (yield client.double(count)) == 2 * count
        count += 1
    yield attack


def background(net, function, *args):
    def run():
        yield net.thread(function, *args)

    return net.spawn(run())


def served(net):
    server, address = net.serve()
    server.register_rpc(lambda n: 2 * n, name='double')
    server.register_rpc(len)
    return address, net.client(address)


def check_log(logs):
    """Warnings tell of it, but the log is not the next thing to break."""
    assert len(logs.records) <= 50
    assert all(len(text) < 1000 for text in logs.texts())


@pytest.mark.parametrize('seed', range(3))
@scenario(needs=('results',))
def test_garbage_on_the_port(net, logs, seed):
    address, client = served(net)
    attack = background(net, tcp_garbage, address, random.Random(seed))
    yield from calls_go_on(net, client, attack)
    check_log(logs)


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('kind', [zmq.DEALER, zmq.REQ, zmq.ROUTER], ids=str)
@scenario(needs=('results',))
def test_garbage_in_messages(net, logs, kind, seed):
    address, client = served(net)
    attack = background(net, zmq_garbage, net, kind, address, random.Random(seed))
    yield from calls_go_on(net, client, attack)
    if kind != zmq.REQ:  # which drops what it has not sent when it sends again
        yield from net.until(lambda: len(logs.records) > 5)
    check_log(logs)


@scenario(needs=('results',))
def test_garbage_for_a_client(net, logs):
    """A server that talks nonsense; the client's other server is fine."""
    rng = random.Random(0)
    raw = net.raw(zmq.ROUTER, sndtimeo=20_000)
    raw.bind('tcp://127.0.0.1:*')
    server, address = net.serve()
    server.register_rpc(lambda n: 2 * n, name='double')
    client = net.client(raw.last_endpoint.decode())

    def attack():
        who = raw.recv_multipart()[0]
        for _ in range(MESSAGES):
            frames = mutated(rng, rng.choice(real_messages()))
            raw.send_multipart([who, *([b''] * (rng.random() < 0.9)), *frames])

    lost = client.with_options(timeout=None).double(0)  # goes to the first
    talking = background(net, attack)
    yield talking
    client.connect(address)
    # the least busy one is the good one
    for n in range(50):
        while True:
            yield net.sleep(0)
            outcome = yield from net.outcome(client.with_options(timeout=1).double(n))
            if outcome == 2 * n:
                break
    lost.cancel()
    yield from net.outcome(lost)
    check_log(logs)


@scenario
def test_bodies_that_are_no_arguments(net):
    """They fail their own call, and say why."""
    address, client = served(net)
    bodies = [
        b'',
        b'\xc1',
        msgpack.packb(None),
        msgpack.packb([1, 2]),
        msgpack.packb([[], {1: 2}]),
        msgpack.packb([[], {}])[:-1],
        b'\x91' * 5000 + b'\x90',
        b'\xdd\xff\xff\xff\xff',
    ]

    def attack():
        raw = net.raw(zmq.DEALER)
        raw.connect(address)
        for number, body in enumerate(bodies):
            call = [CALL, 2 * number + 1, 0, body, 'len', 5000]
            raw.send_multipart([b'', msgpack.packb([call])])
        answers = {}
        while len(answers) < len(bodies):
            for kind, call_id, _, body in msgpack.unpackb(raw.recv_multipart()[1]):
                answers[call_id] = kind, msgpack.unpackb(body)['type']
        return answers

    answers = yield net.thread(attack)
    assert set(answers.values()) == {(3, 'pseud.SerializationError')}
    assert (yield client.len('abc')) == 3
