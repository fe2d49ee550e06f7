"""pseud: programs call functions of each other over ØMQ, in both directions.

`Client` and `Server` are those of the backend in use (see `pseud._binding`); they are
imported when they are first asked for, so that importing pseud loads no event loop.
"""

from typing import TYPE_CHECKING, Any

from . import auth as _auth  # noqa: F401 - registers the plugins
from . import heartbeat as _heartbeat  # noqa: F401
from . import predicate as _predicate  # noqa: F401
from ._core.limits import Limits
from ._values.classes import UnknownValue, register_type
from ._version import __version__
from .current import CurrentCall, current_call
from .errors import (
    ForkedError,
    LocalProtocolError,
    MessageTooLargeError,
    NotSentError,
    NotSentTimeoutError,
    OverloadedError,
    PeerLostError,
    ProtocolError,
    PseudError,
    RemoteError,
    RemoteProtocolError,
    RemoteTraceback,
    SerializationError,
    ServiceNotFoundError,
    TimeoutError,
    UnauthorizedError,
    UnknownPluginError,
    UsageError,
    WrongThreadError,
)
from .exposure import InsecureWarning
from .peers import RemotePeer
from .raisable import register_exception
from .sync import SyncClient

if TYPE_CHECKING:  # gevent's have the same methods, and calls of either return Any
    from ._tornado import Client, Server

__all__ = [
    'Client',
    'CurrentCall',
    'ForkedError',
    'InsecureWarning',
    'Limits',
    'LocalProtocolError',
    'MessageTooLargeError',
    'NotSentError',
    'NotSentTimeoutError',
    'OverloadedError',
    'PeerLostError',
    'ProtocolError',
    'PseudError',
    'RemoteError',
    'RemotePeer',
    'RemoteProtocolError',
    'RemoteTraceback',
    'SerializationError',
    'Server',
    'ServiceNotFoundError',
    'SyncClient',
    'TimeoutError',
    'UnauthorizedError',
    'UnknownPluginError',
    'UnknownValue',
    'UsageError',
    'WrongThreadError',
    '__version__',
    'current_call',
    'register_exception',
    'register_type',
]


def __getattr__(name: str) -> Any:
    if name in ('Client', 'Server'):
        from ._binding import backend_module

        value = globals()[name] = getattr(backend_module(), name)
        return value
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    from ._binding import find_backend

    names = set(__all__)
    if find_backend() is None:  # help() and inspect get whatever is listed here
        names -= {'Client', 'Server'}
    return sorted(names)
