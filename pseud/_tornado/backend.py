"""asyncio's loop as an `IBackend`; tornado's IOLoop is one of these in disguise.

Nothing here touches a loop before it is needed, and a running one is used as it is: in
an asyncio program tornado is never seen.
"""

import asyncio
import os
import time
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from tornado.ioloop import IOLoop
from zope.interface import implementer

from ..errors import UsageError
from ..interfaces import IBackend, IHandle, IResult
from .handlers import Handlers

__all__ = ['TornadoBackend', 'current_loop']

Callback = Callable[[], object]


@implementer(IResult)
class Result(asyncio.Future[Any]):
    """The future of a call; cancelling it tells the engine."""

    __slots__ = ('call_id', 'on_cancel')

    call_id: int
    on_cancel: Callable[[Any], None]

    def cancel(self, msg: Any = None) -> bool:
        if self.done():
            return False
        self.on_cancel(self)  # first: raises in the wrong thread
        return super().cancel(msg)


@implementer(IHandle)
class Watch:
    """A descriptor in a loop's selector.

    In a forked child the selector is the parent's still (epoll(7)): it is left alone.
    """

    __slots__ = ('fd', 'loop', 'pid')

    def __init__(self, loop: asyncio.AbstractEventLoop, fd: int) -> None:
        self.loop = loop
        self.fd = fd
        self.pid = os.getpid()

    def cancel(self) -> None:
        if not self.loop.is_closed() and self.pid == os.getpid():
            self.loop.remove_reader(self.fd)


@implementer(IBackend)
class TornadoBackend:
    """One asyncio event loop.

    Args:
        loop: it; it need not run yet.
        max_handlers: awaitables of functions at the same time; further calls wait.
    """

    name = 'tornado'
    cooperative = False

    def __init__(self, loop: asyncio.AbstractEventLoop, max_handlers: int) -> None:
        self.loop = loop
        # Ours, or callbacks would run in the context of whichever user code caused them.
        self._context = copy_context()
        # what asyncio's own loops do, without a call of theirs in between
        plain = getattr(loop.time, '__func__', None) is asyncio.BaseEventLoop.time
        self.now: Callable[[], float] = time.monotonic if plain else loop.time
        self._handlers = Handlers(self, max_handlers)
        self.spawn = self._handlers.spawn
        self.new_turn = self._handlers.new_turn

    def call_soon(self, callback: Callback) -> asyncio.Handle:
        return self.loop.call_soon(callback, context=self._context)

    def call_soon_threadsafe(self, callback: Callback) -> asyncio.Handle:
        return self.loop.call_soon_threadsafe(callback, context=self._context)

    def call_at(self, when: float, callback: Callback) -> asyncio.TimerHandle:
        return self.loop.call_at(when, callback, context=self._context)

    def running(self) -> bool:
        return self.loop.is_running()

    def watch(self, fd: int, callback: Callback) -> Watch:
        self._context.copy().run(self.loop.add_reader, fd, callback)
        return Watch(self.loop, fd)

    def result(self, on_cancel: Callable[[Any], None]) -> Result:
        running = asyncio._get_running_loop()
        if running is not self.loop and (running is not None or self.loop.is_closed()):
            raise UsageError(
                'this client or server works in another event loop (one asyncio.run is '
                'one loop): make a new one in each, or stay in one'
            )
        result = Result(loop=self.loop)
        result.call_id = 0
        result.on_cancel = on_cancel
        return result

    def run_until(self, result: 'asyncio.Future[Any]') -> Any:
        return self.loop.run_until_complete(result)


def current_loop(io_loop: Any = None) -> asyncio.AbstractEventLoop:
    """The asyncio loop of a tornado IOLoop, or the one that runs in this thread.

    Args:
        io_loop: a tornado IOLoop or an asyncio loop; None takes the running one.

    Raises:
        UsageError: none was given, and none runs.
    """
    if isinstance(io_loop, IOLoop):
        io_loop = io_loop.asyncio_loop  # type: ignore[attr-defined]
    if io_loop is None:
        try:
            io_loop = asyncio.get_running_loop()
        except RuntimeError:
            raise UsageError(
                'no event loop runs in this thread: make the call inside a coroutine '
                '(asyncio.run), or give the client or server its loop with io_loop=. '
                'Without any loop take pseud.SyncClient; for gevent, set NO_TORNADO=1'
            ) from None
    if not isinstance(io_loop, asyncio.AbstractEventLoop):
        raise UsageError(
            f'io_loop must be a tornado IOLoop or an asyncio loop, not {io_loop!r}'
        )
    return io_loop
