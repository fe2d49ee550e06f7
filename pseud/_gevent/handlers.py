"""Greenlets that run handlers, and are used again.

To spawn a greenlet for each call costs more than most handlers do.  Here one greenlet
runs the calls that wait, in turn; when one of them blocks, the hub has another greenlet
go on with the rest.  Each call has a context of its own all the same.
"""

from inspect import iscoroutine
from typing import Any

import gevent
from greenlet import GreenletExit, greenlet
from zope.interface import implementer

from ..errors import UsageError
from ..interfaces import IHandle

__all__ = ['HandlerPool']

NO_COROUTINES = (
    'did not run: it is a coroutine function, and the peer runs on gevent; plain functions '
    'may block there'
)
# Idle greenlets that are kept for the next calls.
SPARE = 64


class HandlerPool:
    """Runs jobs in greenlets.

    Args:
        loop: of the hub.
        limit: greenlets at the same time; further jobs wait.
    """

    def __init__(self, loop: Any, limit: int) -> None:
        self.loop = loop
        self.hub = gevent.get_hub()
        self.limit = limit
        self.waiting: dict[Handler, None] = {}  # in order
        self.idle: list[_Worker] = []
        self.count = 0  # workers, idle ones included
        self.scheduled = False

    def spawn(self, job: Any) -> 'Handler':
        """Run a job as soon as the hub gets to it."""
        handler = Handler(self, job)
        self.waiting[handler] = None
        self.wake()
        return handler

    def wake(self) -> None:
        """Have the hub see to the jobs that wait."""
        if not self.scheduled:
            self.scheduled = True
            self.loop.run_callback(self._run)

    def _run(self) -> None:
        """In the hub: let workers run until nothing waits, or all of them are busy."""
        self.scheduled = False
        while self.waiting:
            if self.idle:
                worker = self.idle.pop()
            elif self.count < self.limit:
                worker = _Worker(self)
                self.count += 1
            else:
                return  # the first worker that gets free goes on
            worker.switch()  # comes back when it blocks, or has nothing left to do


class _Worker(greenlet):  # type: ignore[misc]
    """Runs the jobs that wait, one after the other, until there are none."""

    def __init__(self, pool: HandlerPool) -> None:
        super().__init__(parent=pool.hub)
        self.pool = pool

    def run(self) -> None:
        pool = self.pool
        try:
            while True:
                while pool.waiting:
                    handler = next(iter(pool.waiting))
                    del pool.waiting[handler]
                    handler.run(self)
                if len(pool.idle) >= SPARE:
                    return
                pool.idle.append(self)
                pool.hub.switch()
        finally:
            pool.count -= 1
            if pool.waiting:
                pool.wake()


@implementer(IHandle)
class Handler:
    """One run of a job, in some worker."""

    __slots__ = ('job', 'pool', 'worker')

    def __init__(self, pool: HandlerPool, job: Any) -> None:
        self.pool = pool
        self.job = job
        self.worker: _Worker | None = None

    def run(self, worker: _Worker) -> None:
        self.worker = worker
        try:
            value = self.job.invoke()
        except BaseException as error:
            self.worker = None
            self.job.failed(error)
            if isinstance(error, KeyboardInterrupt | SystemExit):
                worker.pool.hub.handle_system_error(type(error), error)
            return
        self.worker = None
        if iscoroutine(value):
            value.close()
            self.job.failed(UsageError(f'{self.job.name}() {NO_COROUTINES}'))
        else:
            self.job.succeeded(value)

    def cancel(self) -> None:
        self.pool.waiting.pop(self, None)
        if self.worker is not None:
            self.pool.loop.run_callback(self._throw)

    def _throw(self) -> None:
        """In the hub: end the handler where it waits, unless it has ended meanwhile."""
        if self.worker is not None:
            self.worker.throw(GreenletExit)
