"""Every bound the protocol core enforces, with its default."""

from dataclasses import dataclass

__all__ = ['Limits']


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client or server accepts before it says no.

    Args:
        max_message: bytes of one call, result or error, buffers included.
        max_calls_per_peer: calls under way with one peer, counted per direction.
        max_calls: calls under way in all, counted per direction.
        max_queue: bytes waiting to be sent to one peer (or to any, while disconnected);
            also those of one peer's calls of 64 KiB and more that are under way here.
        max_queued: bytes waiting to be sent to all peers together that read too slowly;
            also those of all peers' calls of 64 KiB and more.
        max_peers: connected peers that a server keeps track of.
        max_handlers: functions that run for peers at the same time: coroutines on tornado,
            greenlets on gevent.  Further calls wait, and the peers take turns.
    """

    max_message: int = 64 << 20
    max_calls_per_peer: int = 4096
    max_calls: int = 65536
    max_queue: int = 256 << 20
    max_queued: int = 1 << 30
    max_peers: int = 10000
    max_handlers: int = 10000

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f'{name} must be a positive int, not {value!r}')
