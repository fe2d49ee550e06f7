"""Write the corpus: python tests/fuzz/make_corpus.py

It is made of the examples and golden frames of other tests, and of what was found by
fuzzing, or by thinking: ``found-`` passes, ``open-`` waits for a repair.
"""

import hashlib
import pathlib
import pickle
import sys

HERE = pathlib.Path(__file__).resolve().parent
for path in (HERE, HERE.parent / 'core', HERE.parent, HERE.parent.parent):
    sys.path.insert(0, str(path))

import msgpack  # noqa: E402
from kinds import examples  # noqa: E402
from targets import TARGETS, V1, V2, join  # noqa: E402
from test_golden import V1_READ  # noqa: E402
from test_golden import V2 as HEADS  # noqa: E402

from pseud import UnknownValue, errors, remote  # noqa: E402
from pseud._values.v1_dates import CODES  # noqa: E402

CORPUS = HERE / 'corpus'
MAX_SIZE = 4096


def inputs():
    """(target, input) of everything."""
    values = [*examples(), UnknownValue('shop.Item', {'price': (1, 2)})]
    for value in values:
        yield 'body_v2', join([V2.pack_inline(value)])
    yield 'body_v2', join([V2.pack_call([(1, {2})], {'key': b'x'})[0]])
    # a buffer beside the body
    mark = [msgpack.ExtType(97, b''), 0]
    yield 'body_v2', join([msgpack.packb([mark, 1]), b'the buffer'])
    whole = [[mark, {'key': [msgpack.ExtType(96, b''), 1]}], {}]
    yield 'body_v2', join([msgpack.packb(whole), b'first', b'second'])
    for value in values:
        try:
            yield 'body_v1', V1.pack_inline(value)
        except errors.SerializationError:
            pass
    yield 'body_v1', msgpack.packb([[1, 'a'], {'key': msgpack.Timestamp(1, 2)}])
    for message, text in HEADS.values():
        head = b'\x91' + bytes.fromhex(text)
        count = message[2] if len(message) > 2 and message[0] < 8 else 0
        yield 'head_v2', join([head, *[b'buffer'] * count])
    heads = [b'\x91' + bytes.fromhex(text) for _, text in HEADS.values()]
    yield (
        'head_v2',
        join([b'\xdc\x00\x11' + b''.join(h[1:] for h in heads), *[b''] * 6]),
    )
    for value in values:
        code = CODES.get(type(value))
        for protocol in (2, 3, 4) if code else ():
            data = pickle.dumps(value, protocol)
            yield 'dates_v1', bytes([code - 123]) + data
            yield 'body_v1', msgpack.packb([[msgpack.ExtType(code, data)], {}])
    for payload, _ in V1_READ.values():
        yield 'payload_v1', join(payload[1:])
    for error in raised():
        for show in (False, True):
            yield 'load_v2', remote.dump(error, V2, 2, show=show)
            yield 'load_v1', remote.dump(error, V1, 1, show=show)


def raised():
    """Exceptions as functions raise them."""
    yield ValueError('why', (1, {2}))
    yield KeyError('key')
    yield FileNotFoundError(2, 'No such file', 'name')
    yield UnicodeDecodeError('utf-8', b'\xff', 0, 1, 'invalid start byte')
    yield errors.OverloadedError('too many')
    yield errors.RemoteError('none left', type_name='shop.OutOfStock')
    yield ExceptionGroup('several', [ValueError(1), OSError(2, 'b')])
    try:
        try:
            raise KeyError('first')
        except KeyError as first:
            raise LookupError('second') from first
    except LookupError as second:
        second.add_note('a note')
        # without tracebacks, which name files of the machine
        second.__cause__.__traceback__ = None
        yield second.with_traceback(None)


def marked(code, *fields):
    return [msgpack.ExtType(code, b''), *fields]


def failing(name, *args):
    return msgpack.packb({'type': name, 'message': 'm', 'args': msgpack.packb(args)})


def found():
    """(target, name, input) of what went wrong at some time."""
    far = -(1 << 40)
    huge = marked(73, b'\x55' * 600)
    same = [marked(64, -1 - n % 2, -1 - n // 2) for n in range(4)]
    bodies = {
        'found-text-that-is-none': marked(99, '<U1', marked(64, 2), 'C', b'\xff' * 8),
        'found-memory-of-others': marked(99, 'S0', marked(64, 4096), 'C', b''),
        'found-empty-scalar': marked(100, 'S0', b''),
        'found-date-that-is-none': marked(68, b'\xff\xff\x01\xff'),
        'found-name-of-a-mark': marked(127, 'pseud:64', [1]),
        'found-range-of-huge': marked(78, 0, huge, marked(73, b'\x33' * 300)),
        'found-shape-of-many': marked(99, '<i4', marked(64, *[1 << 62] * 99), 'C', b''),
        'found-fields-as-pairs': marked(127, 'kinds.Frozen', [[k, 1] for k in same]),
        'found-decimal-and-int': marked(65, marked(75, '5'), huge),
        'found-flag-without-name': marked(127, 'kinds.Permission', 1 << 40),
        'found-zone-that-is-a-path': marked(72, '../../etc/passwd'),
    }
    for name, body in bodies.items():
        yield 'body_v2', name, join([msgpack.packb(body)])
    for cls, text in (('UnicodeDecodeError', b'x'), ('UnicodeEncodeError', 'x')):
        yield 'load_v2', f'found-{cls}', failing(cls, 'utf8', text, far, far + 1, 'why')
    stamps = {msgpack.Timestamp(n, n): 0 for n in range(9)}
    yield 'load_v2', 'found-odd-keys', msgpack.packb({'type': 'X', **stamps})
    yield 'body_v1', 'found-odd-keys', msgpack.packb([[stamps], {}])


def main():
    for name in TARGETS:
        (CORPUS / name).mkdir(parents=True, exist_ok=True)
        for path in (CORPUS / name).iterdir():
            path.unlink()
    for name, data in inputs():
        if len(data) <= MAX_SIZE:
            digest = hashlib.sha256(data).hexdigest()[:12]
            (CORPUS / name / digest).write_bytes(data)
    for name, what, data in found():
        (CORPUS / name / what).write_bytes(data)


if __name__ == '__main__':
    main()
