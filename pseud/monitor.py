"""Connections that come and go, as a socket's monitor tells them (zmq_socket_monitor)."""

import itertools
from collections.abc import Iterator
from typing import Any

import zmq
from zmq.backend import zmq_poll
from zmq.utils.monitor import parse_monitor_message

from .errors import UnauthorizedError
from .settings import Settings

__all__ = [
    'COME',
    'CONNECTING',
    'FAILED',
    'FAILURES',
    'LOST',
    'PROTOCOL',
    'REFUSED',
    'UP',
    'Silence',
    'events',
    'not_believed',
    'refusal',
    'watch',
]

_numbers = itertools.count()

LOST = int(zmq.EVENT_DISCONNECTED)
# Before the handshake; the value of these two and of LOST is a descriptor, that of others
# is not.
COME = int(zmq.EVENT_ACCEPTED) | int(zmq.EVENT_CONNECTED)
UP = int(zmq.EVENT_HANDSHAKE_SUCCEEDED)
REFUSED = int(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
REFUSED_FOR_GOOD = 400  # its value; others are of ZAP, too (RFC 27)
PROTOCOL = int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
# The other side closed the connection meanwhile, without a word: a CURVE server does so if
# the client has another server's key, but a server that dies does it, too.
FAILED = int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL)
# How often in a row, until it is taken for the former.
FAILURES = 3
# What a socket that connects wants to know.
CONNECTING = LOST | UP | REFUSED | PROTOCOL | FAILED


def watch(
    context: 'zmq.Context[zmq.Socket[bytes]]', socket: Any, wanted: int
) -> 'zmq.Socket[bytes]':
    """The monitor of a socket, for these events.

    It has no high-water mark: when it is full, libzmq's I/O thread waits for it, holding
    a lock that `bind` and `disable_monitor` of the socket need.
    """
    address = f'inproc://pseud-monitor-{next(_numbers)}'
    socket.monitor(address, wanted)
    monitor = context.socket(zmq.PAIR, socket_class=zmq.Socket)
    monitor.rcvhwm = 0
    monitor.linger = 0
    monitor.connect(address)
    return monitor


def events(monitor: Any, pollin: Any) -> Iterator[tuple[int, int]]:
    """What has happened since the last look, as (event, value); never waits."""
    while not monitor.closed and zmq_poll(pollin, 0):
        event = parse_monitor_message(monitor.recv_multipart(zmq.NOBLOCK))
        yield int(event['event']), int(event['value'])


class Silence:
    """Handshakes of one link that ended without a word, one after the other.

    Args:
        encrypted: the link uses CURVE: else that means nothing.
    """

    __slots__ = ('count', 'encrypted')

    def __init__(self, encrypted: bool) -> None:
        self.encrypted = encrypted
        self.count = 0

    def refuses(self) -> bool:
        """One more: whether it is taken for a refusal by now."""
        self.count += 1
        return self.encrypted and self.count >= FAILURES


def not_believed(endpoint: str, settings: Settings, reason: str) -> UnauthorizedError:
    """In words, why a server did not let a client log in."""
    return UnauthorizedError(f'{endpoint} refused user {settings.user_id!r}: {reason}')


def refusal(
    endpoint: str, settings: Settings, event: int, value: int
) -> UnauthorizedError:
    """In words, why a server did not let a client in."""
    who = f'user {settings.user_id!r}' if settings.user_id else 'a client without name'
    plugin = settings.security_plugin
    if event == REFUSED and value != REFUSED_FOR_GOOD:
        why = 'too many connect at once' if value == 300 else 'its plugin failed'
        return UnauthorizedError(
            f'{endpoint} could not decide about {who}: {why} (ZAP status {value})'
        )
    if event == REFUSED:
        return UnauthorizedError(
            f'{endpoint} refused {who}: unknown, the wrong password or key, or an '
            f'address that may not (ZAP status {value}); security_plugin is {plugin!r}'
        )
    if event == FAILED:
        return UnauthorizedError(
            f'{endpoint} closed the connection {FAILURES} times during the handshake: '
            'peer_public_key is not the key of that server, or there is none behind what '
            'answers there'
        )
    return UnauthorizedError(
        f'the handshake with {endpoint} failed: its security_plugin does not go with '
        f'{plugin!r} here, or it is no pseud server'
    )
