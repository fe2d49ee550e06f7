"""Asks the authentication plugin: about connections, logins, and who may stay.

A plugin may take its time.  Where it may block, a thread of its server's own runs it;
coroutines, and on gevent all functions, run on the server's loop.  Neither keeps another
server or the ZAP handler waiting.
"""

import inspect
import ipaddress
import logging
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context
from functools import partial
from typing import Any

from zope.interface import implementer

from .errors import UnauthorizedError
from .interfaces import IJob
from .native import allocate_lock, start_thread
from .seldom import Seldom
from .users import check_user_id
from .zap import Answer, Credentials, Outcome, Wanted

__all__ = ['Admission', 'networks']

logger = logging.getLogger(__name__)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Threads that ask one plugin at the same time.
THREADS = 16
# Questions to one plugin that wait; more are refused for now.
MAX_QUEUE = 2000
BUSY = 'too many wait for a decision'


def networks(what: str, given: Iterable[Any] | None) -> tuple[Network, ...]:
    """Addresses and networks, as ``allow`` and ``deny`` list them.

    Raises:
        ValueError: one is none; names the argument.
    """
    if given is None:
        return ()
    if isinstance(given, str):
        given = [given]
    given = list(given)
    if not given:
        raise ValueError(f'{what} lists nothing: leave it out to let everybody connect')
    try:
        return tuple(_unmapped(ipaddress.ip_network(each)) for each in given)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{what} must list IP addresses and networks such as '192.0.2.0/24': {error}"
        ) from None


def _unmapped(network: Network) -> Network:
    """What stands for IPv4 addresses in IPv6 (``::ffff:192.0.2.0/120``), as IPv4."""
    inside = network.prefixlen - 96
    if (
        network.version == 4
        or inside < 0
        or network.network_address.ipv4_mapped is None
    ):
        return network
    return ipaddress.IPv4Network((network.network_address.ipv4_mapped, inside))


