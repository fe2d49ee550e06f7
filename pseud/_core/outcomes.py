"""Why a call was not made or ended without an answer: the error, and what is certain.

Each text says what happened, to which call, and whether the function may have run.
"""

from ..errors import (
    LocalProtocolError,
    MessageTooLargeError,
    NotSentError,
    NotSentTimeoutError,
    OverloadedError,
    PeerLostError,
    PseudError,
    TimeoutError,
)
from .peer import Peer

__all__ = [
    'lost',
    'lost_unsent',
    'not_sent',
    'overdue',
    'overdue_unconnected',
    'overdue_unsent',
    'refused',
    'slow',
    'too_large',
]


def refused(peer: Peer, name: str, size: int) -> PseudError:
    """A call can not be made to this peer, as `Endpoint.call` found out."""
    text = f'{name}() was not sent to {peer.label}: '
    if peer.gone:
        return NotSentError(text + 'it is no longer connected')
    if peer.lockstep:
        return LocalProtocolError(text + 'a SyncClient can not be called')
    if peer.rejected is not None:
        return NotSentError(text + peer.rejected)
    if peer.away is not None:
        return NotSentError(text + f'it takes no new calls ({peer.away})')
    if peer.closed:
        return NotSentError(text + 'it has not said hello yet')
    if size > peer.max_message:
        return too_large(name, size, peer.max_message, f'the limit of {peer.label}')
    if peer.in_flight >= peer.max_calls:
        return OverloadedError(
            text + f'{peer.in_flight} calls are in flight to it, the limit of '
            'Limits(max_calls_per_peer=...), here or there'
        )
    return OverloadedError(text + slow(peer))


def slow(peer: Peer) -> str:
    """Why nothing more is queued for a peer."""
    if peer.blocked:
        return (
            f'{peer.queued} bytes wait to be sent to it, and it reads too slowly; '
            'Limits(max_queue=..., max_queued=...) say how many may, and for all peers'
        )
    return (
        f'{peer.queued} bytes wait to be sent to it already; '
        'Limits(max_queue=...) says how many may'
    )


def not_sent(name: str, why: PseudError) -> PseudError:
    """A call can not be made to anybody, as ``why`` says."""
    return type(why)(f'{name}() was not sent: {why}; it did not run')


def too_large(
    name: str, size: int, limit: int, whose: str, what: str = 'call'
) -> MessageTooLargeError:
    """A call or its result exceeds what its receiver accepts."""
    return MessageTooLargeError(
        f'{what} of {name}() is {size} bytes, {whose} is {limit}; '
        'Limits(max_message=...) of the receiver raises it'
    )


def overdue_unconnected(name: str, timeout: float | None, where: str) -> PseudError:
    """Due while it waited for a connection."""
    return NotSentTimeoutError(
        f'{name}() was not sent within {_seconds(timeout)}: {where}; it did not run'
    )


def overdue_unsent(name: str, timeout: float | None, peer: Peer) -> PseudError:
    """Due while the peer's pipe was full."""
    return NotSentTimeoutError(
        f'{name}() could not leave for {peer.label} within {_seconds(timeout)}; '
        'it did not run'
    )


def overdue(name: str, timeout: float | None, peer: Peer) -> PseudError:
    """Due while the peer had it."""
    return TimeoutError(
        f'{name}() got no answer from {peer.label} within {_seconds(timeout)}; '
        'it may have run'
    )


def lost_unsent(name: str, peer: Peer, reason: str) -> PseudError:
    """The connection went away before the call could leave."""
    return NotSentError(
        f'{name}() was not sent to {peer.label}: {reason}; it did not run'
    )


def lost(name: str, peer: Peer, reason: str) -> PseudError:
    """The connection went away while the peer had the call."""
    return PeerLostError(
        f'{name}() was under way when {peer.label} was lost: {reason}; it may have run'
    )


def _seconds(timeout: float | None) -> str:
    return 'any time' if timeout is None else f'{round(timeout, 3):g} s'
