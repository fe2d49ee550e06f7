"""ØMQ sockets belong to one thread of one process; misuse is an error, not a crash."""

import os
from threading import get_ident

from .errors import ForkedError, WrongThreadError

__all__ = ['Guard']

_forks = 0


def _forked() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_forked)


class Guard:
    """Remembers where it was made, and knows whether that is here."""

    __slots__ = ('forks', 'thread')

    def __init__(self) -> None:
        self.thread = get_ident()
        self.forks = _forks

    def check(self, what: str) -> None:
        """Return if this is the same thread of the same process.

        Raises:
            ForkedError, WrongThreadError: it is not.
        """
        if self.forks != _forks:
            raise ForkedError(
                f'{what} was made before os.fork() and can not be used in the child: '
                'make a new one there'
            )
        if self.thread != get_ident():
            raise WrongThreadError(
                f'{what} belongs to the thread of its event loop and was used from '
                'another: use loop.call_soon_threadsafe or '
                'asyncio.run_coroutine_threadsafe, or a client for each thread'
            )
