"""A server in a thread of its own, for tests that block: those of a `SyncClient`."""

import asyncio
from typing import Any

from .._binding import backend_module, find_backend
from ..native import allocate_lock, start_thread

__all__ = ['ServerThread']


class ServerThread:
    """A `Server` in a thread of its own, with an event loop of the backend in use.

    Args:
        address: to bind to.
        name, settings: of the server.

    Attributes:
        server: its functions run in that thread.  They may be registered in any.
        address: where it listens.

    Raises:
        Exception: what making the server or binding it raises.
    """

    server: Any = None

    def __init__(self, address: str, name: str, **settings: Any) -> None:
        self.address = address
        self._name, self._settings = name, settings
        self._error: BaseException | None = None
        self._ready, self._ended = allocate_lock(), allocate_lock()
        self._ready.acquire()
        self._ended.acquire()
        start_thread(self._run)
        self._ready.acquire()
        if self._error is not None:
            raise self._error

    def stop(self, patience: float) -> bool:
        """Stop the server, and wait for the end of its thread.

        Args:
            patience: seconds to wait; less than 0 is for ever.

        Returns:
            Whether it has ended.
        """
        engine = self.server._engine
        if not engine.closed:
            engine.backend.call_soon_threadsafe(lambda: engine.ending.stop(0))
        if not self._ended.acquire(True, patience):
            return False
        self._ended.release()  # for the next who asks
        return True

    def _run(self) -> None:
        try:
            if find_backend() == 'gevent':
                self._on_gevent()
            else:
                asyncio.run(self._on_asyncio())
        except BaseException as error:
            self._error = error
        finally:
            if self._ready.locked():
                self._ready.release()
            self._ended.release()

    def _on_gevent(self) -> None:
        import gevent

        try:
            self._begin()
            self.server.serve_forever()
        finally:
            gevent.get_hub().destroy(destroy_loop=True)

    async def _on_asyncio(self) -> None:
        self._begin()
        await self.server.serve_forever()

    def _begin(self) -> None:
        self.server = backend_module().Server(self._name, **self._settings)
        try:
            self.address = self.server.bind(self.address)
        except BaseException:
            self.server.stop(0)
            raise
        self._ready.release()
