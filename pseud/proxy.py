"""Calls of functions that are not here: passed on to where they are, and back.

What is passed on stays encoded, and its buffers uncopied, between peers of one protocol
version.  With it travel its deadline, its cancellation, who made it, for servers that
trust this one (`trusted_proxies`), and the way back to him (see `_core.route`).
"""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import remote
from ._core.peer import Peer
from ._core.route import MAX_HOPS, SELF, Route
from ._core.wire import Buffer
from .errors import (
    MessageTooLargeError,
    NotSentError,
    PseudError,
    RemoteTraceback,
    SerializationError,
    ServiceNotFoundError,
    UnauthorizedError,
    UsageError,
)
from .native import get_ident
from .raisable import FATE
from .registry import RPCCallable, is_admitted, is_known
from .seldom import Seldom

if TYPE_CHECKING:
    from .dispatch import Job
    from .engine import Engine

__all__ = ['Forward', 'Proxy', 'find_home']

logger = logging.getLogger(__name__)


class Proxy:
    """What one client or server passes on, and to whom.

    Args:
        engine: its engine.
        target: the engine of `proxy_to`; None if calls are only passed on back through
            this one.

    Attributes:
        relatives: the engines that calls come from or go to, by how their hops begin.
    """

    def __init__(self, engine: 'Engine', target: 'Engine | None') -> None:
        self.engine = engine
        self.target = target
        self.relatives: dict[bytes, Engine] = {}
        self.loops = Seldom()
        self._any = self._stand_in('')  # for what does not depend on the name

    def close(self) -> None:
        """Pass nothing on any more."""
        for relative in self.relatives.values():
            if relative.proxy is not None:
                relative.proxy.relatives.pop(self.engine.core.uid_prefix, None)
        self.relatives.clear()

    def passes_on(self, job: 'Job') -> bool:
        """Pass on a call at once, if no function of the user has a say in it."""
        target = self.target
        if (
            target is None
            or target.server
            or (job.route is not None and job.route.to)
            or is_known(self.engine.registry, job.name)
            or not self._any.admits_all
        ):
            return False
        job.handle = Forward(job, target)
        job.handle.start()
        return True

    def check(self, name: str, user_id: str | None) -> None:
        """Return if a user may have calls of a name passed on.

        Raises:
            ServiceNotFoundError: the predicate of `proxy_domain` says no.
        """
        if not is_admitted(self._stand_in(name), self.engine.auth, user_id):
            raise ServiceNotFoundError(f'there is no function {name!r} for this caller')

    def _stand_in(self, name: str) -> RPCCallable:
        """What the predicate decides about."""
        engine = self.engine
        domain = engine.settings.proxy_domain
        return RPCCallable(_elsewhere, name, domain, registry=engine.registry)

    def find(self, job: 'Job', hop: bytes) -> 'tuple[Engine, Peer]':
        """Where a call back goes.

        Raises:
            NotSentError: nobody is there.
            ServiceNotFoundError: he is who calls are passed on to, and this one is not.
        """
        relative = self.relatives.get(hop[:SELF])
        peer = None if relative is None else relative.roster.hops.get(hop)
        if relative is None or peer is None:
            raise _nobody(job)
        if self._leads_to(relative) and _find_out(job) is not relative:
            raise ServiceNotFoundError(
                f'there is no function {job.name!r} for this caller'
            )
        return relative, peer

    def _leads_to(self, relative: 'Engine') -> bool:
        """Whether calls may be passed on there that nobody asked for."""
        proxy: Proxy | None = self
        while proxy is not None and proxy.target is not None:
            if proxy.target is relative:
                return True
            proxy = proxy.target.proxy if proxy.target.server else None
        return False


def _elsewhere() -> None:
    """In the place of functions that are not here."""


def _nobody(job: 'Job') -> NotSentError:
    return NotSentError(
        f'{job.name}() did not run: whom it is for is not connected any more'
    )


def find_home(job: 'Job') -> 'Engine | Forward':
    """Whose function a call means: an engine of this process, or it is to be passed on.

    Raises:
        ServiceNotFoundError, NotSentError: nobody's.
    """
    route = job.route
    if route is not None and route.to:
        if job.engine.proxy is None:
            raise _nobody(job)
        return Forward(job, *job.engine.proxy.find(job, route.to[-1]))
    home = _find_out(job)
    return home if home is job.engine or home.server else Forward(job, home)


def _find_out(job: 'Job') -> 'Engine':
    """Whose function a call means that is for nobody beyond: a client's, of its servers.

    Raises:
        ServiceNotFoundError: it may not be passed on.
    """
    home = job.engine
    while not is_known(home.registry, job.name):
        proxy = home.proxy
        if proxy is None or proxy.target is None:
            break
        proxy.check(job.name, job.user_id)
        home = proxy.target
        if not home.server:
            break
    return home


