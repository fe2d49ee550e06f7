"""Whatever a peer sends, by the ten thousand: nothing but events comes of it.

Golden frames with bytes and fields changed, values of every type in every place, and
noise.  The endpoint goes on serving others meanwhile, and its books balance.
"""

import random

import msgpack
import pytest
from helpers import ARGS, KINDS, Clock, Program, Wire, invariants, quiescent
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_golden import LARGE, V1_READ, V2

from pseud._core import events as ev
from pseud._core import wire
from pseud._core.limits import Limits
from pseud.errors import PseudError, RemoteProtocolError

LIMITS = Limits(max_calls_per_peer=50, max_calls=60, max_queue=50_000, max_message=9000)

# Payloads that make sense, or did before they were changed.
HEADS = [b'\x91' + bytes.fromhex(text) for _, text in V2.values()]
GOLDEN = [
    *[[head, b'buffer', b'buffer'] for head in HEADS],
    *[payload for payload, _ in V1_READ.values()],
    [b'\xdc\x00\x11' + b''.join(head[1:] for head in HEADS), LARGE, *[b''] * 5],
]
# What a decoder may stumble over: lengths that are none, depth, marks of every type.
SPLINTERS = [
    b'\xdd\xff\xff\xff\xff',
    b'\xdf\xff\xff\xff\xff',
    b'\xc6\xff\xff\xff\xff',
    b'\xdb\xff\xff\xff\xff',
    b'\xc9\xff\xff\xff\xff\x01',
    b'\x91' * 600,
    b'\x81' * 600,
    b'\x81\x01' * 600,
    b'\xa1\xff',
    b'\xc1',
    b'\xc0',
    b'\xc3',
    b'\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00',
    b'\xcf\xff\xff\xff\xff\xff\xff\xff\xff',
    b'\xd3\x80\x00\x00\x00\x00\x00\x00\x00',
    b'\xd6\xff\x00\x00\x00\x00',
    b'\xc7\x0c\xff' + b'\xff' * 12,
    b'\x80',
    b'\x90',
    b'v1',
]


def nested(depth, leaf=1):
    for _ in range(depth):
        leaf = (leaf,)
    return leaf


VALUES = [
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        3,
        101,
        100,
        255,
        1 << 32,
        (1 << 64) - 1,
        -(1 << 63),
    ),
    *(
        0.0,
        1.0,
        -1.5,
        float('nan'),
        float('inf'),
        '',
        'f',
        'a.b',
        'x' * 3000,
        '\0',
        'ü',
    ),
    *(b'', b'f', ARGS, b'x' * 9500, (), (1,), ((),), nested(400), {}, {'k': 1}, {1: 2}),
    *({'name': 5}, {'name': nested(400)}, {'max_calls': 1}, {'max_message': -1}),
    *({'lockstep': True}, {'reason': nested(400)}, {(1, 2): 3}, {b'x': None}),
    *(msgpack.Timestamp(0, 1), msgpack.ExtType(1, b'x')),
]


