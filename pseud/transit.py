"""Large frames on their way: what ØMQ was given for one peer and has not sent yet.

Its pipes count messages, not bytes: a hundred results of 64 MiB would be let in for a peer
that does not read.  What is not let in waits in the core's queues, which count bytes.
"""

from collections import deque
from typing import Any

__all__ = ['Transit']

# Bytes that ØMQ may hold before it gets more for the same peer: enough to keep a fast
# network busy until the sender tries again.
WINDOW = 32 << 20


class Transit:
    """The large frames that ØMQ holds for one peer.

    Only those that it was given uncopied: of others it does not say when they have left.

    Attributes:
        frames: (bytes, pyzmq's tracker of it), in order; None or empty when there are none.
    """

    __slots__ = ('_size', 'frames')

    def __init__(self) -> None:
        self.frames: deque[tuple[int, Any]] | None = None  # most peers never have any
        self._size = 0

    def add(self, size: int, tracker: Any) -> None:
        """ØMQ has got a frame of so many bytes; its tracker knows when it has left."""
        if self.frames is None:
            self.frames = deque()
        self.frames.append((size, tracker))
        self._size += size

    def full(self) -> bool:
        """Whether some of them have to leave before there may be more."""
        frames = self.frames
        while frames and frames[0][1].done:
            self._size -= frames.popleft()[0]
        return self._size >= WINDOW
