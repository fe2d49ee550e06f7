"""The interpreter's own threads, also where gevent has put greenlets in their place.

Guards and the ZAP thread are about real threads: ``gevent.monkey`` replaces `threading`
and `_thread`, whose originals it keeps.  gevent is never imported here, only noticed.
What waits in a real thread wants the originals of other modules, too.
"""

import _thread
import ctypes
import os
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

__all__ = [
    'allocate_lock',
    'get_ident',
    'original',
    'seed_random',
    'start_thread',
    'threads_are_greenlets',
]


def original(module: ModuleType, name: str) -> Any:
    """What a module of the standard library had by that name before it was patched."""
    monkey = sys.modules.get('gevent.monkey')
    if monkey is None:
        return getattr(module, name)
    return monkey.get_original(module.__name__, name)


get_ident: Callable[[], int] = original(_thread, 'get_ident')
allocate_lock: Callable[[], Any] = original(_thread, 'allocate_lock')
_start_new_thread: Callable[..., int] = original(_thread, 'start_new_thread')


def start_thread(function: Callable[[], Any]) -> None:
    """Run a function in a thread, which nobody waits for.

    Debuggers and coverage look into threads of `threading` by themselves, and by this into
    ours.
    """

    def run() -> None:
        sys.settrace(threading.gettrace())
        function()

    _start_new_thread(run, ())


def seed_random() -> None:
    """Seed the C library's ``rand()``, which nobody but libzmq uses.

    From it a ROUTER takes the first of the routing ids that it gives to clients; libzmq
    4.3.5 does not seed it.  A client that states the next one as its own would end the
    process, by an assertion in ``router_t::identify_peer``.
    """
    try:
        ctypes.CDLL(None).srand(int.from_bytes(os.urandom(4), 'big'))
    except (OSError, AttributeError, TypeError):  # not a platform with such a library
        pass


def threads_are_greenlets() -> bool:
    """Whether ``threading.Thread`` makes greenlets in this process.

    pyzmq frees what was sent uncopied from such a thread, which would never get its
    turn (zerorpc-python #137, pyzmq #765).
    """
    monkey = sys.modules.get('gevent.monkey')
    return monkey is not None and bool(monkey.is_module_patched('threading'))
