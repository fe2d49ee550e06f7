"""Who may connect: the ØMQ Authentication Protocol (RFC 27), answered for our servers.

A context has one ZAP address, so there is one handler to a context, shared by all its
servers and gone with the last; each has a domain of its own.  The handler runs in a thread
of its own and never waits for an answer: whoever is asked gives it when it is there.
"""

import itertools
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import zmq
from zmq.utils import z85

from .errors import UnauthorizedError, UsageError
from .native import allocate_lock, start_thread
from .seldom import Seldom
from .users import check_user_id

__all__ = ['Credentials', 'Outcome', 'register', 'unregister']

logger = logging.getLogger(__name__)

ADDRESS = 'inproc://zeromq.zap.01'
VERSION = b'1.0'
STOP_WAIT = 1.0  # seconds

# Seconds that a plugin has to decide; ZMQ_HANDSHAKE_IVL gives a handshake 30.
PATIENCE = 10.0
# Connections of one domain that wait for a decision; more are refused for now.
MAX_WAITING = 1000

_handlers: dict[int, '_Handler'] = {}
_lock = allocate_lock()
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a connection shows: the fields of a ZAP request, or of a login.

    Args:
        mechanism: 'NULL', 'PLAIN' or 'CURVE'; 'LOGIN' for a user id and password that were
            sent over a connection that is up.
        address: IP address of the peer; of ipc ``localhost:uid:gid:pid``, or empty.
        username, password: with PLAIN and LOGIN.
        public_key: with CURVE, 40 bytes of Z85.
    """

    mechanism: str
    address: str
    username: str = ''
    password: str = field(default='', repr=False)
    public_key: bytes = b''


# A user id, or the reason why there is none.
Outcome = str | BaseException
Answer = Callable[[Outcome], None]
Wanted = Callable[[], bool]
Ask = Callable[[Credentials, Answer, Wanted], None]


def register(context: 'zmq.Context[zmq.Socket[bytes]]', ask: Ask) -> bytes:
    """Ask ``ask`` about connections to sockets of a new domain.

    Args:
        context: of the sockets.
        ask: ``ask(credentials, answer, wanted)`` is called in another thread and must not
            wait; ``answer`` may be called in any thread, with a user id or an exception,
            which is an `UnauthorizedError` if all is well; once ``wanted()`` is false,
            the answer comes too late.

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
        with handler.lock:
            handler.domains[domain] = _Domain(ask)
        return domain


def unregister(context: 'zmq.Context[zmq.Socket[bytes]]', domain: bytes) -> None:
    """Forget a domain; with its last one, the handler ends."""
    with _lock:
        handler = _handlers.get(id(context))
        if handler is None:
            return
        with handler.lock:
            known = handler.domains.pop(domain, None)
        if known is not None and not handler.domains:
            del _handlers[id(context)]
            handler.stop()


