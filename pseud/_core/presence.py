"""Peers that come, say who they are, and announce that they go."""

from typing import TYPE_CHECKING, Any

from ..errors import RemoteProtocolError
from . import wire
from .events import AWAY, BEAT, READY, REFUSED
from .outbox import OVERHEAD, enqueue, refresh
from .peer import Peer
from .waiting import withdraw
from .wire import Message

if TYPE_CHECKING:
    from .endpoint import Endpoint
    from .events import Event

__all__ = [
    'choose_protocol',
    'goaway',
    'introduce',
    'know',
    'on_goaway',
    'on_hello',
    'on_ping',
    'on_pong',
    'on_probe',
    'on_reject',
    'on_welcome',
    'part_from',
    'short',
    'tell',
]

# What HELLO and WELCOME state and we keep, and the characters of it.
_STATED = frozenset(('name', 'agent', 'max_message', 'max_calls', 'lockstep'))
MAX_AGENT = 256

# Token of the PING that follows GOAWAY; others are free to be used.
FAREWELL = 1


def tell(endpoint: 'Endpoint', peer: Peer, message: Message, size: int) -> None:
    """Queue what a peer asked for, unless it does not read what it asks for."""
    if endpoint.has_room(peer):
        enqueue(endpoint, peer, message, size)


def choose_protocol(peer: Peer, protocol: int) -> None:
    known = peer.ready and not peer.probed
    if known or peer.outbox or peer.in_flight:
        raise RemoteProtocolError(
            f'a v{protocol} message from a peer that speaks v{peer.protocol}'
        )
    peer.protocol = protocol
    peer.probed = False


def introduce(endpoint: 'Endpoint', peer: Peer, events: 'list[Event]') -> None:
    """From its first proper message on, we keep a peer in mind; if there is room."""
    if len(endpoint.peers) >= endpoint.limits.max_peers:
        _make_room(endpoint, events)
    if len(endpoint.peers) >= endpoint.limits.max_peers:
        peer.rejected = f'{len(endpoint.peers)} peers are connected already, the limit'
        peer.closed = True
        return
    endpoint.peers[peer.key] = peer
    peer.ready = True
    if peer.rejected is None and peer.admitted:
        events.append((READY, peer))


def on_probe(endpoint: 'Endpoint', peer: Peer, events: 'list[Event]') -> None:
    """An empty message: by it ROUTERs tell each other their routing ids.

    (ZMQ_PROBE_ROUTER.)  Clients of pseud 1.x are ROUTERs, those of 2 are not.
    """
    if endpoint.server and peer.admitted and not peer.ready:
        peer.protocol, peer.probed = 1, True
        introduce(endpoint, peer, events)


def know(endpoint: 'Endpoint', peer: Peer, events: 'list[Event]') -> None:
    """Keep in mind a peer that has to log in; or tell it why not."""
    if not peer.ready:
        introduce(endpoint, peer, events)
        if not peer.ready:
            tell(endpoint, peer, (wire.REJECT, 0, 0, {'reason': peer.rejected}), 256)


def _make_room(endpoint: 'Endpoint', events: 'list[Event]') -> None:
    """Forget the first peer that has not logged in, or is idle and would be met again.

    (Nobody tells of the loss of peers that are not watched.)
    """
    for peer in endpoint.peers.values():
        busy = peer.watched or peer.inbound or peer.in_flight or peer.outbox
        if not peer.admitted or not busy:
            events += endpoint.lost(peer, 'forgotten, to make room for others')
            return


def on_hello(
    endpoint: 'Endpoint', peer: Peer, _: Any, fields: Any, events: 'list[Event]'
) -> None:
    """The peer introduces itself; a client that looks for another service is told."""
    if not endpoint.server:
        raise RemoteProtocolError('HELLO from a server')
    _note_hello(peer, fields)
    wanted = fields.get('name')
    if wanted and wanted != endpoint.name:
        peer.rejected = (
            f'this server is {endpoint.name!r}, the client looks for {short(wanted)!r}'
        )
        peer.closed = True
    if not peer.ready:
        introduce(endpoint, peer, events)
    if peer.rejected is not None:
        tell(endpoint, peer, (wire.REJECT, 0, 0, {'reason': peer.rejected}), 256)
    elif not peer.lockstep:
        tell(endpoint, peer, (wire.WELCOME, 0, 0, endpoint.hello()), 256)
        if endpoint.draining is not None:
            part_from(endpoint, peer)


