"""The interpreter's own threads, also where gevent has put greenlets in their place.

Guards and the ZAP thread are about real threads: ``gevent.monkey`` replaces `threading`
and `_thread`, whose originals it keeps.  gevent is never imported here, only noticed.
"""

import _thread
import sys
from collections.abc import Callable
from typing import Any

__all__ = ['allocate_lock', 'get_ident', 'start_new_thread', 'threads_are_greenlets']


def _original(name: str) -> Any:
    monkey = sys.modules.get('gevent.monkey')
    if monkey is None:
        return getattr(_thread, name)
    return monkey.get_original('_thread', name)


get_ident: Callable[[], int] = _original('get_ident')
allocate_lock: Callable[[], Any] = _original('allocate_lock')
start_new_thread: Callable[..., int] = _original('start_new_thread')


def threads_are_greenlets() -> bool:
    """Whether ``threading.Thread`` makes greenlets in this process.

    pyzmq frees what was sent uncopied from such a thread, which would never get its
    turn (zerorpc-python #137, pyzmq #765).
    """
    monkey = sys.modules.get('gevent.monkey')
    return monkey is not None and bool(monkey.is_module_patched('threading'))