class Target:
    """A server and a client that are shot at, each beside a peer that behaves."""

    def __init__(self):
        clock = Clock()
        self.server = Program(clock, server=True, limits=LIMITS, name='service')
        self.client = Program(clock, server=False, limits=LIMITS)
        decent_client = Program(clock, server=False)
        decent_server = Program(clock, server=True)
        self.up = Wire(server=self.server, clock=clock).connect()
        self.down = Wire(self.client, decent_server).start()
        self.beside_server = Wire(decent_client, self.server).start()
        self.beside_client = Wire(self.client, Program(clock, server=True)).start()
        self.violations = 0

    def hit(self, payload):
        """Both take it in, as if a peer had sent it."""
        for inject in (self.up.inject_up, self.down.inject_down):
            events = inject(payload)
            for event in events:
                assert event[0] in KINDS
                if event[0] == ev.VIOLATION:
                    assert event is events[-1]
                    assert type(event[2]) is RemoteProtocolError
                    assert len(str(event[2])) < 600
                    self.violations += 1
                elif event[0] == ev.FAILED:
                    assert isinstance(event[2], PseudError)
        self.check()

    def check(self):
        met = {*self.up.met, *self.beside_server.met}
        invariants(self.server, met)
        links = {self.down.to_server, self.beside_client.to_server}
        invariants(self.client, links)
        for peer in met | links:
            assert len(peer.inbound) <= LIMITS.max_calls_per_peer
            assert peer.queued <= 2 * LIMITS.max_queue

    def carry_on(self, rng):
        """Answer what is to be answered, call whoever takes calls, send it all."""
        for program, wires in (
            (self.server, [self.up, self.beside_server]),
            (self.client, [self.down, self.beside_client]),
        ):
            for call in program.calls:
                if rng.random() < 0.5:
                    program.core.reply(call, b'\xc0')
                else:
                    program.core.fail(call, 'KeyError', 'why')
            program.calls.clear()
            for peer in program.core.peers.values():
                try:
                    program.call(peer=peer, timeout=rng.choice([None, 1]))
                except PseudError:
                    pass
            program.clock.now += 0.4
            program.expire()
            program.flush()
            for pair in wires:  # nobody reads there
                pair.up.queue.clear()
                pair.down.queue.clear()
        self.check()

    def still_works(self):
        """The peers beside can call and be called, and at the end nothing is left."""
        for pair in (self.beside_server, self.beside_client):
            pair.drop()
            pair.start()
            for caller, callee, peer in (
                (pair.client, pair.server, pair.to_server),
                (pair.server, pair.client, pair.to_client),
            ):
                handle = caller.call('works', peer=peer)
                pair.run()
                callee.core.reply(callee.calls.pop(), b'\x2a')
                pair.run()
                assert caller.result(handle) == b'\x2a'
        for program, pairs in (
            (self.server, [self.up, self.beside_server]),
            (self.client, [self.down, self.beside_client]),
        ):
            program.handle(program.core.fail_all('the end'))
            peers = set()
            for pair in pairs:
                peers.update([pair.to_server] if program is self.client else pair.met)
            for peer in peers:
                program.core.lost(peer, 'the end')
            quiescent(program, peers)
            for handle in program.outcomes:
                program.outcome(handle)


def shoot(payloads, rng, each=200):
    """Hit with all of these, and look after the targets now and then."""
    target, total = Target(), 0
    for number, payload in enumerate(payloads):
        try:
            target.hit(payload)
        except BaseException:
            print('payload', number, [bytes(frame) for frame in payload])
            raise
        if number % 20 == 19:
            target.carry_on(rng)
        if number % each == each - 1:
            target.still_works()
            total += target.violations
            target = Target()
    target.still_works()
    return total + target.violations


def changed(frame, rng):
    """A frame with a few bytes changed."""
    data = bytearray(frame)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        at = rng.randrange(len(data) + 1)
        what = rng.randrange(6)
        if what == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif what == 1 and at < len(data):
            data[at] = rng.randrange(256)
        elif what == 2:
            del data[at : at + rng.choice((1, 1, 3, 50))]
        elif what == 3:
            data[at:at] = rng.choice(SPLINTERS)
        elif what == 4:
            data[at:at] = data[: rng.randrange(30)]
        else:
            data[at:at] = rng.randbytes(rng.randrange(5))
    return bytes(data)


def mutated(rng):
    """A golden payload with a few bytes or frames changed."""
    payload = list(rng.choice(GOLDEN))
    at = rng.randrange(len(payload)) if rng.random() < 0.3 else 0
    # the last is for v1, whose body is no head
    at = len(payload) - 1 if payload[0] == b'v1' and rng.random() < 0.7 else at
    what = rng.random()
    if what < 0.8:
        payload[at] = changed(payload[at], rng)
    elif what < 0.85:
        del payload[at]
    elif what < 0.9:
        payload[at:at] = [rng.choice(SPLINTERS)]
    elif what < 0.95:
        payload += rng.choice(GOLDEN)
    else:
        rng.shuffle(payload)
    return payload


