"""When and to whom the engine sends: what the core has queued, at the end of each turn.

A peer whose pipe is full waits without costing the others: it is tried again when a
socket stirs, and by a timer, but no more often than every `RETRY` seconds.
"""

import logging
from typing import Any

from ._core.endpoint import Endpoint
from ._core.peer import Peer

__all__ = ['Sender']

logger = logging.getLogger(__name__)

RETRY = 0.005


class Sender:
    """Sends what the core has queued.

    Args:
        core: whose queues these are.

    Attributes:
        reading: a link is taking in messages, and will call `flush` afterwards.
        blocked: peers whose pipes are full.
    """

    def __init__(self, core: Endpoint) -> None:
        self.core = core
        self.backend: Any = None
        self.reading = False
        self.blocked: set[Peer] = set()
        self._scheduled = False
        self._retry_at = 0.0
        self._timer: Any = None
        self._closed = False

    def close(self) -> None:
        """Send nothing more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def flush_soon(self) -> None:
        """Send at the end of this turn of the loop, or now if a batch is complete."""
        if self.core.full:
            self.flush()
        elif not self.reading and not self._scheduled:
            self._scheduled = True
            self.backend.call_soon(self._flush_turn)

    def _flush_turn(self) -> None:
        self._scheduled = False
        self.flush()

    def flush(self) -> None:
        """Send what is queued, and look again at the sockets that it went to."""
        core = self.core
        core.full = False
        link = None
        while core.dirty and not self._closed:
            dirty, core.dirty = core.dirty, []
            for peer in dirty:
                peer.dirty = False
                if not peer.blocked:
                    if peer.link is not link and link is not None:
                        link.look_again()
                    link = peer.link
                    self._transmit(peer, 0.0)
        if link is not None:
            link.look_again()

    def _transmit(self, peer: Peer, now: float) -> None:
        try:
            if not self.core.transmit(peer, now, peer.link.send):
                self._block(peer)
        except Exception:  # the other peers are not to suffer
            logger.exception('can not send to %s', peer.label)

    def _block(self, peer: Peer) -> None:
        if not peer.ready:  # nobody we know, so nobody would forget it later
            self.core.clear(peer)
            return
        self.blocked.add(peer)
        self._retry_later(self.backend.now())

    def retry(self) -> None:
        """A socket stirred: peers whose pipes were full may have room now."""
        now = self.backend.now()
        if now < self._retry_at:
            self._retry_later(now)
            return
        self._retry_at = now + RETRY
        blocked, self.blocked = self.blocked, set()
        for peer in blocked:
            if not peer.gone:
                self._transmit(peer, now)
                peer.link.look_again()

    def _retry_later(self, now: float) -> None:
        if self._timer is None:
            self._timer = self.backend.call_at(now + RETRY, self._retry_now)

    def _retry_now(self) -> None:
        self._timer = None
        if not self._closed:
            self.retry()
