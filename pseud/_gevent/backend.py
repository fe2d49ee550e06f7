"""gevent's hub as an `IBackend`.

Callbacks of watchers and timers run in the hub, where nothing may block; user code runs
in the greenlets of a `HandlerPool`.
"""

import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

import gevent
from gevent.event import AsyncResult
from greenlet import GreenletExit
from zope.interface import implementer

from ..interfaces import IBackend, IHandle, IResult
from ..turns import TURN
from .handlers import HandlerPool

__all__ = ['GeventBackend', 'Result']

READ = 1  # libev's EV_READ

Callback = Callable[[], object]


@implementer(IResult)
class Result(AsyncResult):  # type: ignore[misc]
    """The result of a call: ``get()`` waits for it, ``cancel()`` gives it up.

    Goes with `gevent.wait`, `gevent.iwait` and `gevent.joinall`.
    """

    call_id = 0

    def __init__(self, on_cancel: Callable[[Any], None]) -> None:
        super().__init__()
        self._on_cancel = on_cancel
        self._cancelled = False

    def done(self) -> bool:
        return bool(self.ready())

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        try:
            return super().get(block, timeout)
        except GreenletExit:  # who waited was killed: nobody waits any more
            self.cancel()
            raise

    def set_result(self, value: Any) -> None:
        self.set(value)

    def cancel(self) -> bool:
        """Wait no more: who does gets a `concurrent.futures.CancelledError`."""
        if self.ready():
            return False
        self._on_cancel(self)  # first: raises in the wrong thread
        self._cancelled = True
        self.set_exception(CancelledError())
        return True

    def cancelled(self) -> bool:
        return self._cancelled


@implementer(IHandle)
class Watcher:
    """A libev watcher, released when it is called off."""

    __slots__ = ('watcher',)

    def __init__(self, watcher: Any) -> None:
        self.watcher = watcher

    def cancel(self) -> None:
        watcher, self.watcher = self.watcher, None
        if watcher is not None:
            watcher.stop()
            watcher.close()


@implementer(IHandle)
class Soon:
    """A callback in the hub's queue."""

    __slots__ = ('callback',)

    def __init__(self, callback: Any) -> None:
        self.callback = callback

    def cancel(self) -> None:
        self.callback.stop()


@implementer(IBackend)
class GeventBackend:
    """The hub of this thread.

    Args:
        max_handlers: greenlets that run handlers at the same time; further calls wait.
    """

    name = 'gevent'
    cooperative = True

    def __init__(self, max_handlers: int) -> None:
        self.loop = gevent.get_hub().loop
        self.now = time.monotonic
        self._handlers = HandlerPool(self, max_handlers)
        self.spawn = self._handlers.spawn

    def running(self) -> bool:
        return True

    def new_turn(self) -> float:
        return self.now() + TURN

    def call_soon(self, callback: Callback) -> Soon:
        return Soon(self.loop.run_callback(callback))

    def call_soon_threadsafe(self, callback: Callback) -> Soon:
        return Soon(self.loop.run_callback_threadsafe(callback))

    def call_at(self, when: float, callback: Callback) -> Watcher:
        timer = self.loop.timer(max(0.0, when - self.now()))
        handle = Watcher(timer)

        def fire() -> None:
            handle.cancel()
            callback()

        timer.start(fire, update=True)
        return handle

    def watch(self, fd: int, callback: Callback) -> Watcher:
        watcher = self.loop.io(fd, READ)
        watcher.start(callback)
        return Watcher(watcher)

    def result(self, on_cancel: Callable[[Any], None]) -> Result:
        return Result(on_cancel)

    def run_until(self, result: Result) -> Any:
        return result.get()
