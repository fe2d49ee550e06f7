"""What drives the core: one engine to a client or server, the same on every backend.

It owns the links, resolves the futures of calls, hands inbound calls to the dispatcher,
and keeps the one timer.
"""

import logging
import os
from collections.abc import Callable
from contextvars import Context, copy_context
from math import inf
from typing import Any, TypeVar, cast

import zmq

from . import remote
from ._core import events as ev
from ._core.endpoint import Endpoint
from ._core.events import Event
from ._core.peer import Peer
from ._core.route import Route
from ._core.wire import Buffer
from .admission import Admission, networks
from .caller import Caller
from .client_link import ClientLink
from .current import CURRENT, inherited
from .dispatch import Job
from .ending import Ending
from .errors import PseudError, SerializationError, UsageError
from .guard import Guard
from .hooks import Hooks
from .interfaces import IAuthenticationBackend, IHeartbeatBackend
from .link import ClientSide, Link, ServerSide
from .logins import LoginWatch, log_in
from .native import get_ident
from .packer import PackerV2, unreadable
from .packer_v1 import PackerV1
from .peers import Origin
from .plugins import plugin
from .proxy import Forward, Proxy
from .roster import Roster
from .seldom import Seldom
from .sender import Sender
from .server_link import ServerLink
from .settings import Settings
from .watch import PeerWatch

__all__ = ['Engine']

logger = logging.getLogger(__name__)

L = TypeVar('L', bound=Link)


