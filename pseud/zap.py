"""Who may connect: the ØMQ Authentication Protocol (RFC 27), answered for our servers.

A context has one ZAP address, so there is one handler to a context, shared by all its
servers and gone with the last; each has a domain of its own.  It runs in a thread of its
own: a busy event loop keeps nobody waiting at the door.
"""

import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import zmq

from .errors import UnauthorizedError, UsageError
from .native import allocate_lock, start_new_thread

__all__ = ['Credentials', 'register', 'unregister']

logger = logging.getLogger(__name__)

ADDRESS = 'inproc://zeromq.zap.01'
VERSION = b'1.0'
STOP_WAIT = 1000  # milliseconds
MAX_USER_ID = 255  # bytes; libzmq's metadata allows no more

_handlers: dict[int, '_Handler'] = {}
_lock = allocate_lock()
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a connection shows: the fields of a ZAP request.

    Args:
        mechanism: 'NULL', 'PLAIN' or 'CURVE'.
        address: IP address of the peer; empty for ipc.
        username, password: with PLAIN.
        public_key: with CURVE, 32 bytes.
    """

    mechanism: str
    address: str
    username: str = ''
    password: str = field(default='', repr=False)
    public_key: bytes = b''


Authenticate = Callable[[Credentials], str]


def register(context: 'zmq.Context[zmq.Socket[bytes]]', ask: Authenticate) -> bytes:
    """Ask ``ask`` about connections to sockets of a new domain.

    Args:
        context: of the sockets.
        ask: gives the user id, or raises `UnauthorizedError`; runs in another thread.

    Returns:
        The domain, for the sockets' ZAP_DOMAIN.

    Raises:
        UsageError: something else answers ZAP requests in this context.
    """
    with _lock:
        handler = _handlers.get(id(context))
        if handler is None or handler.context is not context:
            handler = _handlers[id(context)] = _Handler(context)
        domain = f'pseud-{next(_numbers)}'.encode()
        handler.domains[domain] = ask
        return domain


def unregister(context: 'zmq.Context[zmq.Socket[bytes]]', domain: bytes) -> None:
    """Forget a domain; with its last one, the handler ends."""
    with _lock:
        handler = _handlers.get(id(context))
        if handler is None or handler.domains.pop(domain, None) is None:
            return
        if not handler.domains:
            del _handlers[id(context)]
            handler.stop()


class _Handler:
    def __init__(self, context: 'zmq.Context[zmq.Socket[bytes]]') -> None:
        self.context = context
        self.domains: dict[bytes, Authenticate] = {}
        self.socket = context.socket(zmq.REP)
        self.socket.linger = 0
        try:
            self.socket.bind(ADDRESS)
        except zmq.ZMQError as error:
            self.socket.close()
            raise UsageError(
                'something else answers ZAP requests in this zmq.Context (a '
                'zmq.auth authenticator?): give the server a context of its own'
            ) from error
        name = f'inproc://pseud-zap-{next(_numbers)}'
        self.control = context.socket(zmq.PAIR)
        self.control.bind(name)
        self.stopping = context.socket(zmq.PAIR)
        self.stopping.connect(name)
        start_new_thread(self.run, ())

    def stop(self) -> None:
        try:
            self.stopping.send(b'')
            # The thread closes its socket, unless it waits for somebody's answer.
            self.stopping.poll(STOP_WAIT)
        except zmq.ZMQError:  # the context was terminated: the thread has seen it too
            pass
        self.stopping.close(0)

    def run(self) -> None:
        poller = zmq.Poller()
        poller.register(self.socket, zmq.POLLIN)
        poller.register(self.control, zmq.POLLIN)
        try:
            while True:
                ready = dict(poller.poll())
                if self.control in ready:
                    break
                self.socket.send_multipart(self.answer(self.socket.recv_multipart()))
            # at once, for the next handler; closing does it some time later
            self.socket.unbind(ADDRESS)
        except zmq.ContextTerminated:
            pass
        finally:
            self.socket.close(0)
            self.end()

    def end(self) -> None:
        try:
            self.control.send(b'', zmq.NOBLOCK)
        except zmq.ZMQError:  # nobody waits: the context was terminated
            pass
        self.control.close()

    def answer(self, request: list[bytes]) -> list[bytes]:
        """One ZAP reply; whatever goes wrong refuses."""
        number = request[1] if len(request) > 1 else b''
        try:
            name = self.decide(request)
            user_id = name.encode()
            # libzmq ends it at a NUL: one user would become another
            if not 0 < len(user_id) <= MAX_USER_ID or not name.isprintable():
                raise UnauthorizedError(f'a user id like {name[:40]!r}')
        except UnauthorizedError as error:
            logger.warning('refused a connection: %s', error)
            return [VERSION, number, b'400', b'refused', b'', b'']
        except BaseException:  # the thread serves others, too
            logger.exception('refused a connection, as asking about it failed')
            return [VERSION, number, b'500', b'internal error', b'', b'']
        return [VERSION, number, b'200', b'OK', user_id, b'']

    def decide(self, request: list[bytes]) -> str:
        version, _, domain, address, _, mechanism, *shown = request
        if version != VERSION:
            raise UnauthorizedError(f'a ZAP request of version {version[:8]!r}')
        ask = self.domains.get(domain)
        if ask is None:
            raise UnauthorizedError('its server has stopped')
        known: dict[str, Any] = {
            'mechanism': mechanism.decode(),
            'address': address.decode(),
        }
        if mechanism == b'PLAIN':
            try:
                username, password = (part.decode() for part in shown)
            except ValueError:
                raise UnauthorizedError('user id or password is not UTF-8') from None
            if not username.isprintable():
                raise UnauthorizedError('a user id with control characters')
            return ask(Credentials(**known, username=username, password=password))
        if mechanism == b'CURVE':
            return ask(Credentials(**known, public_key=shown[0]))
        return ask(Credentials(**known))
