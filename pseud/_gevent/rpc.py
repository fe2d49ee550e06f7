"""`Client` and `Server` for gevent."""

import signal
from typing import Any

from ..client import BaseClient
from ..current import CURRENT
from ..rpc import GRACE, BaseRPC
from ..server import BaseServer
from .backend import GeventBackend, Result

__all__ = ['Client', 'Server']


class _GeventRPC(BaseRPC):
    def _make_backend(self) -> GeventBackend:
        return GeventBackend(self.settings.limits.max_handlers)

    def _loop_runs(self) -> bool:
        return True

    def _done(self) -> Result:
        done = Result(lambda result: None)
        done.set(None)
        return done

    def start(self) -> None:
        """Begin to work; returns at once."""
        self._engine.attach()

    def serve_forever(self, grace: float = GRACE) -> None:
        """Work until SIGTERM or SIGINT, or until `stop`; finish what runs and return.

        Args:
            grace: seconds that running functions have after a signal; a second one ends
                them.
        """
        self._serve(drain_on=(signal.SIGTERM, signal.SIGINT), grace=grace)

    def stop(self, grace: float = GRACE) -> Any:
        """Stop: take no new calls, finish those that run, tell the peers, close.

        Returns once it has stopped; inside a function that a peer called, which is one
        of those to finish, at once.

        Args:
            grace: seconds that running functions have; then they are killed.
        """
        result = super().stop(grace)
        job = CURRENT.get()
        if job is None or job.engine is not self._engine or job.done:
            result.get()
        return result

    def __enter__(self) -> Any:
        self._engine.attach()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


class Client(_GeventRPC, BaseClient):
    __doc__ = BaseClient.__doc__


class Server(_GeventRPC, BaseServer):
    __doc__ = BaseServer.__doc__
