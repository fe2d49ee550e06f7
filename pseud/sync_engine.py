"""The connections of a `SyncClient`, and which of them a call takes.

A call takes a connection that is idle, or makes one, and gives it back: as many sockets
exist as there were calls at the same time, so threads do not wait for each other.  A
connection whose call ended without an answer is thrown away with its socket (the "lazy
pirate"), as a REQ socket that waits for an answer can do nothing else.  In a forked child
the parent's connections are forgotten and new ones are made.
"""

import itertools
import os
from collections import Counter
from collections.abc import Callable, Container, Mapping
from time import monotonic
from typing import Any

import zmq
from zmq.backend import zmq_poll

from ._core.peer import Peer
from ._version import AGENT
from .caller import Caller
from .current import inherited
from .errors import NotSentError, NotSentTimeoutError, PseudError, UsageError
from .pump import POLLIN
from .settings import Settings
from .sync_link import LONGEST_POLL, Failure, SyncLink, make_packer

__all__ = ['SyncEngine']

# Seconds until servers that take no new calls are asked again.
PAUSE, MAX_PAUSE = 0.05, 0.5
# And until one of several that refuses us is.
ASK_AGAIN = 1.0

# Links of a parent process: their sockets must not be closed in a forked child.
_parents: list[SyncLink] = []


