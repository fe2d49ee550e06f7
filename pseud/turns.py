"""Who is next where many wait: one of each peer in turn, so that none waits for all."""

from collections import deque
from typing import Any

__all__ = ['TURN', 'Turns']

# Seconds that functions of peers, or reading what peers send, may take until the loop has
# to get on with other things.  A function that takes longer is the last one of its turn.
TURN = 0.001


class Turns:
    """Jobs that wait to begin: in order for each peer, and the peers in turn.

    Attributes:
        ring: the jobs of each peer, those of whose turn it is first; empty when nothing
            waits.
    """

    __slots__ = ('_queues', 'ring')

    def __init__(self) -> None:
        self.ring: deque[_Queue] = deque()
        self._queues: dict[Any, _Queue] = {}

    def __len__(self) -> int:
        return sum(map(len, self.ring))

    def put(self, peer: Any, job: Any) -> None:
        """Have a job of a peer wait."""
        queue = self._queues.get(peer)
        if queue is None:
            queue = self._queues[peer] = _Queue()
            queue.peer = peer
            self.ring.append(queue)
        queue.append(job)

    def pop(self) -> Any:
        """Whose turn it is, where anybody waits; None if that one has been discarded."""
        ring = self.ring
        queue = ring[0]
        job = queue.popleft() if queue else None
        if not queue:
            del self._queues[queue.peer]
            ring.popleft()
        elif len(ring) > 1:
            ring.rotate(-1)
        return job

    def discard(self, peer: Any, job: Any) -> None:
        """Have a job wait no longer; harmless if it does not."""
        queue = self._queues.get(peer, ())
        if queue and job in queue:
            queue.remove(job)


class _Queue(deque[Any]):
    """The jobs of one peer."""

    __slots__ = ('peer',)

    peer: Any