class Engine:
    """Everything a client or server does.

    Args:
        rpc: the client or server, for its plugins.
        settings: its settings.
        registry: where its functions are.
        server: which of both it is.
        context: for its sockets; ZMQ's shared one by default.
        make_backend: gives the `IBackend` of the thread it is called in.
        agent: name and version of this software.
    """

    def __init__(
        self,
        rpc: Any,
        settings: Settings,
        registry: Any,
        *,
        server: bool,
        context: 'zmq.Context[zmq.Socket[bytes]] | None',
        make_backend: Callable[[], Any],
        agent: str,
    ) -> None:
        self.label = f'{type(rpc).__name__}({settings.name!r})'
        self.settings = settings
        self.registry = registry
        self.context = context or zmq.Context.instance()
        self.make_backend = make_backend
        self.packers = {
            1: PackerV1(settings.translation_table),
            2: PackerV2(settings.translation_table),
        }
        self.auth = plugin(
            rpc, IAuthenticationBackend, settings.security_plugin, registry
        )
        self.heartbeat = plugin(
            rpc, IHeartbeatBackend, settings.heartbeat_plugin, registry
        )
        self.core = Endpoint(
            server=server,
            name=settings.name,
            limits=settings.limits,
            uid_prefix=os.urandom(8),
            credentials=None if server else self.auth.credentials(),
            challenges=server and bool(self.auth.challenges),
            agent=agent,
            make_call=Job,
        )
        self.admission = Admission(
            self.auth,
            networks('allow', settings.allow),
            networks('deny', settings.deny),
        )
        self.login_watch = LoginWatch(self)
        self.peer_watch = PeerWatch(self)
        self.sender = Sender(self.core)
        self.server = server
        self.backend: Any = None
        self.call_context = Context()  # each inbound call runs in a copy
        self.guard: Guard | None = None
        self.links: dict[str, Link] = {}
        self.make_server_link: Callable[[Engine], ServerSide] = ServerLink
        self.make_client_link: Callable[[Engine, str], ClientSide] = ClientLink
        self.hooks = Hooks(self)
        self.ending = Ending(self)
        self.roster = Roster(self)
        self.proxy: Proxy | None = None
        if settings.proxy_to is not None:
            self.proxy = Proxy(self, settings.proxy_to._engine)
        self.closed = False
        self._refusals: dict[str, PseudError] = {}
        self._armed = inf
        self._timer: Any = None
        self._violations = Seldom()

    # ------------------------------------------------------------------ life

    def attach(self) -> None:
        """Settle on the event loop of this thread, and begin to work there.

        Raises:
            UsageError: there is no loop, or this object was stopped.
        """
        if self.closed:
            raise UsageError(f'{self.label} was stopped: make a new one')
        if self.guard is not None:
            self.guard.check(self.label)
            return
        # Not in the context of a call that happens to be handled right now.
        self.call_context = copy_context()
        self.call_context.run(CURRENT.set, None)
        self.backend = self.call_context.copy().run(self.make_backend)
        self.sender.backend = self.backend
        self.guard = Guard()
        self.heartbeat.configure()
        if self.server:
            self.admission.attach(self.backend, self.call_context)
            self.login_watch.start()
        for link in self.links.values():
            link.start()
        target = None if self.proxy is None else self.proxy.target
        if target is not None and not target.server:
            target.attach()

    def family(self) -> Proxy:
        """What passes calls on through here, in either direction."""
        if self.proxy is None:
            self.proxy = Proxy(self, None)
        return self.proxy

    def server_link(self) -> ServerSide:
        """The one link of a server."""
        return self._link('', lambda: self.make_server_link(self))

    def client_link(self, endpoint: str) -> ClientSide:
        """The link to an endpoint."""
        link = self._link(endpoint, lambda: self.make_client_link(self, endpoint))
        self.core.waits_for = ', '.join(self.links)
        self._note_refusals()
        return link

    def _link(self, key: str, make: Callable[[], L]) -> L:
        if self.guard is not None:
            self.guard.check(self.label)
        if self.closed:
            raise UsageError(f'{self.label} was stopped: make a new one')
        if key not in self.links:
            self.links[key] = make()
            if self.guard is not None:
                self.links[key].start()
        return cast(L, self.links[key])

    def close_link(self, endpoint: str) -> None:
        """Give up a connection: its calls under way fail."""
        link = self.links.get(endpoint)
        if not isinstance(link, ClientSide):
            raise ValueError(f'{self.label} is not connected to {endpoint!r}')
        if self.guard is not None:
            self.guard.check(self.label)
        del self.links[endpoint]
        link.lost('disconnected here')
        link.close()
        self.refused(endpoint, None)
        self.core.waits_for = ', '.join(self.links)

    def abandon(self) -> None:
        """Close without a word to anybody, as there is no event loop (any more)."""
        self.closed = True
        self.close()

    def close(self) -> None:
        """Let go of everything."""
        self.ending.cancel()
        self.sender.close()
        self.admission.close()
        self.login_watch.stop()
        self.peer_watch.stop()
        if self._timer is not None:
            self._timer.cancel()
        for link in self.links.values():
            link.close()
        self.links.clear()
        if self.proxy is not None:
            self.proxy.close()
        self.heartbeat.stop()
        self.auth.stop()

    # ------------------------------------------------------------------ calls out

    def call(
        self, caller: Caller, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Make a call; returns its result to come."""
        guard = self.guard
        if guard is None or self.closed:
            self.attach()
        elif guard.thread != get_ident():
            guard.check(self.label)
        backend, core = self.backend, self.core
        now = backend.now()
        timeout = inherited(caller._timeout, now)
        result = backend.result(self._cancelled)
        try:
            to = caller._to
            peer, route = None, None
            if to is not None:
                peer = self.roster.find(to, name)
                if type(to) is Origin:
                    route = Route(to=to.hops)
            protocol = self.settings.protocol if peer is None else peer.protocol
            body, buffers = self.packers[protocol].pack_call(args, kwargs)
            result.call_id = core.call(
                peer, name, body, buffers, timeout, now, result, route
            )
        except PseudError as error:
            result.set_exception(error)
            return result
        if core.due < self._armed:
            self._arm()
        sender = self.sender
        if (len(core.pending) == 1 or core.full) and not sender.reading:
            sender.flush()  # one call at a time, or a batch: nothing to wait for
        else:
            sender.flush_soon()
        return result

    def wake(self) -> None:
        """A call was made, by somebody else than `call`."""
        if self.core.due < self._armed:
            self._arm()
        self.sender.flush_soon()

    def refused(self, endpoint: str, error: PseudError | None) -> None:
        """A server wants none of us (or, with None, has taken us in, or is given up).

        Once all of them do, no call waits for one.
        """
        if error is None:
            self._refusals.pop(endpoint, None)
        else:
            self._refusals[endpoint] = error
        self._note_refusals()

    def _note_refusals(self) -> None:
        core, refusals = self.core, self._refusals
        core.refusal = None
        if refusals and len(refusals) == len(self.links):
            core.refusal = next(iter(refusals.values()))
            self.handle(core.fail_waiting(core.refusal))

    def _cancelled(self, result: Any) -> None:
        """The user cancelled a result."""
        if self.guard is not None and result.call_id and not self.closed:
            self.guard.check(self.label)
            self.core.cancel(result.call_id)
            self.sender.flush_soon()

    # ------------------------------------------------------------------ events

    def receive(self, peer: Peer, payload: list[Buffer]) -> None:
        """A peer's message arrived."""
        self.handle(self.core.receive(peer, payload, self.backend.now()))
        if self.core.due < self._armed:
            self._arm()

    def handle(self, events: list[Event]) -> None:
        """Act on what the core says."""
        for event in events:
            kind = event[0]
            try:
                if kind == ev.RESULT:
                    _, result, body, buffers, protocol = event
                    if type(result) is Forward:
                        result.returned(body, buffers, protocol)
                    elif not result.done():
                        try:
                            value = self.packers[protocol].unpack(body, buffers)
                        except SerializationError as error:
                            result.set_exception(unreadable(error))
                        else:
                            result.set_result(value)
                elif kind == ev.INVOKE:
                    job = event[1]
                    if not job.done:  # what came just before it has not ended it
                        job.engine = job.home = self
                        if self.proxy is not None and self.proxy.passes_on(job):
                            continue
                        job.context = self.call_context.copy()
                        handle = self.backend.spawn(job)
                        if handle is not None:
                            job.handle = handle
                else:
                    self._handle_rare(kind, event)
            except Exception:  # one event must not take the others along
                logger.exception('a bug in pseud: %r was not handled', event)

    def _handle_rare(self, kind: int, event: Event) -> None:
        if kind == ev.ERROR:
            _, result, body, _, protocol = event
            if type(result) is Forward:
                result.raised(body, protocol)
            elif not result.done():
                result.set_exception(
                    remote.load(body, self.packers[protocol], protocol)
                )
        elif kind == ev.FAILED:
            if not event[1].done():
                event[1].set_exception(event[2])
        elif kind == ev.ABORT:
            event[1].abort()
        elif kind == ev.READY:
            self.roster.join(event[1])
            self._send_waiting()  # for its welcome
        elif kind == ev.LOST:
            self.roster.leave(event[1], event[2])
            self._send_waiting()  # to another
        elif kind == ev.BEAT:
            self.peer_watch.beat(event[1])
        elif kind == ev.LOGIN:
            log_in(self, event[1], event[2])
        elif kind == ev.AWAY:
            self._send_waiting()
        elif kind == ev.REFUSED:
            if not self.server:
                event[1].link.refused(event[1], event[2], event[3])
        elif kind == ev.VIOLATION:
            self._violated(event[1], event[2])

    def _send_waiting(self) -> None:
        if self.core.waiting.calls:
            self.handle(self.core.send_waiting(self.backend.now()))
            self.sender.flush_soon()

    def _violated(self, peer: Peer, error: Exception) -> None:
        """Say so, now and then."""
        if count := self._violations():
            logger.warning(
                '%s: dropped a message of %s: %s (%d of that kind so far)',
                self.label,
                peer.label,
                error,
                count,
            )

    # ------------------------------------------------------------------ time

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed = self.core.due
        self._timer = self.backend.call_at(self._armed, self._expire)

    def _expire(self) -> None:
        self._timer, self._armed = None, inf
        self.handle(self.core.expire(self.backend.now()))
        if self.core.due < inf:
            self._arm()
        self.sender.flush_soon()
