"""`SyncClient`: plain blocking calls, for the REPL, WSGI processes and cron jobs.

It needs no event loop.  A call takes a connection that is idle, or makes one, and gives
it back: as many sockets exist as there were calls at the same time, so threads do not
wait for each other.  A connection whose call ended without an answer is thrown away with
its socket (the "lazy pirate"), as a REQ socket that waits for an answer can do nothing
else.  In a forked child the parent's connections are forgotten and new ones are made.
"""

import os
from collections.abc import Callable
from time import monotonic
from typing import Any

import zmq
from zmq.backend import zmq_poll
from zope.interface import implementer

from ._version import AGENT
from .caller import Caller, CallsFunctions
from .current import inherited
from .errors import NotSentError, NotSentTimeoutError, PseudError, UsageError
from .exposure import warn_client
from .interfaces import IAuthenticationBackend, IClient
from .plugins import plugin
from .pump import POLLIN
from .registry import create_local_registry
from .settings import Settings
from .sync_link import LONGEST_POLL, Failure, SyncLink, make_packer

__all__ = ['SyncClient']

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
        self.called: set[str] = set()
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

    def _connected(self, name: str, deadline: float | None, timeout: Any) -> SyncLink:
        """A link that is up, waiting for one if need be."""
        link = self._take_idle(_is_up)
        if link is not None:
            return link
        if not self.endpoints:
            raise UsageError(f'{name}() can not be called: connect() to a server first')
        links = []
        for endpoint in self.endpoints:
            waiting = self._take_idle(lambda link, at=endpoint: link.endpoint == at)  # type: ignore[misc]
            links.append(waiting or self._make(endpoint))
        up = None
        try:
            up = self._first_up(name, links, deadline)
        finally:
            for link in links:
                if link.refusal is not None:  # ØMQ would not try again
                    link.close()
                elif link is not up:
                    self._give_back(link)
        if up is not None:
            return up
        raise NotSentTimeoutError(
            f'{name}() was not sent within {round(timeout, 3):g} s: not connected to '
            f'{", ".join(self.endpoints)}; it did not run'
        )

    def _first_up(
        self, name: str, links: list[SyncLink], deadline: float | None
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
            if len(refusals) == len(links):
                # each call its own, or tracebacks pile up
                raise type(refusals[0])(*refusals[0].args)
            wait = LONGEST_POLL  # another thread may close the client
            if deadline is not None:
                wait = min(wait, int((deadline - monotonic()) * 1000) + 1)
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
        link = self._connected(name, deadline, timeout)
        usable = False
        try:
            usable, outcome = link.call(name, args, kwargs, timeout, deadline)
        except PseudError:  # nothing was sent
            usable = True
            raise
        finally:  # a call that Ctrl-C interrupts leaves a socket that waits
            if usable:
                self._give_back(link)
            else:
                link.close()
        if isinstance(outcome, Failure):
            raise outcome.error
        self.called.add(name)
        return outcome


def _is_up(link: SyncLink) -> bool:
    link.observe()
    return link.peer is not None


@implementer(IClient)
class SyncClient(CallsFunctions):
    """Calls servers, and waits for the answers: ``client.some.function(1, 2)``.

    Attributes that are not defined here are remote functions.  Nobody can call it.
    Threads may share it; each call uses a connection of its own.  A forked child may go
    on with it, too.

    Args:
        name: of the service that is wanted; any, if it is left out.
        context: a ``zmq.Context``; the process-wide one by default.
        settings: as for `Client`, see `pseud.settings.Settings`.
    """

    def __init__(self, name: str = '', *, context: Any = None, **settings: Any) -> None:
        self.settings = Settings(name=name, **settings)
        self.settings.check_client()
        self.registry = create_local_registry(self.settings.name)
        auth = plugin(
            self, IAuthenticationBackend, self.settings.security_plugin, self.registry
        )
        if self.settings.protocol == 1 and auth.credentials() is not None:
            raise ValueError(
                'a SyncClient can not log in by protocol 1: take a pseud.Client, or '
                'another security_plugin'
            )
        self._engine = SyncEngine(self.settings, auth, context)
        self._caller = Caller(self._engine, self.settings.timeout)

    def __repr__(self) -> str:
        return f'<SyncClient {self.settings.name!r} {self._engine.endpoints}>'

    def __dir__(self) -> list[str]:
        """What is defined here, and the functions that were called so far."""
        called = {name.partition('.')[0] for name in self._engine.called}
        return sorted({*super().__dir__(), *called})

    def __enter__(self) -> 'SyncClient':
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def connect(self, endpoint: str) -> None:
        """Connect to a server, now or as soon as it is there; again when it was lost.

        Args:
            endpoint: ØMQ address.  May be called for several: a call goes to one that is
                connected.

        Raises:
            ValueError: it is no address.
        """
        self._engine.connect(endpoint)
        warn_client(endpoint, self._engine.auth, self.settings)

    def disconnect(self, endpoint: str) -> None:
        """Undo `connect`.

        Raises:
            ValueError: it is not connected there.
        """
        self._engine.disconnect(endpoint)

    def start(self) -> None:
        """Nothing to do: calls connect by themselves."""

    def stop(self, grace: float = 0) -> None:
        """Close the connections; calls that other threads are making end first."""
        self._engine.close()

    close = stop

    def bind(self, endpoint: str) -> None:
        """Clients connect.

        Raises:
            UsageError: always.
        """
        raise UsageError('a SyncClient connects to servers; use a Server to be called')

    def on_join(self, function: Any) -> Any:
        """A SyncClient connects as calls need it, and looks only while it calls.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            'a SyncClient has no event loop that could notice who comes and goes: '
            'use pseud.Client'
        )

    on_leave = on_join

    def register_rpc(
        self,
        func: Any = None,
        name: str | None = None,
        domain: str = 'default',
        with_identity: bool = False,
    ) -> Any:
        """Nobody can call a SyncClient.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            'a SyncClient can not be called, it has no event loop: use pseud.Client'
        )
