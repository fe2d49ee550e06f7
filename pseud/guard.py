"""ØMQ sockets belong to one thread of one process; misuse is an error, not a crash."""

import os
import weakref

from .errors import ForkedError, WrongThreadError
from .native import get_ident

__all__ = ['FORKED', 'Guard']

# No thread has this ident (threading.get_ident: "a nonzero integer").
FORKED = 0


class Guard:
    """Remembers where it was made, and knows whether that is here.

    Attributes:
        thread: the ident of the one thread that may pass; compare it to `get_ident()`
            where even a call of `check` is too slow.
    """

    __slots__ = ('__weakref__', 'thread')

    def __init__(self) -> None:
        self.thread = get_ident()
        _guards.add(self)

    def check(self, what: str) -> None:
        """Return if this is the same thread of the same process.

        Raises:
            ForkedError, WrongThreadError: it is not.
        """
        if self.thread == FORKED:
            raise ForkedError(
                f'{what} was made before os.fork() and can not be used in the child: '
                'make a new one there'
            )
        if self.thread != get_ident():
            raise WrongThreadError(
                f'{what} belongs to the thread of its event loop and was used from '
                'another: use loop.call_soon_threadsafe or '
                'asyncio.run_coroutine_threadsafe (on gevent '
                'hub.loop.run_callback_threadsafe), or a pseud.SyncClient, which threads '
                'may share'
            )


_guards: 'weakref.WeakSet[Guard]' = weakref.WeakSet()


def _forked() -> None:
    for guard in _guards:
        guard.thread = FORKED


os.register_at_fork(after_in_child=_forked)
