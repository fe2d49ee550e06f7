"""How a client or server ends: it drains, for as long as it may, and closes."""

import logging
from math import inf
from typing import TYPE_CHECKING, Any, cast

from .dispatch import Job

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ['Ending']

logger = logging.getLogger(__name__)

# Seconds between looks whether all has been done.
POLL = 0.01
# Seconds that peers have to say that they know, so that no call of theirs is lost.
PARTING = 0.5


class Ending:
    """The end of one client or server."""

    def __init__(self, engine: 'Engine') -> None:
        self.engine = engine
        self._due = inf  # when the grace is over
        self._timer: Any = None
        self._parted_at = inf  # when peers that said nothing are not waited for
        self._stopped: Any = None  # the result of `stop`, once it was called
        self._waiting: list[Any] = []

    def stop(self, grace: float) -> Any:
        """Finish what runs, for at most ``grace`` seconds, then end; a result.

        Called again, it may shorten the grace.
        """
        engine = self.engine
        if engine.guard is None:  # never began
            engine.abandon()
            return None
        engine.guard.check(engine.label)
        if engine.closed:
            return self._stopped
        engine.hooks.spare_current()
        backend = engine.backend
        due = backend.now() + grace
        if due < self._due:
            self._due = due
            self.cancel()
            self._timer = backend.call_at(due, self._finish)
        if self._stopped is None:
            self._stopped = backend.result(lambda result: None)
            self._parted_at = backend.now() + PARTING
            engine.core.drain('it is stopping')
            engine.sender.flush_soon()
            self._poll()
        return self._stopped

    def ended(self) -> Any:
        """A result that is there once this has stopped, whoever stops it."""
        ended = self.engine.backend.result(lambda result: None)
        self._waiting.append(ended)
        return ended

    def finish_if_idle(self) -> None:
        """While stopping: end once nothing runs and everything has left."""
        core = self.engine.core
        if self._stopped is None or not core.idle:
            return
        if self.engine.backend.now() >= self._parted_at or not core.parting:
            self._finish()

    def cancel(self) -> None:
        """The grace does not matter any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _poll(self) -> None:
        self.finish_if_idle()
        if not self.engine.closed:
            backend = self.engine.backend
            backend.call_at(backend.now() + POLL, self._poll)

    def _finish(self) -> None:
        engine = self.engine
        if engine.closed:
            return
        self._refuse_the_last()
        engine.closed = True
        core = engine.core
        for peer in list(core.peers.values()):
            for call in cast(list[Job], list(peer.inbound.values())):
                core.fail(
                    call,
                    'pseud.PeerLostError',
                    f'{call.name}() was stopped, as its server stops; it may have run',
                )
                call.abort()
        try:
            engine.sender.flush()
            engine.handle(core.fail_all('it was stopped here'))
            engine.close()
        finally:
            engine.hooks.finish(self._tell)

    def _refuse_the_last(self) -> None:
        """What has arrived by now does not run, and who sent it shall know that."""
        core = self.engine.core
        for peer in core.peers.values():
            peer.parting = False
        for link in list(self.engine.links.values()):
            try:
                link.drain_some()
            except Exception:  # the context was terminated: there is nothing to read
                logger.debug('nothing more is read', exc_info=True)

    def _tell(self) -> None:
        for result in (self._stopped, *self._waiting):
            if not result.done():
                result.set_result(None)
