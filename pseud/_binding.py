"""Which backend: decided once, when `Client` or `Server` is first asked for.

tornado where it is installed, else gevent.  When the environment variable ``NO_TORNADO``
is set and not empty (``0`` counts as set) it is gevent, and tornado is never imported.
"""

import importlib
import importlib.util
import os
from types import ModuleType

__all__ = ['backend_module', 'find_backend']

_module: ModuleType | None = None


def backend_module() -> ModuleType:
    """The package with this process's `Client` and `Server`.

    Raises:
        ImportError: there is no backend to take, and what to do; or a backend is
            installed and can not be imported, and why.
    """
    global _module
    if _module is None:
        name = find_backend()
        if name is None:
            raise ImportError(_what_to_install())
        _module = importlib.import_module(f'pseud._{name}')
    return _module


def find_backend() -> str | None:
    """``'tornado'`` or ``'gevent'``, without importing it; None if there is none."""
    wanted = ('gevent',) if _no_tornado() else ('tornado', 'gevent')
    return next(filter(_is_installed, wanted), None)


def _no_tornado() -> bool:
    return bool(os.environ.get('NO_TORNADO'))


def _is_installed(name: str) -> bool:
    spec = importlib.util.find_spec(name)
    # Any directory on the path that is called tornado can be imported, too: as a
    # namespace, which has no file of its own.
    return spec is not None and spec.origin is not None


def _what_to_install() -> str:
    tornado, gevent = 'pip install "pseud[Tornado]"', 'pip install "pseud[Gevent]"'
    if _no_tornado():
        return (
            'pseud.Client and pseud.Server take gevent, as NO_TORNADO is set, and gevent '
            f'is not installed: {gevent}; or unset NO_TORNADO and {tornado}'
        )
    return (
        'pseud.Client and pseud.Server need tornado or gevent, and neither is installed: '
        f'{tornado} (for asyncio, too) or {gevent}; pseud.SyncClient needs neither'
    )
