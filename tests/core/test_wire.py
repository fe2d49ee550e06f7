"""v2's frames: what is read, what is refused, what is written."""

import msgpack
import pytest

from pseud._core import wire
from pseud.errors import RemoteProtocolError


def test_round_trip():
    messages = ((wire.CALL, 1, 0, b'body', 'f', 5000), (wire.CANCEL, 1))
    assert wire.decode(wire.encode(messages)) == messages


def test_head_is_never_v1():
    for count in (0, 1, 15, 16, 100000):
        assert wire.encode([()] * count)[:2] != b'v1'


def test_reads_from_a_view():
    head = wire.encode([(wire.PING, 3)])
    assert wire.decode(memoryview(head)) == ((wire.PING, 3),)


@pytest.mark.parametrize(
    'head',
    [
        pytest.param(b'', id='empty'),
        pytest.param(b'\xc1', id='unassigned byte'),
        pytest.param(b'\x92\x01', id='truncated'),
        pytest.param(b'\x91\x01\x02', id='trailing bytes'),
        pytest.param(b'\x91' * 5000, id='deep'),
        pytest.param(b'\x91' * 5000 + b'\x01', id='deep and complete'),
        pytest.param(b'\xdd\xff\xff\xff\xff', id='4 G array'),
        pytest.param(b'\xdf\xff\xff\xff\xff', id='4 G map'),
        pytest.param(b'\x91\xc6\xff\xff\xff\xff', id='4 GiB binary'),
        pytest.param(b'\x91\xa1\xff', id='text that is not UTF-8'),
        pytest.param(b'\x91\x81\x80\x01', id='unhashable key'),
        pytest.param(b'\x91\xd7\xff' + b'\xff' * 8, id='impossible timestamp'),
    ],
)
def test_refuses_what_is_not_msgpack(head):
    with pytest.raises(RemoteProtocolError, match='not msgpack'):
        wire.decode(head)


@pytest.mark.parametrize('value', [None, 1, 1.5, True, 'v1', b'v1', {}, {'a': 2}])
def test_refuses_what_is_no_array(value):
    with pytest.raises(RemoteProtocolError, match=f'holds {type(value).__name__}'):
        wire.decode(msgpack.packb(value))


def test_error_body():
    assert msgpack.unpackb(wire.error_body('pseud.X', 'why')) == {
        'type': 'pseud.X',
        'message': 'why',
    }
    assert msgpack.unpackb(wire.error_body('X', 'why', 'Traceback'))['traceback'] == (
        'Traceback'
    )


def test_text_that_is_no_unicode_still_leaves():
    """A file name can hold lone surrogates, and so can an error about it, or a name."""
    body = wire.error_body('OSError', 'no file \udcff.txt', 'at \udcff')
    assert msgpack.unpackb(body)['message'] == r'no file \udcff.txt'
    ((*_, name, _timeout),) = wire.decode(
        wire.encode([(wire.CALL, 1, 0, b'', 'f\ud800', None)])
    )
    assert name == r'f\ud800'
    assert wire.decode(wire.encode([(wire.PING, 1)])) == ((wire.PING, 1),)


def test_heads_have_an_end():
    largest = wire.encode([(wire.PING, 0, 0, bytes(wire.MAX_HEAD - 11))])
    assert len(largest) <= wire.MAX_HEAD
    assert len(wire.decode(largest)) == 1
    with pytest.raises(RemoteProtocolError, match='the limit is'):
        wire.decode(largest + bytes(20))


def test_messages_in_a_head_have_an_end():
    most = wire.encode([()] * wire.MAX_MESSAGES)
    assert len(wire.decode(most)) == wire.MAX_MESSAGES
    with pytest.raises(RemoteProtocolError, match='max_array_len'):
        wire.decode(wire.encode([()] * (wire.MAX_MESSAGES + 1)))