class SyncEngine:
    """The connections of one `SyncClient`, and calls over them."""

    def __init__(self, settings: Settings, auth: Any, context: Any) -> None:
        self.settings = settings
        self.auth = auth
        self.context = context
        make_packer(settings)  # says at once what is wrong with a translation table
        self.endpoints: list[str] = []
        self.idle: list[SyncLink] = []
        self.busy: set[SyncLink] = set()
        self.called: set[str] = set()
        self._turns = itertools.count()
        self._ask_at = 0.0
        self.pid = os.getpid()
        self.closed = False

    # -------------------------------------------------------------- connections

    def connect(self, endpoint: str) -> None:
        self._notice_fork()
        if self.closed:
            raise UsageError('this SyncClient was closed: make a new one')
        if endpoint not in self.endpoints:
            link = self._make(endpoint)
            self.endpoints.append(endpoint)
            self._give_back(link)

    def disconnect(self, endpoint: str) -> None:
        self._notice_fork()
        if endpoint not in self.endpoints:
            raise ValueError(f'this SyncClient is not connected to {endpoint!r}')
        self.endpoints.remove(endpoint)
        self._sort_out()

    def close(self) -> None:
        self._notice_fork()
        self.closed = True
        self.endpoints.clear()
        self._sort_out()

    def _sort_out(self) -> None:
        """Close the idle links that are no longer wanted."""
        for _ in range(len(self.idle)):
            link = self._take_idle(lambda link: True)
            if link is not None:
                self._give_back(link)

    def _notice_fork(self) -> None:
        if self.pid != os.getpid():
            # not the parent's; zmq.Context.instance() knows about forks
            self.context = None
            parents, self.idle = self.idle, []
            _parents.extend(parents)
            self.pid = os.getpid()  # last: other threads may have noticed, too

    def _make(self, endpoint: str) -> SyncLink:
        context = self.context or zmq.Context.instance()
        return SyncLink(endpoint, self.settings, self.auth, context, AGENT)

    def _take_idle(self, wanted: Callable[[SyncLink], bool]) -> SyncLink | None:
        """An idle link of which ``wanted`` is true, the one used last first."""
        # Other threads take links at the same time: what pop() gives is ours alone.
        passed: list[SyncLink] = []
        found = None
        while found is None:
            try:
                link = self.idle.pop()
            except IndexError:
                break
            if wanted(link):
                found = link
            else:
                passed.append(link)
        passed.reverse()
        self._keep(passed)
        return found

    def _give_back(self, link: SyncLink) -> None:
        if link.endpoint in self.endpoints:
            self._keep([link])
        else:
            link.close()

    def _keep(self, links: list[SyncLink]) -> None:
        self.idle.extend(links)
        while self.closed and self.idle:  # by another thread, which did not see these
            try:
                self.idle.pop().close()
            except IndexError:
                break

    def _connected(
        self, name: str, until: float | None, passed: Container[str]
    ) -> SyncLink | None:
        """A link that is up, waiting for one if need be; None when there is none in time.

        Args:
            passed: endpoints that are not wanted.
        """
        if not self.endpoints:
            raise UsageError(f'{name}() can not be called: connect() to a server first')
        endpoints = self._in_order(passed)
        self._ask_again()
        for endpoint in endpoints:
            link = self._take_idle(
                lambda link, at=endpoint: link.endpoint == at and _is_up(link)  # type: ignore[misc]
            )
            if link is not None:
                return link
        links = []
        for endpoint in endpoints:
            waiting = self._take_idle(lambda link, at=endpoint: link.endpoint == at)  # type: ignore[misc]
            if waiting is not None and waiting.refusal is not None:
                waiting.close()  # ØMQ would not try again
                waiting = None
            links.append(waiting or self._make(endpoint))
        up = None
        try:
            up = self._first_up(name, links, until)
        finally:
            for link in links:
                if link.refusal is not None:
                    link.close()
                    self._replace(link.endpoint)
                elif link is not up:
                    self._give_back(link)
        return up

    def _in_order(self, passed: Container[str]) -> list[str]:
        """The endpoints to try: the least busy one first, equals by turns."""
        endpoints = [each for each in self.endpoints if each not in passed]
        if len(endpoints) > 1:
            turn = next(self._turns) % len(endpoints)
            endpoints = endpoints[turn:] + endpoints[:turn]
            busy = Counter(link.endpoint for link in list(self.busy))
            endpoints.sort(key=lambda endpoint: busy[endpoint])
        return endpoints

    def _ask_again(self) -> None:
        """Connect anew, now and then, where one of several servers refused us."""
        if len(self.endpoints) > 1 and monotonic() >= self._ask_at:
            self._ask_at = monotonic() + ASK_AGAIN
            while link := self._take_idle(lambda link: link.refusal is not None):
                link.close()
                self._replace(link.endpoint)

    def _first_up(
        self, name: str, links: list[SyncLink], until: float | None
    ) -> SyncLink | None:
        """The first of these that is connected; None when there is none in time.

        Raises:
            UnauthorizedError: every server refuses us.
            NotSentError: another thread closed the client.
        """
        while not self.closed:
            for link in links:
                if _is_up(link):
                    return link
            refusals = [link.refusal for link in links if link.refusal is not None]
            if refusals and len(refusals) == len(links):
                # each call its own, or tracebacks pile up
                raise type(refusals[0])(*refusals[0].args)
            wait = LONGEST_POLL  # another thread may close the client
            if until is not None:
                wait = min(wait, int((until - monotonic()) * 1000) + 1)
                if wait <= 0:
                    return None
            zmq_poll([(link.monitor, POLLIN) for link in links], wait)
        raise NotSentError(
            f'{name}() was not sent: the SyncClient was closed; it did not run'
        )

    # -------------------------------------------------------------- calls

    def call(
        self, caller: Caller, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Make a call, and wait for what it returns."""
        self._notice_fork()
        if self.closed:
            raise UsageError('this SyncClient was closed: make a new one')
        now = monotonic()
        timeout = inherited(caller._timeout, now)
        deadline = None if timeout is None else now + timeout
        passed: dict[str, Failure] = {}  # by servers that take no calls
        pause = PAUSE
        while True:
            until = deadline
            if passed:
                until = (
                    monotonic() + pause
                    if deadline is None
                    else min(deadline, monotonic() + pause)
                )
            link = self._connected(name, until, passed)
            if link is not None:
                outcome = self._call(link, name, args, kwargs, timeout, deadline)
                if not isinstance(outcome, Failure):
                    self.called.add(name)
                    return outcome
                if outcome.elsewhere:
                    passed[link.endpoint] = outcome
                if not outcome.elsewhere or self._all_refuse(passed):
                    raise outcome.error
            elif deadline is not None and monotonic() >= deadline:
                raise self._overdue(name, timeout, passed)
            else:
                passed.clear()
                pause = min(2 * pause, MAX_PAUSE)

    def ping(self, timeout: float) -> tuple[Peer, float]:
        """See whether a server is there, and its event loop runs.

        Args:
            timeout: seconds that it has, connecting included.

        Returns:
            The server, and the seconds that it took to answer.

        Raises:
            NotSentTimeoutError: nobody is there.
            PseudError: as `SyncLink.ping` does.
        """
        deadline = monotonic() + timeout
        link = self._connected('ping', deadline, ())
        if link is None:
            where = ', '.join(self.endpoints)
            raise NotSentTimeoutError(f'not connected to {where} within {timeout:g} s')
        peer = link.peer
        assert peer is not None
        try:
            return peer, link.ping(timeout, deadline)
        finally:
            link.close()

    def _all_refuse(self, passed: Mapping[str, Failure]) -> bool:
        return all(
            endpoint in passed and passed[endpoint].refused
            for endpoint in self.endpoints
        )

    def _overdue(
        self, name: str, timeout: Any, passed: Mapping[str, Failure]
    ) -> PseudError:
        why = [str(failure.error) for failure in passed.values()]
        others = [each for each in self.endpoints if each not in passed]
        if others:
            why.append(f'not connected to {", ".join(others)}; it did not run')
        return NotSentTimeoutError(
            f'{name}() was not sent within {round(timeout, 3):g} s: {"; ".join(why)}'
        )

    def _call(self, link: SyncLink, *call: Any) -> Any:
        usable = False
        self.busy.add(link)
        try:
            usable, outcome = link.call(*call)
        except PseudError:  # nothing was sent
            usable = True
            raise
        finally:  # a call that Ctrl-C interrupts leaves a socket that waits
            self.busy.discard(link)
            if usable:
                self._give_back(link)
            else:
                link.close()
                self._replace(link.endpoint)
        return outcome

    def _replace(self, endpoint: str) -> None:
        """Connect anew to one of several servers, so that it is there for later calls."""
        links = [*self.idle, *self.busy]
        if len(self.endpoints) > 1 and all(link.endpoint != endpoint for link in links):
            self._give_back(self._make(endpoint))


def _is_up(link: SyncLink) -> bool:
    link.observe()
    return link.peer is not None