class _Domain:
    """Whom to ask about connections to one server, and which wait for the answer."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.waiting: set[_Request] = set()
        self.refused = Seldom()
        self.failed = Seldom()

    def log(self, reason: str) -> None:
        """Say who was refused, now and then."""
        if count := self.refused():
            logger.warning(
                'refused a connection: %s (%d refused so far)', reason, count
            )

    def log_failure(self, error: BaseException) -> None:
        """The same of a plugin that fails: strangers may be able to make it fail."""
        if count := self.failed():
            logger.error(
                'refused a connection, as asking about it failed (%d so far)',
                count,
                exc_info=error,
            )


class _Request:
    """One connection that waits for a decision."""

    __slots__ = ('address', 'domain', 'done', 'envelope', 'number', 'until')

    def __init__(
        self, envelope: bytes, number: bytes, address: str, domain: _Domain | None
    ) -> None:
        self.envelope = envelope
        self.number = number
        self.address = address
        self.domain = domain
        self.until = time.monotonic() + PATIENCE
        self.done = False


class _Handler:
    def __init__(self, context: 'zmq.Context[zmq.Socket[bytes]]') -> None:
        self.context = context
        self.domains: dict[bytes, _Domain] = {}
        self.answers: deque[tuple[_Request, Outcome]] = deque()
        self.stopping = False
        self.ended = allocate_lock()
        self.socket = context.socket(zmq.ROUTER, socket_class=zmq.Socket)
        self.socket.linger = 0
        try:
            self.socket.bind(ADDRESS)
        except zmq.ZMQError as error:
            self.socket.close()
            raise UsageError(
                'something else answers ZAP requests in this zmq.Context (a '
                'zmq.auth authenticator?): give the server a context of its own'
            ) from error
        # Of `domains` and `wake_up`.  The thread must not take the module's: who stops it
        # holds that one, and waits.
        self.lock = allocate_lock()
        # a byte in it: there are answers, or the end has come
        self.woken, wake_up = os.pipe()
        self.wake_up: int | None = wake_up
        os.set_blocking(wake_up, False)
        self.ended.acquire()
        start_thread(self.run)

    def stop(self) -> None:
        self.stopping = True
        self.wake()
        self.ended.acquire(timeout=STOP_WAIT)

    def wake(self) -> None:
        with self.lock:  # the descriptor may be another's as soon as it is closed
            if self.wake_up is not None:
                try:
                    os.write(self.wake_up, b'.')
                except BlockingIOError:  # it is awake
                    pass

    # ---------------------------------------------------------------- in its thread

    def run(self) -> None:
        poller = zmq.Poller()
        poller.register(self.socket, zmq.POLLIN)
        poller.register(self.woken, zmq.POLLIN)
        try:
            while not self.stopping:
                waiting = any(domain.waiting for domain in self.current())
                ready = dict(poller.poll(500 if waiting else None))
                if self.woken in ready:
                    os.read(self.woken, 4096)
                while self.answers:
                    self.conclude(*self.answers.popleft())
                if self.socket in ready:
                    self.begin(self.socket.recv_multipart())
                if waiting:
                    self.give_up()
            # at once, for the next handler; closing does it some time later
            self.socket.unbind(ADDRESS)
        except zmq.ContextTerminated:
            pass
        finally:
            self.socket.close(0)
            with self.lock:
                for descriptor in (self.woken, self.wake_up):
                    if descriptor is not None:
                        os.close(descriptor)
                self.wake_up = None
            self.ended.release()

    def current(self) -> list[_Domain]:
        with self.lock:
            return list(self.domains.values())

    def begin(self, message: list[bytes]) -> None:
        """A connection asks to be let in."""
        envelope, _, version, number, name, address, _, mechanism, *shown = message
        domain = self.domains.get(name)
        request = _Request(envelope, number, address.decode(), domain)
        try:
            if version != VERSION:
                raise UnauthorizedError(f'a ZAP request of version {version[:8]!r}')
            if domain is None:
                raise UnauthorizedError('its server has stopped')
            credentials = _credentials(mechanism, request.address, shown)
            if len(domain.waiting) >= MAX_WAITING:
                self.reply(request, b'300', b'too many connect at once')
                return
            domain.waiting.add(request)
            domain.ask(
                credentials,
                lambda outcome: self.answer(request, outcome),
                lambda: not request.done,
            )
        except BaseException as error:  # the thread serves others, too
            self.conclude(request, error)

    def answer(self, request: _Request, outcome: Outcome) -> None:
        """From any thread: the decision about a connection is there."""
        self.answers.append((request, outcome))
        self.wake()

    def conclude(self, request: _Request, outcome: Outcome) -> None:
        """Tell libzmq what was decided; whatever is wrong refuses."""
        if request.done:  # it was too late
            return
        request.done = True
        domain = request.domain
        if domain is not None:
            domain.waiting.discard(request)
        try:
            if isinstance(outcome, BaseException):
                raise outcome
            # libzmq ends it at a NUL: one user would become another
            user_id = check_user_id(outcome).encode() if outcome else b''
        except (UnauthorizedError, ValueError) as error:
            where = f' (from {request.address})' if request.address else ''
            if domain is not None:
                domain.log(f'{error}{where}')
            self.reply(request, b'400', b'refused')
        except BaseException as error:
            if domain is not None:
                domain.log_failure(error)
            self.reply(request, b'500', b'internal error')
        else:
            self.reply(request, b'200', b'OK', user_id)

    def reply(
        self, request: _Request, code: bytes, text: bytes, user_id: bytes = b''
    ) -> None:
        self.socket.send_multipart(
            [request.envelope, b'', VERSION, request.number, code, text, user_id, b'']
        )

    def give_up(self) -> None:
        """Refuse those about whom nobody decides."""
        now = time.monotonic()
        for domain in self.current():
            for request in [each for each in domain.waiting if each.until <= now]:
                late = UnauthorizedError(f'nobody decided within {PATIENCE:g} s')
                self.conclude(request, late)


def _credentials(mechanism: bytes, address: str, shown: list[bytes]) -> Credentials:
    known: dict[str, Any] = {'mechanism': mechanism.decode(), 'address': address}
    if mechanism == b'PLAIN':
        try:
            username, password = (part.decode() for part in shown)
        except ValueError:
            raise UnauthorizedError('user id or password is not UTF-8') from None
        if not username.isprintable():
            raise UnauthorizedError('a user id with control characters')
        return Credentials(**known, username=username, password=password)
    if mechanism == b'CURVE':
        return Credentials(**known, public_key=z85.encode(shown[0]))
    return Credentials(**known)
