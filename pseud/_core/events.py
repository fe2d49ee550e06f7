"""What comes out of the core: plain tuples, the kind first.

Tuples because results and calls pass here hundreds of thousands of times a second.
``handle`` is whatever the caller gave to `Endpoint.call`; ``call`` an `InboundCall`.

=========  ==============================================================
kind       fields
=========  ==============================================================
INVOKE     call: run it, then answer through `reply` or `fail`
RESULT     handle, body, buffers, protocol: the call returned
ERROR      handle, body, buffers, protocol: the call raised
FAILED     handle, exception: the call ended without an answer
ABORT      call, reason: stop running it, nobody waits any more
READY      peer: it said hello and was not rejected (or spoke, for who has none)
LOST       peer, reason: the connection is gone
AWAY       peer, reason: it takes no new calls; those that had not left wait again
BEAT       peer: it sent a heartbeat or answered ours
SILENT     peer, seconds: it left another ping unanswered, the first so long ago
ANSWERS    peer: it does no longer
VIOLATION  peer, exception: it broke the protocol; the rest was dropped
LOGIN      peer, `Login`: decide, then `admit` or `refuse` the peer
REFUSED    peer, reason, unauthorized: it wants none of us; or, if unauthorized,
           it does not believe who we are
=========  ==============================================================
"""

from typing import Any

__all__ = [
    'ABORT',
    'ANSWERS',
    'AWAY',
    'BEAT',
    'ERROR',
    'FAILED',
    'INVOKE',
    'LOGIN',
    'LOST',
    'READY',
    'REFUSED',
    'RESULT',
    'SILENT',
    'VIOLATION',
    'Event',
]

INVOKE, RESULT, ERROR, FAILED, ABORT, READY, LOST, AWAY, BEAT, VIOLATION = range(10)
LOGIN, REFUSED, SILENT, ANSWERS = range(10, 14)

Event = tuple[Any, ...]
