"""`Client` and `Server` as users see them; the engine does the work."""

import abc
import signal
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, TypeVar, overload

from zope.interface import implementer

from . import registry as registry_module
from ._version import AGENT
from .caller import Caller, CallsFunctions
from .engine import Engine
from .errors import UsageError
from .expel import expel
from .exposure import warn_client, warn_server
from .hooks import Joined, Left
from .interfaces import IClient, IServer
from .many import ManyCaller, ServerCaller
from .peers import RemotePeer
from .registry import create_local_registry
from .settings import Settings
from .signals import Signals

__all__ = ['BaseClient', 'BaseRPC', 'BaseServer']

# Seconds that `stop` lets running functions go on.
GRACE = 5.0

_UNSET: Any = object()

F = TypeVar('F', bound=Callable[..., Any])
J = TypeVar('J', bound=Joined)
L = TypeVar('L', bound=Left)


class BaseRPC(abc.ABC):
    """What clients and servers share; backends add how to start, stop and wait.

    Args:
        name: of the service: a server's own, the one a client wants.
        registry: where functions are looked up; by default one of its own on top of the
            global one.
        context: a ``zmq.Context``; the process-wide one by default.
        io_loop: the event loop, where the backend has a choice of them.
        settings: everything that `pseud.settings.Settings` names.
    """

    _is_server: ClassVar[bool]

    def __init__(
        self,
        name: str = '',
        *,
        registry: Any = None,
        context: Any = None,
        io_loop: Any = None,
        **settings: Any,
    ) -> None:
        self.settings = Settings(name=name, **settings)
        self.registry = registry or create_local_registry(self.settings.name)
        self._io_loop = io_loop
        self._engine = Engine(
            self,
            self.settings,
            self.registry,
            server=self._is_server,
            context=context,
            make_backend=self._make_backend,
            agent=AGENT,
        )

    def __repr__(self) -> str:
        return f'<{type(self).__name__} {self.settings.name!r}>'

    # ------------------------------------------------------ what a backend supplies

    @abc.abstractmethod
    def _make_backend(self) -> Any:
        """The `IBackend` of this thread; raises `UsageError` if there is none."""

    @abc.abstractmethod
    def _loop_runs(self) -> bool:
        """Whether the loop that this object uses runs in this thread."""

    @abc.abstractmethod
    def _done(self) -> Any:
        """Something to wait for that has happened."""

    # ------------------------------------------------------ for users

    @overload
    def register_rpc(
        self,
        func: F,
        name: str | None = None,
        domain: str = ...,
        with_identity: bool = False,
    ) -> F: ...

    @overload
    def register_rpc(
        self,
        func: None = None,
        name: str | None = None,
        domain: str = ...,
        with_identity: bool = False,
    ) -> Callable[[F], F]: ...

    def register_rpc(
        self,
        func: F | None = None,
        name: str | None = None,
        domain: str = registry_module.DEFAULT_DOMAIN,
        with_identity: bool = False,
    ) -> Any:
        """Make a function callable by peers of this object; also a decorator.

        See `pseud.utils.register_rpc`, which does the same for all in a registry.
        """
        return registry_module.register_rpc(
            func, name, domain, self.registry, with_identity
        )

    def on_join(self, function: J) -> J:
        """Call ``function(peer)`` when a peer is here; also a decorator.

        On a server that is when a client has said hello, on a client when a server has
        taken it in; also each time that it is connected anew.  It begins before any
        function that the peer calls.  It may be what `register_rpc` takes: a plain
        function, or one that waits; and it may call the peer.  An exception is logged.

        Args:
            function: takes a `RemotePeer`.  There may be several; peers that are here
                already are not told of.

        Returns:
            ``function``.
        """
        self._engine.hooks.on_join.append(function)
        return function

    def on_leave(self, function: L) -> L:
        """Call ``function(peer, reason)`` when a peer has gone; also a decorator.

        For each peer that joined; it begins after those of `on_join`.  When this object
        stops, it is called for those who are still connected, and what it waits for has
        a second to happen before `stop` is done.

        Args:
            function: takes the `RemotePeer` that `on_join` told of, and a text.

        Returns:
            ``function``.
        """
        self._engine.hooks.on_leave.append(function)
        return function

    def on_unresponsive(self, function: J) -> J:
        """Call ``function(peer)`` when a peer does not answer; also a decorator.

        It is connected, and calls to it go on; but its event loop does not run, or runs
        something that does not let go.  Each time that this begins, for a peer that is
        here: after `on_join`, before `on_leave`.  It may be what `on_join` takes.

        Args:
            function: takes a `RemotePeer`.

        Returns:
            ``function``.

        Raises:
            UsageError: the heartbeat plugin asks nobody.
        """
        return self._on_answers(function, self._engine.hooks.on_unresponsive)

    def on_responsive(self, function: J) -> J:
        """Call ``function(peer)`` when it answers again; also a decorator.

        Only for a peer that `on_unresponsive` tells of.

        Args:
            function: takes a `RemotePeer`.

        Returns:
            ``function``.

        Raises:
            UsageError: the heartbeat plugin asks nobody.
        """
        return self._on_answers(function, self._engine.hooks.on_responsive)

    def _on_answers(self, function: J, hooks: list[Joined]) -> J:
        if not self._engine.peer_watch.active:
            raise UsageError(
                f'heartbeat_plugin {self._engine.heartbeat.name!r} asks nobody, so that '
                "nobody can leave it without an answer: take 'presence'"
            )
        hooks.append(function)
        return function

    def _attach_if_running(self) -> None:
        if self._loop_runs():
            self._engine.attach()

    def stop(self, grace: float = GRACE) -> Any:
        """Stop: take no new calls, finish those that run, tell the peers, close.

        Args:
            grace: seconds that running functions have; then they are cancelled.

        Returns:
            Something to wait for, when the loop is running; else it has stopped.
        """
        result = self._engine.ending.stop(grace)
        if result is None:
            return self._done()
        if not self._engine.backend.running():
            self._engine.backend.run_until(result)
        return result

    def _serve(self, *, drain_on: tuple[signal.Signals, ...], grace: float) -> None:
        """Run the loop, which does not run, until this object has stopped."""
        engine = self._engine
        engine.attach()
        ended = engine.ending.ended()
        with Signals(engine, drain_on, grace):
            try:
                engine.backend.run_until(ended)
            except BaseException:
                if not engine.closed:
                    engine.backend.run_until(engine.ending.stop(0))
                raise


