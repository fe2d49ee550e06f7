"""v1's frames: what is read, what is refused, what is written."""

import msgpack
import pytest

from pseud._core import v1, wire
from pseud.errors import RemoteProtocolError, UnauthorizedError

UID = bytes(range(16))
PREFIX = b'12345678'


def work(*content):
    return [b'v1', UID, v1.WORK, msgpack.packb(content)]


def test_work():
    kind, uid, (name, body) = v1.decode(work('a.b', (1, 'x'), {'k': 2}))
    assert (kind, uid, name) == (v1.WORK, UID, 'a.b')
    assert msgpack.unpackb(body) == [[1, 'x'], {'k': 2}]


def test_work_from_views():
    frames = [memoryview(frame) for frame in work('f', (), {})]
    kind, uid, (name, body) = v1.decode(frames)
    assert (kind, uid, name, body) == (v1.WORK, UID, 'f', b'\x92\x90\x80')


def test_the_arguments_are_not_decoded():
    """One that can not be must fail one call, where the function would run."""
    body = b'\x93\xa1f' + b'\x91\xc1' + b'\x80'
    assert v1.decode([b'v1', UID, v1.WORK, body])[2] == ('f', b'\x92\x91\xc1\x80')


@pytest.mark.parametrize(
    'body',
    [
        pytest.param(b'', id='empty'),
        pytest.param(b'\x92\xa1f\x90', id='two fields'),
        pytest.param(b'\x81\xa1f\x90', id='a map'),
        pytest.param(b'\x93', id='no name'),
        pytest.param(b'\x93\xa5f', id='half a name'),
        pytest.param(b'\x93\xa1\xff\x90\x80', id='name that is not UTF-8'),
        pytest.param(b'\x93\xc1\x90\x80', id='unassigned byte'),
        pytest.param(b'\x93\xdb\xff\xff\xff\xff', id='4 GiB name'),
        pytest.param(b'\x93' + b'\x91' * 5000, id='deep name'),
        pytest.param(b'\x93\x81\x80\x01\x90\x80', id='unhashable key'),
        pytest.param(b'\x93\xc4\x01f\x90\x80', id='bytes for a name'),
        pytest.param(b'\x93\x01\x90\x80', id='int for a name'),
        pytest.param(b'\x93\xc0\x90\x80', id='nil for a name'),
    ],
)
def test_refuses_bad_work(body):
    with pytest.raises(RemoteProtocolError, match='v1 WORK'):
        v1.decode([b'v1', UID, v1.WORK, body])


@pytest.mark.parametrize('count', [1, 2, 3, 5, 100])
def test_refuses_other_numbers_of_frames(count):
    frames = [b'v1', UID, v1.OK, b'\xc0', *[b''] * 96][:count]
    with pytest.raises(RemoteProtocolError, match=f'of {count} frames'):
        v1.decode(frames)


@pytest.mark.parametrize('kind', [b'', b'\x00', b'\x05', b'\x12', b'\x01\x01', b'OK'])
def test_refuses_unknown_types(kind):
    with pytest.raises(RemoteProtocolError, match='unknown type'):
        v1.decode([b'v1', UID, kind, b''])


def test_a_type_of_any_length_does_not_fill_the_log():
    with pytest.raises(RemoteProtocolError) as caught:
        v1.decode([b'v1', UID, b'x' * 1000000, b''])
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize('uid', [b'', b'short', UID + b'x'])
def test_refuses_other_uids(uid):
    with pytest.raises(RemoteProtocolError, match='uid'):
        v1.decode([b'v1', uid, v1.OK, b''])


def test_a_heartbeat_has_any_uid():
    assert v1.decode([b'v1', b'', v1.HEARTBEAT, b'x']) == (v1.HEARTBEAT, b'', b'x')


def test_hello():
    frames = [b'v1', UID, v1.HELLO, msgpack.packb(('login', 'password'))]
    assert v1.decode(frames) == (v1.HELLO, UID, ('login', 'password'))


@pytest.mark.parametrize(
    'body', [b'', b'\x01', b'\x91\x01', b'\x93\x01\x02\x03', b'\xc1', b'\x91' * 5000]
)
def test_refuses_bad_hello(body):
    with pytest.raises(RemoteProtocolError, match='v1 HELLO'):
        v1.decode([b'v1', UID, v1.HELLO, body])


def test_our_uids():
    payload = v1.encode((wire.CALL, 77, 0, b'\x92\x90\x80', 'f', 10), PREFIX)
    assert payload[1] == PREFIX + b'\0' * 7 + b'M'
    assert len(payload[1]) == 16
    assert v1.split_uid(payload[1], PREFIX) == 77


def test_uids_of_others():
    assert v1.split_uid(UID, PREFIX) is None


@pytest.mark.parametrize('body', [bytes, bytearray, memoryview])
def test_a_call_is_work(body):
    args = msgpack.packb(((1,), {'k': 2}))
    message = (wire.CALL, 1, 0, body(args), 'f', None)
    frames = [bytes(frame) for frame in v1.encode(message, PREFIX)]
    assert v1.decode(frames)[2] == ('f', args)
    assert msgpack.unpackb(frames[3]) == ['f', [1], {'k': 2}]


def test_a_name_that_is_no_unicode_still_leaves():
    message = (wire.CALL, 1, 0, b'\x92\x90\x80', 'f\ud800', None)
    assert v1.decode(v1.encode(message, PREFIX))[2][0] == r'f\ud800'
    body = v1.encode_error('OSError', 'no file \udcff.txt')
    assert msgpack.unpackb(body)[1] == r'no file \udcff.txt'


@pytest.mark.parametrize(
    'message',
    [
        (wire.CANCEL, 1),
        (wire.PONG, 0),
        (wire.HELLO, 0, 0, {}),
        (wire.REJECT, 0, 0, {}),
        (wire.GOAWAY, 0, 0, {}),
        (wire.ITEM, 1, 0, b''),
        (wire.END, 1, 0, b''),
        (wire.CREDIT, 1, 0, None, 3),
    ],
)
def test_what_v1_has_no_word_for(message):
    assert v1.encode(message, PREFIX) is None


def test_errors():
    assert msgpack.unpackb(v1.encode_error('pseud.NotSentError', 'why')) == [
        'NotSentError',
        'why',
        '',
    ]
    assert msgpack.unpackb(v1.encode_error('KeyError', 'why', 'Traceback')) == [
        'KeyError',
        'why',
        'Traceback',
    ]
    # 1.x would make one of `builtins` by that name
    assert msgpack.unpackb(v1.encode_error('builtins.SystemExit', '1')) == [
        'builtins.SystemExit',
        '1',
        '',
    ]


@pytest.mark.parametrize(
    ('body', 'text'),
    [
        (b'go away', 'go away'),
        (b'', 'refused'),
        (b'\xff', '\ufffd'),
        (b'x' * 999, None),
    ],
)
def test_unauthorized(body, text):
    error = v1.unauthorized(body)
    assert type(error) is UnauthorizedError
    assert str(error) == (text or 'x' * 200)
