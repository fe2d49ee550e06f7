"""Calls that were passed on state where they come from, calls back for whom they are."""

import msgpack
import pytest
from helpers import ARGS, Wire

from pseud._core import wire
from pseud._core.outbox import BATCH
from pseud._core.route import HOP, MAX_HOPS, Route, read_route
from pseud.errors import NotSentError, RemoteProtocolError

A, B = b'a' * HOP, b'b' * HOP
ROUTE = Route((A, B), 'alice', (B,))


@pytest.fixture
def pair():
    pair = Wire()
    return pair.start()


@pytest.mark.parametrize('size', [0, wire.LARGE])
def test_it_travels_with_the_call(pair, size):
    pair.client.call(
        body=ARGS + bytes(size), buffers=(b'x',) if size else (), route=ROUTE
    )
    pair.run()
    (call,) = pair.server.calls
    assert call.route == ROUTE
    assert len(call.body) == len(ARGS) + size


def test_calls_without_have_none(pair):
    pair.client.call()
    pair.run()
    assert pair.server.calls[0].route is None


def test_it_waits_with_the_call():
    pair = Wire()
    pair.client.call(route=ROUTE)
    pair.connect()
    pair.run()
    assert pair.server.calls[0].route == ROUTE


def test_it_moves_with_the_call(pair):
    """From a connection that was lost before the call had left, to the next."""
    pair.client.call(route=ROUTE)
    pair.drop()
    pair.connect()
    pair.run()
    assert pair.server.calls[0].route == ROUTE


def test_it_outlives_a_full_pipe(pair):
    pair.up.block()
    pair.client.call(route=ROUTE, timeout=10)
    pair.client.flush()
    pair.pass_time(1)
    pair.unblock()
    pair.run()
    (call,) = pair.server.calls
    assert call.route == ROUTE
    assert call.deadline is not None


def test_it_counts(pair):
    """What is queued never makes a head that is larger than its reader takes."""
    hops = tuple(bytes([number]) * HOP for number in range(MAX_HOPS))
    route = Route(hops, 'ü' * 1000, hops)
    pair.up.block()
    peer = pair.to_server
    for _ in range(200):
        pair.client.call(route=route)
    pair.client.flush()
    assert peer.queued > 200 * 2 * MAX_HOPS * HOP
    pair.unblock()
    pair.client.retry(peer)
    heads = [len(payload[0]) for payload in pair.up.sent[1:]]
    assert len(heads) > 1
    assert max(heads) < 2 * BATCH


@pytest.mark.parametrize(
    'value',
    [
        1,
        'text',
        {},
        (),
        ((), None),
        (None, None, ()),
        ((), None, None),
        ((b'short',), None, ()),
        (('a' * HOP,), None, ()),
        ((A,) * (MAX_HOPS + 1), None, ()),
        ((), None, (A,) * (MAX_HOPS + 1)),
        ((), 1, ()),
        ((), b'alice', ()),
        ((), 'a' * 1025, ()),
    ],
)
def test_what_is_none(pair, value):
    with pytest.raises(RemoteProtocolError):
        read_route(value)
    call = (wire.CALL, 1, 0, ARGS, 'f', None, value)
    pair.inject_up([msgpack.packb([call])])
    assert pair.server.calls == []
    assert isinstance(pair.server.errors[0], RemoteProtocolError)


def test_what_later_versions_add_is_ignored():
    assert read_route(((A,), 'alice', (), 'more')) == Route((A,), 'alice', ())
    assert read_route(None) is None


def test_behind_a_device_nobody_is_told_of_a_drain(pair):
    """The next call may go to another server; those that come here are refused."""
    pair.to_client.by_device = True
    pair.server.core.drain('it is stopping')
    assert pair.server.flush() == 0
    call = pair.client.call()
    pair.run()
    assert pair.server.calls == []
    assert pair.client.error(call)['type'] == f'pseud.{NotSentError.__name__}'
    again = pair.client.call()
    pair.run()
    assert 'did not run' in pair.client.error(again)['message']
