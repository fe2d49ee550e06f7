"""A thread of the interpreter's own that waits for descriptors, and does what it is told.

Also where gevent has patched threads and ``select``: it blocks nobody but itself.
"""

import contextlib
import math
import os
import select
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from ..errors import ForkedError, UsageError
from ..native import allocate_lock, original, start_thread

__all__ = ['IN', 'OUT', 'Loop']

IN, OUT = select.POLLIN, select.POLLOUT

# gevent's would wait in its hub, of which each thread has another
_poll: Callable[[], Any] = original(select, 'poll')


class Loop:
    """Runs until `close`; the thread begins at once.

    Args:
        name: whose loop it is, for errors.
        step: ``step(now)`` is called after whatever happened, in the thread; returns when
            it must be called again at the latest, as `time.monotonic` counts.
        finish: called in the thread at the end.
    """

    def __init__(
        self, name: str, step: Callable[[float], float], finish: Callable[[], Any]
    ) -> None:
        self.name = name
        self.step = step
        self.finish = finish
        self.pid = os.getpid()
        self.poll = _poll()
        self.watched: dict[int, Callable[[int], Any]] = {}
        self.lock = allocate_lock()
        self.orders: deque[_Order] = deque()
        self.closing = self.ended = False
        self.failure: BaseException | None = None
        self.woken, self.waker = os.pipe()
        os.set_blocking(self.waker, False)
        self.watch(self.woken, IN, lambda events: os.read(self.woken, 4096))
        start_thread(self.run)

    # ------------------------------------------------------ for other threads

    def do(self, action: Callable[[], Any]) -> None:
        """Call ``action()`` in the thread, and wait until that, and a step, is done.

        Raises:
            UsageError: the loop was closed.
            ForkedError: it runs in the parent of this process.
            Exception: what ``action`` raises.
        """
        if os.getpid() != self.pid:
            raise ForkedError(
                f'{self.name} runs in the process that made it: make a new one here'
            )
        order = _Order(action)
        with self.lock:
            if self.ended:
                raise self.over()
            self.orders.append(order)
            with contextlib.suppress(BlockingIOError):  # it was woken often enough
                os.write(self.waker, b'.')
        order.done.acquire()
        if order.error is not None:
            raise order.error

    def over(self) -> Exception:
        if self.failure is not None:
            error = RuntimeError(f'{self.name} has failed: {self.failure!r}')
            error.__cause__ = self.failure
            return error
        return UsageError(f'{self.name} was closed: make a new one')

    def close(self) -> None:
        """End; returns when everything is closed.  Once more does no harm."""
        if os.getpid() == self.pid:
            with contextlib.suppress(UsageError):
                self.do(self.stop)

    # ------------------------------------------------------ in the thread

    def watch(
        self, descriptor: int, events: int | None, callback: Callable[[int], Any]
    ) -> None:
        """Call ``callback(events)`` when these happen, or errors; None for no longer."""
        if events is not None:
            self.poll.register(descriptor, events)
            self.watched[descriptor] = callback
        elif self.watched.pop(descriptor, None) is not None:
            self.poll.unregister(descriptor)

    def stop(self) -> None:
        self.closing = True

    def run(self) -> None:
        orders: list[_Order] = []
        try:
            due = math.inf
            while not self.closing:
                wait = None
                if due < math.inf:
                    wait = max(0, math.ceil((due - time.monotonic()) * 1000))
                for descriptor, events in self.poll.poll(wait):
                    # what happened before may have ended this
                    callback = self.watched.get(descriptor)
                    if callback is not None:
                        callback(events)
                while self.orders:
                    orders.append(self.orders.popleft())
                    orders[-1].carry_out()
                due = self.step(time.monotonic())
                if not self.closing:
                    while orders:
                        orders.pop().done.release()
        except BaseException as error:  # told to whoever gives an order, or closes this
            self.failure = error
        finally:
            with self.lock:
                self.ended = True
            self.finish()
            os.close(self.woken)
            os.close(self.waker)
            if self.failure is not None:
                self.orders.extend(orders)
                orders.clear()
            for order in self.orders:
                order.error = self.over()
            for order in (*orders, *self.orders):
                order.done.release()


class _Order:
    """What another thread wants to be done, and waits for."""

    def __init__(self, action: Callable[[], Any]) -> None:
        self.action = action
        self.done = allocate_lock()
        self.done.acquire()
        self.error: Exception | None = None

    def carry_out(self) -> None:
        try:
            self.action()
        except Exception as error:
            self.error = error
