"""Running jobs in asyncio's loop: plain functions at once, awaitables in tasks.

As many as there is time for until the loop has to get on, and as many that wait for
something as may at the same time; the others wait for their turn.
"""

import asyncio
from math import inf
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from ..interfaces import IHandle
from ..turns import TURN, Turns

if TYPE_CHECKING:
    from .backend import TornadoBackend

__all__ = ['Handlers']


class Handlers:
    """Runs the jobs of one client or server.

    Args:
        backend: whose loop it is.
        limit: awaitables at the same time; further jobs wait.
    """

    def __init__(self, backend: 'TornadoBackend', limit: int) -> None:
        self.backend = backend
        self.waiting = Turns()
        self.room = limit
        self.until = 0.0  # when the loop has to get on; 0 while jobs have to wait
        self._scheduled = False

    def new_turn(self) -> float:
        """The loop has got on; returns when it has to, again."""
        until = self.backend.now() + TURN
        self.until = 0.0 if self.waiting.ring or self.room <= 0 else until
        return until

    def spawn(self, job: Any) -> 'asyncio.Future[Any] | Waiting | None':
        """Run a job, inline if there is time; if it gives an awaitable, go on in a task."""
        if self.backend.now() >= self.until and job.peer is not None:
            return self._wait(job)
        try:
            value = job.invoke()
        except (KeyboardInterrupt, SystemExit) as error:
            job.failed(error)
            raise
        except BaseException as error:
            job.failed(error)
            return None
        if not hasattr(value, '__await__'):
            job.succeeded(value)
            return None
        if isinstance(value, asyncio.Future):  # of a gen.coroutine, for instance
            future = value
        else:
            # A task that is cancelled before it begins closes its own coroutine, not one
            # that it would have awaited.
            coroutine = value if asyncio.iscoroutine(value) else _wait_for(value)
            future = self.backend.loop.create_task(coroutine, context=job.context)
        future.add_done_callback(lambda done: _finished(job, done))
        if job.peer is not None:
            self.room -= 1
            if self.room <= 0:
                self.until = 0.0
            future.add_done_callback(self._make_room)
        return future

    def _wait(self, job: Any) -> 'Waiting':
        waiting = Waiting(self.waiting, job)
        self.waiting.put(job.peer, waiting)
        self.until = 0.0
        self._go_on_soon()
        return waiting

    def _make_room(self, future: 'asyncio.Future[Any]') -> None:
        self.room += 1
        self._go_on_soon()

    def _go_on_soon(self) -> None:
        if self.waiting.ring and self.room > 0 and not self._scheduled:
            self._scheduled = True
            self.backend.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Run what waits, until the loop has to get on."""
        self._scheduled = False
        ring, pop, now = self.waiting.ring, self.waiting.pop, self.backend.now
        until = now() + TURN
        try:
            while ring and self.room > 0 and (time := now()) < until:
                self.until = inf  # it has waited already
                waiting = pop()
                if waiting is not None:
                    waiting.begin(self, time)
        finally:
            self.until = 0.0
            self._go_on_soon()


@implementer(IHandle)
class Waiting:
    """A job that waits for its turn, and later what runs it."""

    __slots__ = ('handle', 'job', 'turns')

    def __init__(self, turns: Turns, job: Any) -> None:
        self.turns = turns
        self.job = job
        self.handle: Any = None

    def begin(self, handlers: Handlers, now: float) -> None:
        deadline = self.job.deadline
        if deadline is None or deadline > now:  # else the core is about to end it
            self.handle = handlers.spawn(self.job)

    def cancel(self) -> None:
        if self.handle is None:
            self.turns.discard(self.job.peer, self)
        else:
            self.handle.cancel()


async def _wait_for(awaitable: Any) -> Any:
    return await awaitable


def _finished(job: Any, future: 'asyncio.Future[Any]') -> None:
    if future.cancelled():
        job.failed(asyncio.CancelledError('cancelled'))
        return
    error = future.exception()
    if error is not None:
        job.failed(error)
    else:
        job.succeeded(future.result())
