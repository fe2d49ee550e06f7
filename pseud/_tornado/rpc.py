"""`Client` and `Server` for asyncio and tornado."""

import asyncio
import contextlib
import signal
from typing import Any

from tornado.ioloop import IOLoop

from ..client import BaseClient
from ..rpc import GRACE, BaseRPC
from ..server import BaseServer
from .backend import TornadoBackend, current_loop

__all__ = ['Client', 'Server']


class _TornadoRPC(BaseRPC):
    def _make_backend(self) -> TornadoBackend:
        loop = current_loop(self._io_loop)
        return TornadoBackend(loop, self.settings.limits.max_handlers)

    def _loop_runs(self) -> bool:
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            return False
        return self._io_loop is None or current_loop(self._io_loop) is running

    def _done(self) -> '_Done':
        return _Done()

    def start(self) -> Any:
        """Begin to work.

        Inside a running event loop this returns at once, something that may be awaited.
        Else it runs the loop (``io_loop``, or tornado's current one) until `stop` is
        called, or Ctrl-C raises KeyboardInterrupt.
        """
        if self._loop_runs():
            self._engine.attach()
            return _Done()
        self._run((), 0)
        return None

    def serve_forever(self, grace: float = GRACE) -> Any:
        """Work until SIGTERM or SIGINT, then finish what runs and return.

        Inside a running event loop: something to await, that ends when `stop` is called;
        the signals, and the grace, are the program's own then.

        Args:
            grace: seconds that running functions have after a signal; a second one ends
                them.
        """
        if self._loop_runs():
            self._engine.attach()
            return self._engine.ending.ended()
        self._run((signal.SIGTERM, signal.SIGINT), grace)
        return None

    def _run(self, drain_on: tuple[signal.Signals, ...], grace: float) -> None:
        with contextlib.ExitStack() as stack:
            if self._io_loop is None:
                if _has_loop():  # the program made one, and may have callbacks there
                    self._io_loop = IOLoop.current()
                else:
                    self._io_loop = stack.enter_context(asyncio.Runner()).get_loop()
            behind = self.settings.proxy_to
            while behind is not None and behind._io_loop is None:
                behind._io_loop = self._io_loop
                behind = behind.settings.proxy_to
            self._serve(drain_on=drain_on, grace=grace)

    async def __aenter__(self) -> Any:
        self._engine.attach()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


class Client(_TornadoRPC, BaseClient):
    __doc__ = BaseClient.__doc__


class Server(_TornadoRPC, BaseServer):
    __doc__ = BaseServer.__doc__


def _has_loop() -> bool:
    """Whether this thread has a current event loop, without making one."""
    # There is no public way to ask: get_event_loop() makes one, or warns that it will not.
    local = getattr(asyncio.get_event_loop_policy(), '_local', None)
    return getattr(local, '_loop', None) is not None


class _Done:
    """To await: it has happened already."""

    def __repr__(self) -> str:
        return '<done, may be awaited>'

    def __await__(self) -> Any:
        return iter(())
