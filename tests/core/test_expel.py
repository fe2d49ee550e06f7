"""A server ends a connection from its side: both sides know what is certain."""

import msgpack
import pytest
from helpers import Clock, Program, Wire, invariants, quiescent

from pseud._core import wire
from pseud._core.expel import expel
from pseud.errors import NotSentError, PeerLostError


def expelled(pair, reason='why'):
    """The peer of the server, after it was expelled and everything has arrived."""
    peer = pair.to_client
    pair.server.handle(expel(pair.server.core, peer, reason))
    invariants(pair.server, [peer])
    pair.run()
    return peer


def test_calls_both_ways_end():
    pair = Wire().start()
    up = pair.client.call('up')
    down = pair.server.call('down', peer=pair.to_client)
    pair.run()
    large = b'x' * wire.LARGE
    unsent = pair.server.call('unsent', peer=pair.to_client, body=large)
    peer = expelled(pair)
    assert type(pair.server.failure(down)) is PeerLostError
    assert type(pair.server.failure(unsent)) is NotSentError
    assert len(pair.client.calls) == 1  # and the other one did not leave
    assert pair.down.types[-3:] == [wire.CANCEL, wire.REJECT, wire.ERROR]
    assert pair.client.aborted == pair.client.calls
    error = pair.client.error(up)
    assert error['type'] == 'pseud.PeerLostError'
    assert error['message'] == 'up() was stopped: why; it may have run'
    assert [call.name for call in pair.server.aborted] == ['up']
    assert pair.server.kinds[-4:] == ['LOST', 'FAILED', 'FAILED', 'ABORT']
    with pytest.raises(NotSentError, match='why'):
        pair.client.call('more')
    with pytest.raises(NotSentError, match='why'):
        pair.server.call('more', peer=peer)
    assert pair.server.core.peers  # so that it is not met anew
    pair.drop()
    assert pair.server.kinds[-1] == 'LOST'
    assert not pair.server.core.peers
    assert expel(pair.server.core, peer, 'again') == []
    quiescent(pair.server, [peer])


def test_answers_that_wait_still_leave():
    pair = Wire().start()
    handle = pair.client.call()
    pair.run()
    pair.server.core.reply(pair.server.calls.pop(), b'\x07')
    expelled(pair)
    assert pair.client.result(handle) == b'\x07'


def test_others_are_not_concerned():
    server = Program(Clock(), server=True)
    pair, other = Wire(server=server).start(), Wire(server=server).start()
    handle = server.call(peer=other.to_client)
    expelled(pair)
    assert handle.id in server.core.pending
    assert not other.to_client.closed


def test_version_1_has_no_word_for_it():
    pair = Wire(protocol=1).start()
    handle = pair.client.call()
    pair.run()
    peer = expelled(pair)
    assert pair.client.kinds == ['ERROR']
    assert pair.client.outcome(handle)
    assert peer.outbox == []


@pytest.mark.parametrize('calls', [0, 1])
def test_a_lockstep_peer_is_told_with_an_answer(calls):
    clock = Clock()
    client = Program(clock, server=False, lockstep=True)
    pair = Wire(client, Program(clock, server=True)).connect()
    client.call()
    pair.run()
    if not calls:
        pair.server.core.reply(pair.server.calls.pop(), b'\xc0')
        pair.run()
    before = len(pair.down.sent)
    expelled(pair)
    heads = [msgpack.unpackb(head) for head, *_ in pair.down.sent[before:]]
    assert [[message[0] for message in head] for head in heads] == (
        [[wire.REJECT, wire.ERROR]] if calls else []
    )
