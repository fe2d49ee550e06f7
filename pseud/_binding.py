"""Which backend: decided once, when `Client` or `Server` is first asked for.

``NO_TORNADO`` set to anything takes gevent, and tornado is never imported; else tornado
is taken where it is installed, then gevent.
"""

import importlib
import importlib.util
import os
from types import ModuleType

__all__ = ['backend_module']

_module: ModuleType | None = None


def backend_module() -> ModuleType:
    """The package with this process's `Client` and `Server`.

    Raises:
        ImportError: neither tornado nor gevent is installed; says what to do.
    """
    global _module
    if _module is None:
        _module = importlib.import_module(f'pseud.{_choose()}')
    return _module


def _choose() -> str:
    if not os.environ.get('NO_TORNADO') and importlib.util.find_spec('tornado'):
        return '_tornado'
    if importlib.util.find_spec('gevent'):
        return '_gevent'
    raise ImportError(
        'pseud.Client and pseud.Server need an event loop: '
        "pip install 'pseud[Tornado]' (for asyncio, too) or pip install 'pseud[Gevent]'"
        + (' (tornado is not used, as NO_TORNADO is set)' if _refused() else '')
    )


def _refused() -> bool:
    return bool(os.environ.get('NO_TORNADO'))
