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
    'CONNECTING',
    'LOST',
    'PROTOCOL',
    'REFUSED',
    'UP',
    'events',
    'refusal',
    'watch',
]

_numbers = itertools.count()

LOST = int(zmq.EVENT_DISCONNECTED)
UP = int(zmq.EVENT_HANDSHAKE_SUCCEEDED)
# HANDSHAKE_FAILED_NO_DETAIL says nothing: a server that dies meanwhile causes it, too.
REFUSED = int(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
PROTOCOL = int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
# What a socket that connects wants to know.
CONNECTING = LOST | UP | REFUSED | PROTOCOL


def watch(
    context: 'zmq.Context[zmq.Socket[bytes]]', socket: Any, wanted: int
) -> 'zmq.Socket[bytes]':
    """The monitor of a socket, for these events.

    It has no high-water mark: when it is full, libzmq's I/O thread waits for it, holding
    a lock that `bind` and `disable_monitor` of the socket need.
    """
    address = f'inproc://pseud-monitor-{next(_numbers)}'
    socket.monitor(address, wanted)
    monitor = context.socket(zmq.PAIR)
    monitor.rcvhwm = 0
    monitor.linger = 0
    monitor.connect(address)
    return monitor


def events(monitor: Any, pollin: Any) -> Iterator[tuple[int, int]]:
    """What has happened since the last look, as (event, value); never waits."""
    while not monitor.closed and zmq_poll(pollin, 0):
        event = parse_monitor_message(monitor.recv_multipart(zmq.NOBLOCK))
        yield int(event['event']), int(event['value'])


def refusal(
    endpoint: str, settings: Settings, event: int, value: int
) -> UnauthorizedError:
    """In words, why a server did not let a client in."""
    who = f'user {settings.user_id!r}' if settings.user_id else 'a client without name'
    plugin = settings.security_plugin
    if event == REFUSED:
        return UnauthorizedError(
            f'{endpoint} refused {who}: unknown, or the wrong password or key '
            f'(ZAP status {value}); security_plugin is {plugin!r}'
        )
    return UnauthorizedError(
        f'the handshake with {endpoint} failed: its security_plugin does not go with '
        f'{plugin!r} here, or it is no pseud server'
    )