def retyped(rng):
    """Messages in which a field or two hold something else."""
    messages = []
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        message = list(rng.choice(list(V2.values()))[0])
        for _ in range(rng.choice((1, 1, 2))):
            at = rng.randrange(len(message) + 1)
            message[at : at + 1] = [rng.choice(VALUES)]
        if rng.random() < 0.1:
            message = message[: rng.randrange(len(message) + 1)]
        messages.append(message)
    return [
        msgpack.packb(messages),
        *rng.choices([b'', b'1', ARGS], k=rng.randrange(4)),
    ]


def noise(rng):
    """Frames of anything."""
    if rng.random() < 0.5:
        return [
            rng.randbytes(rng.choice((0, 1, 5, 40))) for _ in range(rng.randrange(6))
        ]
    start = rng.choice([b'\x91', b'\x92\x94', b'\x91\x95\x01', b'\x91\x94\x02', b'v1'])
    return [start + rng.randbytes(rng.randrange(20)), b'']


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('make', [mutated, retyped, noise])
def test_by_the_thousand(make, seed):
    rng = random.Random(f'{make.__name__} {seed}')
    violations = shoot((make(rng) for _ in range(2500)), rng)
    # that most of it is refused shows that it is what it is meant to be
    assert violations > 250


def test_golden_frames_in_any_order():
    rng = random.Random('golden')
    assert shoot((list(rng.choice(GOLDEN)) for _ in range(2000)), rng) > 0


@pytest.mark.parametrize('value', VALUES, ids=lambda value: repr(value)[:20])
def test_every_value_in_every_field(value):
    rng = random.Random(0)
    payloads = []
    for message, _ in V2.values():
        for at in range(len(message) + 1):
            fields = list(message)
            fields[at : at + 1] = [value]
            payloads.append([msgpack.packb([fields]), b'1', b'2'])
            payloads.append([msgpack.packb(fields), b'1', b'2'])
    shoot(payloads, rng)


leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.integers(-2, 120)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=3))
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(leaves, inner, max_size=3)
    ),
    max_leaves=8,
)
types = st.integers(0, 14) | values


@settings(deadline=None, max_examples=150)
@given(
    messages=st.lists(
        st.tuples(types, values, values | st.just(0), values, values, values).flatmap(
            lambda m: st.integers(0, 6).map(lambda n: m[:n])
        )
        | values,
        max_size=5,
    ),
    frames=st.lists(st.binary(max_size=5), max_size=4),
)
@example(messages=[(wire.CALL,)], frames=[])
@example(messages=[(wire.HELLO, 0, 0, {'name': nested(400)})], frames=[])
def test_values_of_any_shape(messages, frames):
    try:
        head = msgpack.packb(messages)
    except (ValueError, OverflowError):
        return
    target = Target()
    target.hit([head, *frames])
    target.carry_on(random.Random(0))
    target.still_works()


@settings(deadline=None, max_examples=400)
@given(st.lists(st.binary(max_size=60), max_size=6))
def test_frames_of_any_bytes(payload):
    target = Target()
    target.hit(payload)
    target.hit([b'v1', *payload])
    target.hit([b'v1', bytes(16), *payload])
    target.carry_on(random.Random(0))
    target.still_works()


def test_large_numbers_of_everything():
    """Frames, messages, fields and peers without number, each in one message."""
    target = Target()
    target.hit([b'\x90', *[b''] * 100_000])
    target.hit([msgpack.packb([[99]] * 100_000)])
    target.hit([msgpack.packb([[99, *range(100_000)]])])
    target.hit([msgpack.packb([[wire.HELLO, 0, 0, {str(n): n for n in range(9999)}]])])
    target.hit([msgpack.packb([[wire.PING, 1]] * 100_000)])
    target.hit([msgpack.packb([[wire.CALL, 1, 0, b'', 'f']] * 1000)])
    calls = [[wire.CALL, 2 * n + 3, 0, b'', 'f'] for n in range(10_000)]
    target.hit([msgpack.packb(calls)])
    assert target.server.core.running == LIMITS.max_calls_per_peer
    target.carry_on(random.Random(0))
    target.still_works()
