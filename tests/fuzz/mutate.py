"""Changes to inputs: of bytes, and of the msgpack values that they hold."""

import struct

import msgpack
from targets import join, split

__all__ = ['FRAMED', 'mutate']

# Their input is frames.
FRAMED = frozenset(('head_v2', 'payload_v1', 'body_v2'))

# What a decoder may stumble over: marks, lengths that are none, depth, limits of numbers.
SPLINTERS = [
    *(b'\xc7\x00' + bytes([code]) for code in (*range(62, 102), 127, 255)),
    *(bytes([code]) + b'\xff' * 4 for code in (0xC6, 0xC9, 0xDB, 0xDD, 0xDF)),
    *(b'\x91' * 600, b'\x81' * 600, b'\x81\x01' * 600, b'\x92\xc7\x00\x40' * 300),
    *(b'\xc0', b'\xc1', b'\xc2', b'\xc3', b'\x80', b'\x90', b'\xa0', b'\xc4\x00'),
    *(b'\xcb\x7f\xf8' + bytes(6), b'\xcb\x7f\xf0' + bytes(6), b'\xcb\x80' + bytes(7)),
    *(b'\xcf' + b'\xff' * 8, b'\xd3\x80' + bytes(7), b'\xd2\x80' + bytes(3), b'\xff'),
    *(b'\xd6\xff' + bytes(4), b'\xc7\x0c\xff' + b'\xff' * 12, b'\xd4\x05a'),
    *(b'\xa3\xed\xa0\x80', b'\xa1\xff', b'\xa1\x00', b'\xc4\x04\xff\xff\x01\xff'),
    *(b'v1', b'\xa3<i4', b'\xa2U0', b'\xa8datetime', b'\xa5weight'),
]
LEAVES = [
    *(None, True, 0, 1, -1, 2, 1 << 32, (1 << 64) - 1, -(1 << 63), 2**61 - 1),
    *(0.0, -0.0, 1.5, 1e300, float('nan'), float('inf'), '', 'a', 'x' * 300, '\ud800'),
    *('../x', '/etc/passwd', 'Europe/Paris', 'weight', 'pseud:64', 'NaN', '1e999999'),
    *('<i4', 'V0', 'M8[s]', 'O', b'', b'a', bytes(8), b'\xff' * 8, [], {}, [[]], [0]),
    *(UNICODE := ('UnicodeDecodeError', 'UnicodeEncodeError', 'KeyError', 'OSError')),
]
CODES = (*range(64, 90), *range(94, 102), 127)


def mutate(data, rng, others, *, framed):
    """An input with a few changes.

    Args:
        data: the input.
        rng: a `random.Random`.
        others: inputs to take parts of.
        framed: whether inputs are frames.
    """
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        if not framed:
            data = _change(data, rng, rng.choice(others))
            continue
        frames, other = split(data) or [b''], split(rng.choice(others)) or [b'']
        at = rng.randrange(len(frames)) if rng.random() < 0.3 else 0
        what = rng.random()
        if what < 0.88:
            frames[at] = _change(frames[at], rng, rng.choice(other))
        elif what < 0.92:
            frames.insert(at, rng.choice(other))
        elif what < 0.96:
            del frames[at]
        else:
            rng.shuffle(frames)
        data = join(frame[:0xFFFF] for frame in frames)
    return data


def _change(data, rng, other):
    if rng.random() < 0.6:
        try:
            value = _unpack(data)
            return _pack(_retype(value, rng, other))
        except (ValueError, TypeError, OverflowError, RecursionError, struct.error):
            pass  # it is not msgpack
    return _edit(data, rng, other)


def _unpack(data):
    return msgpack.unpackb(
        data, strict_map_key=False, unicode_errors='surrogatepass', ext_hook=_Ext
    )


def _pack(value):
    return msgpack.packb(value, unicode_errors='surrogatepass', default=_Ext.pack)


class _Ext:
    """An extension, with data that may be packed itself."""

    def __init__(self, code, data):
        self.code, self.data = code, data

    def pack(self):
        return msgpack.ExtType(self.code & 127, self.data)


def _retype(value, rng, other):
    """The value with one part of it changed."""
    if isinstance(value, (list, dict)) and value and rng.random() < 0.8:
        value = value.copy()
        at = rng.choice(list(value) if type(value) is dict else range(len(value)))
        value[at] = _retype(value[at], rng, other)
        return value
    what = rng.randrange(10)
    if what == 0 and isinstance(value, list):
        at = rng.randrange(len(value) + 1)
        return value[:at] + [_leaf(rng)] * rng.choice((1, 1, 40)) + value[at:]
    if what == 1 and isinstance(value, list) and value:
        return value[: rng.randrange(len(value))]
    if what == 2 and isinstance(value, list):
        return rng.sample(value, len(value))
    if what == 3:
        return [msgpack.ExtType(rng.choice(CODES), b''), value]
    if what == 4:
        return [value, value]
    if what == 5:
        try:
            return _unpack(other)
        except ValueError:
            return other
    if what == 6 and isinstance(value, bytes):
        return _change(value, rng, other)  # packed arguments, maybe
    if what == 7 and isinstance(value, int):
        return max(-(1 << 63), min((value ^ 1 << rng.randrange(64)), (1 << 64) - 1))
    if isinstance(value, _Ext) and what < 9:
        return msgpack.ExtType(rng.choice(CODES), value.data)
    return _leaf(rng)


def _leaf(rng):
    return rng.choice(LEAVES) if rng.random() < 0.8 else rng.randbytes(rng.randrange(9))


def _edit(data, rng, other):
    """A few bytes changed."""
    data = bytearray(data)
    at = rng.randrange(len(data) + 1)
    end = at + rng.choice((1, 1, 2, 4, 30))
    what = rng.randrange(7)
    if what == 0 and at < len(data):
        data[at] ^= 1 << rng.randrange(8)
    elif what == 1 and at < len(data):
        data[at] = rng.randrange(256)
    elif what == 2:
        del data[at:end]
    elif what == 3:
        data[at:end] = rng.choice(SPLINTERS)
    elif what == 4:
        data[at:at] = rng.choice(SPLINTERS)
    elif what == 5:
        start = rng.randrange(len(other) + 1)
        data[at:end] = other[start : start + rng.randrange(40)]
    else:
        data[at:at] = rng.randbytes(rng.randrange(5))
    return bytes(data)