class Admission:
    """Decides who is let in to one server.

    Args:
        auth: its authentication plugin.
        allow, deny: networks; addresses outside of the first, if there are any, and inside
            of the second are refused.
    """

    def __init__(
        self, auth: Any, allow: tuple[Network, ...], deny: tuple[Network, ...]
    ) -> None:
        self.auth = auth
        self.allow = allow
        self.deny = deny
        self.needs_zap = bool(auth.needs_zap or allow or deny)
        self.closed = False
        self._refused = Seldom()
        self._failed = Seldom()
        self.backend: Any = None
        self._context = Context()
        self._workers = _Workers()
        self._early: deque[tuple[Credentials, Answer, Wanted]] = deque()

    def attach(self, backend: Any, context: Context) -> None:
        """The server's loop is known from now on."""
        self._context = context
        self.backend = backend
        backend.call_soon(self._ask_early)

    def close(self) -> None:
        """Nobody is let in any more."""
        self.closed = True
        while self._early:
            self._early.popleft()[1](UnauthorizedError('its server has stopped'))

    def log(self, text: str) -> None:
        """Say who was refused, now and then."""
        if count := self._refused():
            logger.warning('refused a login: %s (%d refused so far)', text, count)

    def log_failure(self, label: str, error: BaseException) -> None:
        """The same of a plugin that fails: strangers may be able to make it fail."""
        if count := self._failed():
            logger.error('%s: a login failed (%d so far)', label, count, exc_info=error)

    def ask(
        self, credentials: Credentials, answer: Answer, wanted: Wanted = lambda: True
    ) -> None:
        """Find out who it is; never waits.  For any thread.

        Args:
            answer: called in some thread with the user id or an exception.
            wanted: whether an answer is still waited for; else the plugin is not asked.
        """
        if self.closed:
            answer(UnauthorizedError('its server has stopped'))
        elif not self._admits(credentials.address):
            answer(UnauthorizedError('its address is not allowed'))
        elif not self.auth.needs_zap:
            answer('')
        elif self._in_threads():
            if not self._workers.run(
                lambda: self._ask_here(credentials, answer, wanted)
            ):
                answer(UnauthorizedError(BUSY))
        elif len(self._early) >= MAX_QUEUE:
            answer(UnauthorizedError(BUSY))
        else:
            self._early.append((credentials, answer, wanted))
            backend = self.backend
            if backend is not None:
                backend.call_soon_threadsafe(self._ask_early)

    def _in_threads(self) -> bool:
        """Whether the plugin is asked in threads, as far as is known by now."""
        if inspect.iscoroutinefunction(self.auth.authenticate):
            return False
        blocking: bool | None = self.auth.blocking
        if blocking is None:
            return self.backend is not None and not self.backend.cooperative
        return blocking

    def _admits(self, address: str) -> bool:
        if not (self.allow or self.deny):
            return True
        try:
            found: Any = ipaddress.ip_address(address)
        except ValueError:  # of ipc: libzmq says 'localhost:uid:gid:pid', or nothing
            return True
        if found.version == 6 and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        if any(found in network for network in self.deny):
            return False
        return not self.allow or any(found in network for network in self.allow)

    def _ask_here(
        self, credentials: Credentials, answer: Answer, wanted: Wanted
    ) -> None:
        """Ask a plugin that may block, in a thread."""
        if self.closed or not wanted():
            answer(UnauthorizedError('nobody waits for it any more'))
            return
        outcome: Outcome
        try:
            outcome = self._checked(self.auth.authenticate(credentials))
        except BaseException as error:
            outcome = error
        answer(outcome)

    def _ask_early(self) -> None:
        """Ask on the loop about all that have come."""
        while self._early:
            credentials, answer, wanted = self._early.popleft()
            if self.closed or not wanted():
                answer(UnauthorizedError('nobody waits for it any more'))
                continue
            if self._in_threads():
                self.ask(credentials, answer, wanted)
                continue
            ask = partial(self.auth.authenticate, credentials)
            context = self._context.copy()
            self.backend.spawn(_Question(ask, self._checked, answer, context))

    def _checked(self, user_id: Any) -> str:
        if not isinstance(user_id, str) or (self.auth.identifies and not user_id):
            raise TypeError(
                f'authenticate() of {self.auth.name!r} returned {type(user_id).__name__}: '
                'it must return a user id that is not empty, or raise UnauthorizedError'
            )
        if user_id:  # ZAP's would end at a NUL, and a log would show more than one line
            try:
                check_user_id(user_id)
            except ValueError as error:
                raise UnauthorizedError(str(error)) from None
        return user_id


@implementer(IJob)
class _Question:
    """One question to a plugin, as a backend runs it."""

    name = 'authenticate'
    peer = None
    deadline = None

    def __init__(
        self,
        ask: Callable[[], Any],
        check: Callable[[Any], str],
        answer: Answer,
        context: Context,
    ) -> None:
        self.ask = ask
        self.check = check
        self.answer = answer
        self.context = context

    def invoke(self) -> Any:
        try:
            return self.context.run(self.ask)
        except SystemExit as error:  # it would end the server
            raise RuntimeError('authenticate() raised SystemExit') from error

    def succeeded(self, value: Any) -> None:
        try:
            outcome: Outcome = self.check(value)
        except (TypeError, UnauthorizedError) as error:
            outcome = error
        self.answer(outcome)

    def failed(self, error: BaseException) -> None:
        self.answer(error)


class _Workers:
    """A few threads that live as long as there is something to do."""

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._tasks: deque[Callable[[], None]] = deque()
        self._running = 0

    def run(self, task: Callable[[], None]) -> bool:
        """Do this some time; False if too much is to be done already."""
        with self._lock:
            if len(self._tasks) >= MAX_QUEUE:
                return False
            self._tasks.append(task)
            if self._running == THREADS:
                return True
            self._running += 1
        start_thread(self._work)
        return True

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._tasks:
                    self._running -= 1
                    return
                task = self._tasks.popleft()
            try:
                task()
            except BaseException:
                logger.exception('a bug in pseud: a connection was not decided about')
