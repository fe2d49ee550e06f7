"""Answers to the calls that peers made to us: results, and errors."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import outcomes, v1, wire
from .outbox import enqueue, enqueue_body, size_of
from .peer import InboundCall
from .wire import Buffer

if TYPE_CHECKING:
    from .endpoint import Endpoint

__all__ = ['fail', 'reply', 'reply_error']


def reply(
    endpoint: 'Endpoint',
    call: InboundCall,
    body: Buffer,
    buffers: Sequence[Buffer] = (),
) -> None:
    """Answer a call; ignored when nobody waits for it any more.

    Raises:
        MessageTooLargeError: more than the caller accepts; `fail` it instead.
    """
    if call.done:
        return
    peer = call.peer
    size = size_of(body, buffers) if buffers else len(body)
    if size > peer.max_message:
        raise outcomes.too_large(
            call.name,
            size,
            peer.max_message,
            f'the limit of {peer.label}',
            'result',
        )
    if not endpoint.has_room_for(peer, size):
        fail(
            endpoint,
            call,
            'pseud.PeerLostError',
            f'{call.name}() ran, but its result was dropped on the way to {peer.label}: '
            + outcomes.slow(peer),
        )
        return
    endpoint.forget(call)
    if size < wire.LARGE and not buffers:
        enqueue(endpoint, peer, (wire.RESULT, call.id, 0, body), size)
    else:
        enqueue_body(endpoint, peer, wire.RESULT, call.id, body, buffers)


def fail(
    endpoint: 'Endpoint',
    call: InboundCall,
    type_name: str,
    message: str,
    traceback: str | None = None,
) -> None:
    """Answer a call with an error of our own; a short one, whatever the limit."""
    if not call.done:
        make = v1.encode_error if call.protocol == 1 else wire.error_body
        _answer_error(endpoint, call, make(type_name, message, traceback))


def reply_error(endpoint: 'Endpoint', call: InboundCall, body: Buffer) -> None:
    """Answer a call with a packed error; ignored when nobody waits for it."""
    if call.done:
        return
    peer = call.peer
    if len(body) > peer.max_message:
        fail(
            endpoint,
            call,
            'pseud.MessageTooLargeError',
            f'{call.name}() raised something of {len(body)} bytes, '
            f'the limit of {peer.label} is {peer.max_message}',
        )
        return
    _answer_error(endpoint, call, body)


def _answer_error(endpoint: 'Endpoint', call: InboundCall, body: Buffer) -> None:
    endpoint.forget(call)
    if endpoint.has_room(call.peer):
        enqueue_body(endpoint, call.peer, wire.ERROR, call.id, body)
