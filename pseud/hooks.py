"""What the program wants to be told about: peers that come, go, or fall silent."""

import logging
from collections.abc import Callable
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from .interfaces import IJob
from .peers import RemotePeer

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ['Hooks', 'Joined', 'Left']

logger = logging.getLogger(__name__)

Joined = Callable[[RemotePeer], object]
Left = Callable[[RemotePeer, str], object]

# Seconds that callbacks of peers that leave as we stop may take, before we have stopped.
LAST_WORDS = 1.0

_HOOK: ContextVar['HookJob | None'] = ContextVar('pseud_hook', default=None)


class Hooks:
    """The callbacks of one client or server.

    Those that are told of a peer's coming begin before any function that it calls, those
    that are told of its going begin after that.  They run as functions that peers call
    do: each in a context, a greenlet or a task of its own.

    Attributes:
        on_join, on_unresponsive, on_responsive: take a peer.
        on_leave: take a peer and a reason.
    """

    def __init__(self, engine: 'Engine') -> None:
        self.engine = engine
        self.on_join: list[Joined] = []
        self.on_leave: list[Left] = []
        self.on_unresponsive: list[Joined] = []
        self.on_responsive: list[Joined] = []
        self._gone: list[tuple[RemotePeer, str]] = []
        self._running: dict[HookJob, None] = {}
        self._finished: Callable[[], object] | None = None

    def tell(self, functions: list[Joined], view: RemotePeer) -> None:
        """Call some of these callbacks now, those of ``on_leave`` excepted."""
        for function in functions:
            self.run(function, view)

    def left(self, view: RemotePeer, reason: str) -> None:
        """A peer is gone; its callbacks run in the next turn of the loop.

        Not now: a loss may be noticed in the middle of sending.
        """
        if self.on_leave:
            if not self._gone:
                self.engine.backend.call_soon(self._tell_who_left)
            self._gone.append((view, reason))

    def _tell_who_left(self) -> None:
        gone, self._gone = self._gone, []
        for view, reason in gone:
            for function in self.on_leave:
                self.run(function, view, reason, lasts=True)
        self._finish_if_idle()

    def run(
        self, function: Callable[..., object], *args: Any, lasts: bool = False
    ) -> None:
        """Run something of the program's; an exception is logged.

        Args:
            lasts: it gets `LAST_WORDS` when we stop, and is not cancelled.
        """
        job = HookJob(self, function, args, lasts)
        self._running[job] = None
        job.handle = self.engine.backend.spawn(job)

    def ended(self, job: 'HookJob') -> None:
        """A callback has returned or raised."""
        self._running.pop(job, None)
        self._finish_if_idle()

    # ---------------------------------------------------------------- at the end

    def spare_current(self) -> None:
        """Called where the program stops us: do not wait for the callback that does."""
        job = _HOOK.get()
        if job is not None:
            self._running.pop(job, None)

    def finish(self, finished: Callable[[], object]) -> None:
        """All peers have left: call ``finished()`` once the callbacks know.

        Those about peers that left have `LAST_WORDS`; the others are cancelled.
        """
        for job in list(self._running):
            if not job.lasts:
                self._running.pop(job)
                job.cancel()
        self._finished = finished
        if self._gone or self._running:
            backend = self.engine.backend
            backend.call_at(backend.now() + LAST_WORDS, self._give_up)
        self._finish_if_idle()

    def _finish_if_idle(self) -> None:
        if self._finished is not None and not self._gone and not self._running:
            finished, self._finished = self._finished, None
            finished()

    def _give_up(self) -> None:
        if self._finished is not None:
            for job in list(self._running):
                job.cancel()
            self._running.clear()
            self._finish_if_idle()


@implementer(IJob)
class HookJob:
    """One run of one callback."""

    __slots__ = ('args', 'context', 'function', 'handle', 'hooks', 'lasts')

    peer = None
    deadline = None

    def __init__(
        self,
        hooks: Hooks,
        function: Callable[..., object],
        args: tuple[Any, ...],
        lasts: bool,
    ) -> None:
        self.hooks = hooks
        self.function = function
        self.args = args
        self.lasts = lasts
        self.context: Context = hooks.engine.call_context.copy()
        self.context.run(_HOOK.set, self)
        self.handle: Any = None

    @property
    def name(self) -> str:
        """What a log calls it."""
        return getattr(self.function, '__qualname__', repr(self.function))

    def invoke(self) -> Any:
        return self.context.run(self.function, *self.args)

    def succeeded(self, value: Any) -> None:
        self.hooks.ended(self)

    def failed(self, error: BaseException) -> None:
        if isinstance(error, Exception):
            label = self.hooks.engine.label
            logger.error(
                '%s: %s(%r) failed', label, self.name, self.args[0], exc_info=error
            )
        else:  # cancelled
            logger.debug('%s() ended with %r', self.name, error)
        self.hooks.ended(self)

    def cancel(self) -> None:
        if self.handle is not None:
            self.handle.cancel()
