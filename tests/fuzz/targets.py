"""What decodes the bytes of strangers: one function for each decoder, taking bytes.

Each returns when what came of the bytes is as documented: a value, or the documented
exception.  All else is a finding: another exception, an internal in a value, a value that
changes when it is sent on.
"""

import array
import gc
import re
import traceback
import types
import zoneinfo

import msgpack
import numpy
from kinds import describe

from pseud import UnknownValue, remote
from pseud._core import events as ev
from pseud._core import v1, wire
from pseud._core.endpoint import Endpoint
from pseud._core.limits import Limits
from pseud._core.peer import Peer
from pseud._values import reader, v1_dates
from pseud.errors import PseudError, RemoteProtocolError, SerializationError
from pseud.packer import PackerV2
from pseud.packer_v1 import PackerV1

__all__ = ['TARGETS', 'join', 'split']

V1, V2 = PackerV1(), PackerV2()
LIMITS = Limits(max_calls_per_peer=5, max_calls=8, max_message=5000)
PREFIX = bytes(8)
ARGS = msgpack.packb([[], {}])

KINDS = {getattr(ev, name) for name in ev.__all__ if name != 'Event'}
INTERNALS = {reader._Mark, reader._Extension, reader._Pairs}
# Types of values that can be made large with few bytes.
SIZED = {
    bytes: len,
    bytearray: len,
    array.array: lambda value: len(value) * value.itemsize,
    numpy.ndarray: lambda value: value.nbytes,
}
# Their insides are no values.
OPAQUE = (
    type,
    types.ModuleType,
    types.FunctionType,
    types.BuiltinFunctionType,
    zoneinfo.ZoneInfo,
)


# ---------------------------------------------------------------- several frames in one


def join(frames):
    """The input of a target that takes frames: each after two bytes of length."""
    return b''.join(len(frame).to_bytes(2, 'big') + frame for frame in frames)


def split(data):
    """The frames of an input; any input has some."""
    frames, at = [], 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], 'big')
        frames.append(data[at + 2 : end])
        at = end
    return frames


# ---------------------------------------------------------------- values


def parts_within(value):
    """A value and all its parts, at any depth."""
    stack, seen = [value], {}
    while stack:
        part = stack.pop()
        if id(part) not in seen and not isinstance(part, OPAQUE):
            seen[id(part)] = part
            stack += gc.get_referents(part)
    return list(seen.values())


def check_parts(value, size):
    """See that nothing is in a value that can not have come in so many bytes.

    Returns:
        The types of its parts.
    """
    parts = parts_within(value)
    found = {type(part) for part in parts}
    assert not found & INTERNALS, found & INTERNALS
    for part in parts:
        measure = SIZED.get(type(part))
        if measure is not None:
            made = measure(part)
            assert made <= size, f'a {type(part)} of {made} bytes'
    return found


def look(value):
    """Text of a value; None if there is none: it is too deep, or nonsense by itself."""
    try:
        return re.sub(r' at 0x[0-9a-f]+', '', describe(value))
    except (RecursionError, ValueError, OverflowError, SystemError):
        return None


def check(packer, body, buffers=()):
    """Unpack a body, and send on what it holds."""
    try:
        args, kwargs = packer.unpack_call(body, buffers)
        assert isinstance(args, list | tuple)
        assert all(type(name) is str for name in kwargs)
    except SerializationError:
        pass
    try:
        value = packer.unpack(body, buffers)
    except SerializationError:
        return
    found = check_parts(value, len(body) + sum(map(len, buffers)))
    try:
        sent_on = packer.pack(value)
    except SerializationError:
        return
    arrived = packer.unpack(*sent_on)
    # the text of sets within what has no `describe` of its own is in no order
    if not found & {UnknownValue, slice} or not found & {set, frozenset}:
        before, after = look(value), look(arrived)
        assert None in (before, after) or before == after, f'{before} became {after}'


def body_v2(data):
    """PackerV2; frames: the body, its buffers."""
    body, *buffers = split(data) or [b'']
    check(V2, body, [memoryview(buffer) for buffer in buffers])


def body_v1(data):
    """PackerV1."""
    check(V1, data)


def dates_v1(data):
    """The pickles that are dates and times of v1; the first byte tells the type."""
    code = 123 + (data[0] if data else 0) % 4
    try:
        value = v1_dates.read_date(code, data[1:])
    except ValueError:
        return
    assert v1_dates.CODES[type(value)] == code
    arrived = v1_dates.read_date(code, v1_dates.pack_date(value))
    assert look(value) == look(arrived)


# ---------------------------------------------------------------- messages


def take_in(payload, protocol):
    """Let a server and a client receive a payload, each from a peer it knows."""
    for server in (True, False):
        core = Endpoint(server=server, limits=LIMITS, uid_prefix=PREFIX, name='service')
        peer = Peer('peer', LIMITS, link=object(), protocol=protocol)
        if not server:
            core.connected(peer, 0.0)
            if protocol == 2:
                core.receive(peer, [wire.encode([(wire.WELCOME, 0, 0, {})])], 0.0)
            for _ in range(3):
                core.call(peer, 'f', ARGS, (), 60, 0.0, object())
        events = core.receive(peer, payload, 1.0)
        for event in events:
            assert event[0] in KINDS
            if event[0] == ev.VIOLATION:
                assert event is events[-1]
                assert type(event[2]) is RemoteProtocolError
                assert len(str(event[2])) < 600
            elif event[0] == ev.FAILED:
                assert isinstance(event[2], PseudError)
        assert core.running == len(peer.inbound) <= LIMITS.max_calls_per_peer
        pending = [entry for entry in core.pending.values() if entry[2] is peer]
        assert peer.in_flight == len(pending)
        for call in list(peer.inbound.values()):
            core.reply(call, b'\xc0')
        core.transmit(peer, 2.0, lambda peer, payload: True)
        core.lost(peer, 'the end')
        assert not core.pending
        assert not core.running


def head_v2(data):
    """A v2 message; frames: the head, the buffers."""
    head, *buffers = split(data) or [b'']
    take_in([head, *(memoryview(buffer) for buffer in buffers)], 2)


def payload_v1(data):
    """A v1 message; frames: uid, type, body."""
    take_in([v1.VERSION, *split(data)], 1)


# ---------------------------------------------------------------- exceptions


def load(data, packer, protocol):
    error = remote.load(data, packer, protocol)
    assert isinstance(error, Exception)
    assert not isinstance(error, StopIteration | StopAsyncIteration | SyntaxError)
    check_parts([error.args, vars(error)], len(data))
    try:
        text = ''.join(traceback.format_exception(error))  # what a log makes of it
        str(error)
    except (RecursionError, ValueError):  # its arguments are too deep, or too long ints
        return
    assert text
    remote.dump(error, packer, protocol, show=True)


def load_v2(data):
    """The body of an ERROR of v2."""
    load(data, V2, 2)


def load_v1(data):
    """The body of a FAILURE of v1."""
    load(data, V1, 1)


TARGETS = {
    target.__name__: target
    for target in (
        head_v2,
        payload_v1,
        body_v2,
        body_v1,
        dates_v1,
        load_v2,
        load_v1,
    )
}