@implementer(IClient)
class BaseClient(CallsFunctions, BaseRPC):
    """Connects to servers and calls them: ``client.some.function(1, 2)``.

    Attributes that are not defined here are remote functions.  Functions registered with
    `register_rpc` may be called by the server.
    """

    _is_server = False

    def __init__(self, name: str = '', **settings: Any) -> None:
        super().__init__(name, **settings)
        self.settings.check_client()
        self._caller = Caller(self._engine, self.settings.timeout)

    def connect(self, endpoint: str) -> None:
        """Connect to a server, now or as soon as it is there; again when it was lost.

        Args:
            endpoint: ØMQ address, ``tcp://host:port``, ``ipc://path``, ``inproc://name``.
                May be called for several: calls go to the least busy one.

        Raises:
            ValueError: it is no address.
        """
        self._attach_if_running()
        link = self._engine.client_link(endpoint)
        if link.exposed:
            warn_client(endpoint, self._engine.auth, self.settings)

    def disconnect(self, endpoint: str) -> None:
        """Close the connection to ``endpoint``; calls under way there fail.

        Raises:
            ValueError: there is none.
        """
        self._engine.close_link(endpoint)

    def bind(self, endpoint: str) -> None:
        """Clients connect.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            'a Client connects and a Server binds; either may call the other. '
            'call("bind", ...) calls a remote function of that name'
        )

    def send_to(self, user_id: str) -> Caller:
        """Only servers have several peers.

        Raises:
            UsageError: always.
        """
        raise UsageError('a Client calls its server: client.function(...)')


@implementer(IServer)
class BaseServer(BaseRPC):
    """Is called by clients, and calls them: ``server.send_to('alice').function()``."""

    _is_server = True

    def __init__(self, name: str = '', **settings: Any) -> None:
        super().__init__(name, **settings)
        if self.settings.protocol != 2:
            raise ValueError(
                'a Server speaks every protocol version with whoever speaks it; '
                'protocol= is for clients'
            )
        auth = self._engine.auth
        if self.settings.trusted_proxies and not auth.identifies:
            raise ValueError(
                f'security_plugin {auth.name!r} gives clients no user id, so that '
                "trusted_proxies can not be told from others: take 'trusted_curve', for "
                'instance'
            )
        self._caller = ServerCaller(self._engine, self.settings.timeout)

    def bind(self, endpoint: str) -> str:
        """Listen.

        Args:
            endpoint: ØMQ address; ``tcp://127.0.0.1:*`` chooses a free port.

        Returns:
            The address that was bound, with its port.

        Raises:
            OSError: it can not be.
        """
        self._attach_if_running()
        link = self._engine.server_link()
        bound = link.bind(endpoint)
        if link.exposed:
            warn_server(endpoint, self._engine.auth)
        return bound

    def connect(self, endpoint: str) -> None:
        """Serve the clients of an ØMQ device (``zmq.proxy``) there.

        Raises:
            ValueError: it is no address.
        """
        self._attach_if_running()
        self._engine.server_link().connect(endpoint)

    def disconnect(self, endpoint: str) -> None:
        """Undo `connect`.

        Raises:
            ValueError: it is not connected there.
        """
        self._engine.server_link().disconnect(endpoint)

    @property
    def peers(self) -> list[RemotePeer]:
        """Who is connected now, in the order they came; a list of its own."""
        return list(self._engine.roster.members.values())

    def send_to(self, user: str | RemotePeer) -> Caller:
        """The functions of a connected client.

        Args:
            user: its user id, as the authentication of its connection knows it; if
                several connections have it, the latest is called.  Or one of `peers`:
                exactly that connection.

        Raises:
            TypeError: it is neither.
            UsageError: it is a peer of another server.
        """
        return self._caller.send_to(user)

    def send_to_many(self, users: Iterable[str | RemotePeer]) -> ManyCaller:
        """The functions of many clients, called at once.

        A call has one result: a dict of what it returned for each user, or of the
        exception instance that it failed with there; in the order of ``users``.  It is
        there when the last of them is, and is never an exception itself.  To cancel it
        cancels all the calls.

        Args:
            users: as `send_to` takes them; the keys of the dict.

        Raises:
            TypeError, UsageError: as `send_to` does.
        """
        return self._caller.send_to_many(users)

    def expel(
        self, user: str | RemotePeer, reason: str = 'expelled by the server'
    ) -> int:
        """End the connections of a user, or one of them.

        Its calls are cancelled, calls to it fail; it is told the reason, and soon after
        the connection is closed.  A pseud client connects again and is authenticated
        anew: who is to stay away must be refused there.

        Args:
            user: a user id, or one of `peers`.
            reason: text for the client's exceptions and the log.

        Returns:
            How many connections that were.

        Raises:
            TypeError: ``user`` is neither.
        """
        return expel(self._engine, user, reason)

    def with_options(self, *, timeout: float | None = _UNSET) -> ServerCaller:
        """This server with settings of its own; an immutable view.

        Args:
            timeout: seconds a call may take, None for ever.
        """
        return self._caller.with_options(timeout=timeout)
