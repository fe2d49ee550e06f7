"""What clients and servers have in common, as users see it; the engine does the work."""

import abc
import signal
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar, overload

from . import registry as registry_module
from ._version import AGENT
from .engine import Engine
from .errors import UsageError
from .hooks import Joined, Left
from .registry import create_local_registry
from .settings import Settings
from .signals import Signals

__all__ = ['GRACE', 'BaseRPC']

# Seconds that `stop` lets running functions go on.
GRACE = 5.0

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