def on_welcome(
    endpoint: 'Endpoint', peer: Peer, _: Any, fields: Any, events: 'list[Event]'
) -> None:
    if endpoint.server:
        raise RemoteProtocolError('WELCOME from a client')
    _note_hello(peer, fields)
    peer.closed = peer.away is not None or peer.rejected is not None
    events.append((READY, peer))


def _note_hello(peer: Peer, fields: Any) -> None:
    if type(fields) is not dict:
        raise RemoteProtocolError(f'HELLO holds {type(fields).__name__}, not a map')
    # no more of it than is known: it stays as long as the peer
    peer.hello = {
        name: value[:MAX_AGENT] if type(value) is str else value
        for name, value in fields.items()
        if name in _STATED and type(value) in (str, int, bool)
    }
    if fields.get('lockstep') is True:
        peer.lockstep = peer.closed = True
    size, calls = fields.get('max_message'), fields.get('max_calls')
    if type(size) is int and size > 0:
        peer.max_message = size
    if type(calls) is int and calls > 0:
        peer.max_calls = min(calls, peer.max_calls)  # what it began with is ours


def on_reject(
    endpoint: 'Endpoint', peer: Peer, _: Any, fields: Any, events: 'list[Event]'
) -> None:
    peer.rejected = _reason(fields)
    peer.closed = True
    _let_go(endpoint, peer)
    unauthorized = type(fields) is dict and fields.get('unauthorized') is True
    events.append((REFUSED, peer, peer.rejected, unauthorized))


def on_goaway(
    endpoint: 'Endpoint', peer: Peer, _: Any, fields: Any, events: 'list[Event]'
) -> None:
    peer.away = _reason(fields)
    peer.closed = True
    _let_go(endpoint, peer)
    events.append((AWAY, peer, peer.away))


def _let_go(endpoint: 'Endpoint', peer: Peer) -> None:
    """Let another peer have the calls that have not left for this one."""
    withdraw(endpoint, peer)
    refresh(endpoint, peer, 0.0)


def part_from(endpoint: 'Endpoint', peer: Peer) -> None:
    """Tell a peer that we take no new calls, and ask whether it knows.

    Its answer comes after all calls that it made before it knew.  One in lockstep is told
    when it calls, and one of protocol 1 can not be.  One behind a device is not told: the
    next call may go to another server.
    """
    told = peer.protocol == 2 and not peer.lockstep and not peer.by_device
    if told and peer.rejected is None:
        peer.parting = True
        tell(endpoint, peer, goaway(endpoint), OVERHEAD)
        tell(endpoint, peer, (wire.PING, FAREWELL), OVERHEAD)


def goaway(endpoint: 'Endpoint') -> Message:
    """What peers are told while we drain."""
    return (wire.GOAWAY, 0, 0, {'reason': endpoint.draining})


def on_ping(
    endpoint: 'Endpoint', peer: Peer, token: Any, _: Any, events: 'list[Event]'
) -> None:
    if not peer.blocked and type(token) is int:
        if peer.lockstep and peer.rejected is None:  # the one time that it listens
            tell(endpoint, peer, (wire.WELCOME, 0, 0, endpoint.hello()), 256)
            if endpoint.draining is not None:
                tell(endpoint, peer, goaway(endpoint), OVERHEAD)
        tell(endpoint, peer, (wire.PONG, token), 0)
    _beat(endpoint, peer, events)


def on_pong(
    endpoint: 'Endpoint', peer: Peer, token: Any, _: Any, events: 'list[Event]'
) -> None:
    if token == FAREWELL:
        peer.parting = False
    if peer.hello is None:  # we have forgotten it; but it does not speak in turns
        peer.hello = {}
    _beat(endpoint, peer, events)


def _beat(endpoint: 'Endpoint', peer: Peer, events: 'list[Event]') -> None:
    """It answers, or asks; one that was forgotten, or given up, is met again by that."""
    if not peer.ready:
        introduce(endpoint, peer, events)
    events.append((BEAT, peer))


def _reason(fields: Any) -> str:
    reason = fields.get('reason') if type(fields) is dict else None
    return short(reason) if reason else 'no reason given'


def short(text: Any) -> str:
    """What a peer wrote, safe to show: neither long nor deep."""
    if type(text) is str:
        return text[:200]
    return repr(text) if type(text) in (int, float, bool) else type(text).__name__
