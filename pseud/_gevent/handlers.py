"""Greenlets that run handlers, and are used again.

To spawn a greenlet for each call costs more than most handlers do.  Here one greenlet
runs the calls that wait, in turn; when one of them blocks, the hub has another greenlet
go on with the rest.  Each call has a context of its own all the same.
"""

from collections import deque
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any

import gevent
from greenlet import GreenletExit, greenlet
from zope.interface import implementer

from ..errors import UsageError
from ..interfaces import IHandle
from ..turns import Turns

if TYPE_CHECKING:
    from .backend import GeventBackend

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
        backend: whose hub it is.
        limit: greenlets at the same time; further jobs wait.
    """

    def __init__(self, backend: 'GeventBackend', limit: int) -> None:
        self.backend = backend
        self.loop = backend.loop
        self.hub = gevent.get_hub()
        self.limit = limit
        self.urgent: deque[Handler] = deque()  # they wait for nobody
        self.waiting = Turns()
        self.idle: list[_Worker] = []
        self.count = 0  # workers, idle ones included
        self.until = 0.0  # when the hub has to get on
        self.scheduled = False

    def spawn(self, job: Any) -> 'Handler':
        """Run a job as soon as the hub gets to it."""
        handler = Handler(self, job)
        if job.peer is None:
            self.urgent.append(handler)
        else:
            self.waiting.put(job.peer, handler)
        if not self.scheduled:
            self.wake()
        return handler

    def wake(self) -> None:
        """Have the hub see to the jobs that wait."""
        if not self.scheduled:
            self.scheduled = True
            self.loop.run_callback(self._run)

    def _run(self) -> None:
        """In the hub: let workers run, until nothing waits or all of them are busy.

        Or until the hub has to get on.
        """
        backend, ring = self.backend, self.waiting.ring
        urgent = self.urgent
        while urgent:
            extra = greenlet(urgent.popleft().run, self.hub)
            extra.switch(extra)
        self.until = backend.new_turn()
        while ring:
            if backend.now() >= self.until:
                # a timer: before callbacks, the hub would not look for events
                backend.call_at(0.0, self._run)
                return
            if self.idle:
                worker = self.idle.pop()
            elif self.count < self.limit:
                worker = _Worker(self)
                self.count += 1
            else:
                break  # the first worker that gets free goes on
            worker.switch()  # comes back when it blocks, or has nothing left to do
        self.scheduled = False
        if urgent:  # of the workers' doing
            self.wake()


class _Worker(greenlet):  # type: ignore[misc]
    """Runs the jobs that wait, one after the other, as long as there are any, and time."""

    def __init__(self, pool: HandlerPool) -> None:
        super().__init__(parent=pool.hub)
        self.pool = pool

    def run(self) -> None:
        pool = self.pool
        now, pop, ring = pool.backend.now, pool.waiting.pop, pool.waiting.ring
        try:
            while True:
                while ring and (time := now()) < pool.until:
                    handler = pop()
                    if handler is not None:
                        deadline = handler.job.deadline
                        if deadline is None or deadline > time:
                            handler.run(self)
                        # else the core is about to end it
                handler = None  # idle greenlets are not to keep peers
                if ring:
                    pool.wake()
                if len(pool.idle) >= SPARE:
                    return
                pool.idle.append(self)
                pool.hub.switch()
        finally:
            pool.count -= 1
            if ring:
                pool.wake()


@implementer(IHandle)
class Handler:
    """One run of a job, in some greenlet."""

    __slots__ = ('greenlet', 'job', 'pool')

    def __init__(self, pool: HandlerPool, job: Any) -> None:
        self.pool = pool
        self.job = job
        self.greenlet: greenlet | None = None

    def run(self, current: greenlet) -> None:
        self.greenlet = current
        try:
            value = self.job.invoke()
        except BaseException as error:
            self.greenlet = None
            self.job.failed(error)
            if isinstance(error, KeyboardInterrupt | SystemExit):
                self.pool.hub.handle_system_error(type(error), error)
            return
        self.greenlet = None
        if iscoroutine(value):
            value.close()
            self.job.failed(UsageError(f'{self.job.name}() {NO_COROUTINES}'))
        else:
            self.job.succeeded(value)

    def cancel(self) -> None:
        if self.greenlet is not None:
            self.pool.loop.run_callback(self._throw)
        elif self.job.peer is not None:
            self.pool.waiting.discard(self.job.peer, self)
        elif self in self.pool.urgent:
            self.pool.urgent.remove(self)

    def _throw(self) -> None:
        """In the hub: end the handler where it waits, unless it has ended meanwhile."""
        if self.greenlet is not None:
            self.greenlet.throw(GreenletExit)