def _check_loop(target: 'Engine', engine: 'Engine') -> None:
    """Return if a client or server works in the loop that runs here, that of ``engine``.

    Raises:
        UsageError: it was stopped, or works elsewhere.
    """
    backend = target.backend
    if (
        not target.closed
        and backend is not None
        and backend.loop is engine.backend.loop
    ):
        return
    guard = target.guard
    if guard is None or target.closed or guard.thread != get_ident():
        target.attach()
    if not target.backend.running():
        raise UsageError(
            f'{target.label} works in another event loop (one asyncio.run is one loop): '
            'make a new one in each'
        )


class Forward:
    """A call that is passed on; to its target it is the result of a call.

    Args:
        job: the call, of a peer of one engine.
        target: the engine that makes it anew.
        peer: whom to; None lets the target choose.
    """

    __slots__ = ('call_id', 'job', 'peer', 'target')

    def __init__(self, job: 'Job', target: 'Engine', peer: Peer | None = None) -> None:
        self.job = job
        self.target = target
        self.peer = peer
        self.call_id = 0

    def start(self) -> 'Forward':
        """Make the call; returns itself."""
        job, target, peer = self.job, self.target, self.peer
        if job.done:  # while a predicate was asked
            return self
        try:
            _check_loop(target, job.engine)
            protocol = target.settings.protocol if peer is None else peer.protocol
            body, buffers = job.body, job.buffers
            if protocol != job.protocol:
                args, kwargs = job.engine.packers[job.protocol].unpack_call(
                    body, buffers
                )
                body, buffers = target.packers[protocol].pack_call(args, kwargs)
            now, deadline = target.backend.now(), job.deadline
            timeout = None if deadline is None else deadline - now
            core = target.core
            self.call_id = core.call(
                peer, job.name, body, buffers, timeout, now, self, self._route()
            )
        except SerializationError as error:
            self._fail(error, f'{job.name}() did not run: {error}')
        except PseudError as error:
            self.set_exception(error)
        else:
            job.body, job.buffers = b'', ()
            target.wake()
        return self

    def _route(self) -> Route:
        """What the target states: where the call comes from, and for whom.

        Raises:
            ServiceNotFoundError: it has been here before.
        """
        job, target = self.job, self.target
        engine, peer = job.engine, job.peer
        uid = engine.core.uid_prefix
        relatives = engine.family().relatives
        if target.core.uid_prefix not in relatives:
            relatives[target.core.uid_prefix] = target
            target.family().relatives[uid] = engine
        user_id = job.user_id
        if job.route is None:
            stated = peer.stated
            if stated is None or stated.user_id != user_id:
                stated = peer.stated = Route((engine.roster.hop(peer),), user_id)
            return stated
        came, _, to = job.route
        if len(came) >= MAX_HOPS or any(hop[:SELF] == uid for hop in came):
            if count := engine.family().loops():
                logger.warning(
                    '%s: %s() goes round in proxies (%d such calls so far)',
                    engine.label,
                    job.name,
                    count,
                )
            raise ServiceNotFoundError(
                f'there is no function {job.name!r}: the call went round in a loop of '
                f'proxies, {len(came)} so far'
            )
        return Route((*came, engine.roster.hop(peer)), user_id, to[:-1])

    # ------------------------------------------------------ as the result of a call

    def done(self) -> bool:
        return self.job.done

    def cancel(self) -> None:
        """Nobody waits any more."""
        self.target.core.cancel(self.call_id)
        self.target.sender.flush_soon()

    def set_exception(self, error: PseudError) -> None:
        """The call ended here, or on its way."""
        text = str(error)
        if isinstance(error, UnauthorizedError | UsageError):  # it is ours, not his
            text = f'{self.job.name}() was not passed on: {text}; it did not run'
            error = NotSentError(text)
        elif isinstance(error, MessageTooLargeError):
            text = f'{self.job.name}() did not run: {text}'
        self._fail(error, text)

    def _fail(self, error: PseudError, text: str, traceback: str | None = None) -> None:
        engine = self.job.engine
        engine.core.fail(self.job, f'pseud.{type(error).__name__}', text, traceback)
        engine.sender.flush_soon()

    def returned(self, body: Buffer, buffers: Sequence[Buffer], protocol: int) -> None:
        """The function returned."""
        job = self.job
        if job.done:
            return
        engine = job.engine
        try:
            if protocol != job.protocol:
                value = self.target.packers[protocol].unpack(body, buffers)
                body, buffers = engine.packers[job.protocol].pack(value)
            engine.core.reply(job, body, buffers)
        except (SerializationError, MessageTooLargeError) as error:
            self._fail(error, f'{job.name}() ran, but {error}')
        engine.sender.flush_soon()

    def raised(self, body: Buffer, protocol: int) -> None:
        """The function raised."""
        job = self.job
        engine = job.engine
        if protocol != job.protocol:
            error = remote.load(body, self.target.packers[protocol], protocol)
            show = engine.settings.show_tracebacks
            if isinstance(error, FATE):  # of this call: it keeps its meaning
                cause = error.__cause__
                trace = cause.text if isinstance(cause, RemoteTraceback) else None
                self._fail(error, str(error), trace if show else None)
                return
            packer = engine.packers[job.protocol]
            body = remote.dump(error, packer, job.protocol, show=show)
        engine.core.reply_error(job, body)
        engine.sender.flush_soon()
