"""Plugins by name: authentication, heartbeat and predicates, as named adapters.

``zope.component.adapter`` declares what a plugin adapts as well as `adapter` here does:
both leave ``__component_adapts__`` on the class.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from zope.interface import Invalid, providedBy
from zope.interface.registry import Components
from zope.interface.verify import verifyObject

from .errors import UnknownPluginError
from .interfaces import IAuthenticationBackend, IHeartbeatBackend, IPredicate
from .registry import registry

__all__ = [
    'adapter',
    'plugin',
    'register_auth_backend',
    'register_heartbeat_backend',
    'register_predicate',
]

T = TypeVar('T', bound=type)

_BASES = {
    IAuthenticationBackend: 'pseud.auth.AuthenticationBackend',
    IHeartbeatBackend: 'pseud.heartbeat.HeartbeatBackend',
}


def adapter(*interfaces: Any) -> Callable[[T], T]:
    """Declare what a plugin class adapts: `IClient`, `IServer`, `IRPCCallable`."""

    def declare(cls: T) -> T:
        cls.__component_adapts__ = interfaces  # type: ignore[attr-defined]
        return cls

    return declare


def _register(cls: T, interface: Any) -> T:
    adapts = getattr(cls, '__component_adapts__', None)
    name = getattr(cls, 'name', None)
    if not adapts or not isinstance(name, str):
        raise TypeError(
            f'{cls!r} is no plugin: it needs a `name` and `@adapter(...)` to say what for'
        )
    registry.registerAdapter(cls, tuple(adapts), interface, name, event=False)
    return cls


def register_auth_backend(cls: T) -> T:
    """Class decorator: an authentication plugin, see `IAuthenticationBackend`."""
    return _register(cls, IAuthenticationBackend)


def register_heartbeat_backend(cls: T) -> T:
    """Class decorator: a heartbeat plugin, see `IHeartbeatBackend`."""
    return _register(cls, IHeartbeatBackend)


def register_predicate(cls: T) -> T:
    """Class decorator: a predicate, see `IPredicate`; its name is that of a domain."""
    return _register(cls, IPredicate)


def plugin(rpc: Any, interface: Any, wanted: Any, where: Components) -> Any:
    """The plugin that a constructor argument means.

    Args:
        rpc: the client or server it is for.
        interface: what it must provide.
        wanted: a name, or an object that provides ``interface``.
        where: the registry to look in.

    Raises:
        UnknownPluginError: there is none of that name for this kind of object.
        TypeError: the object does not provide the interface.
    """
    if not isinstance(wanted, str):
        if not interface.providedBy(wanted):
            raise TypeError(
                f'{wanted!r} is neither the name of a plugin nor does it provide '
                f'{interface.__name__}: decorate its class with '
                f'@implementer({interface.__name__})'
            )
        return _verified(interface, wanted)
    found = where.queryAdapter(rpc, interface, wanted)
    if found is None:
        # not getAdapters, that would make one of each
        known = sorted(
            n for n, _ in where.adapters.lookupAll([providedBy(rpc)], interface)
        )
        raise UnknownPluginError(
            f'no {interface.__name__} is called {wanted!r} for a '
            f'{type(rpc).__name__}; there are: {", ".join(known)}'
        )
    return _verified(interface, found)


def _verified(interface: Any, plugin: Any) -> Any:
    try:
        verifyObject(interface, plugin)
    except Invalid as error:
        lacks = ' '.join(str(error).split())
        raise TypeError(
            f'{plugin!r} does not keep what {interface.__name__} promises: {lacks}; '
            f'a base class has what it lacks, {_BASES[interface]}'
        ) from None
    return plugin
