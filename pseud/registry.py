"""Functions and plugins by name: registering them, and finding the one a call means.

Everything lives in `zope.interface.registry.Components`.  A client or server has a local
one whose base is the global ``registry``; what is nearer wins.  Lookups on the call path
are by exact name.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, overload

from zope.interface import implementedBy, implementer
from zope.interface.registry import Components

from .errors import ServiceNotFoundError
from .interfaces import IPredicate, IRPCCallable, IRPCRoute

__all__ = [
    'RPCCallable',
    'RPCRoute',
    'create_local_registry',
    'find_callable',
    'get_rpc_callable',
    'is_admitted',
    'is_known',
    'register_rpc',
    'registry',
]

DEFAULT_DOMAIN = 'default'

F = TypeVar('F', bound=Callable[..., Any])

registry = Components('pseud')

# All names that any registry has.  zope keeps the answer to every look-up, also of names
# that are not there: strangers would fill the memory with them.
_names: set[str] = set()
# Names that some registry has outside of the default domain: only for these the registries
# below need a look when a function is found.
_restricted: set[str] = set()


def create_local_registry(name: str) -> Components:
    """A registry of one's own, on top of the global one."""
    return Components(name=str(name), bases=(registry,))


@implementer(IRPCCallable)
class RPCCallable:
    """A registered function; see `IRPCCallable`."""

    __slots__ = ('domain', 'func', 'name', 'registry', 'with_identity')

    def __init__(
        self,
        func: Callable[..., Any],
        name: str,
        domain: str = DEFAULT_DOMAIN,
        with_identity: bool = False,
        registry: Components = registry,
    ) -> None:
        self.func = func
        self.name = name
        self.domain = domain
        self.with_identity = with_identity
        self.registry = registry

    def __repr__(self) -> str:
        return f'<RPCCallable {self.name!r} domain={self.domain!r}>'

    def __call__(self, *args: Any, **kw: Any) -> Any:
        return self.func(*args, **kw)

    def predicate(self) -> Callable[[Any], Any] | None:
        """What makes the predicate of its domain, or None: there is no such domain."""
        found: Callable[[Any], Any] | None = self.registry.adapters.lookup(
            _CALLABLE, IPredicate, self.domain
        )
        return found

    @property
    def admits_all(self) -> bool:
        """Whether no predicate needs to be asked."""
        return getattr(self.predicate(), 'admits_all', False) is True

    def test(self, *args: Any, **kw: Any) -> bool:
        make = self.predicate()
        if make is None:
            raise LookupError(
                f'{self.name}() is registered for the domain {self.domain!r}, but no '
                'predicate is: use pseud.utils.register_predicate'
            )
        allowed = make(self).test(*args, **kw)
        if inspect.isawaitable(allowed):  # which would be true, whatever comes out
            close = getattr(allowed, 'close', None)
            if close is not None:
                close()
            raise TypeError(
                f'test() of the predicate {self.domain!r} must be a plain function: it '
                'decides at once'
            )
        return bool(allowed)


_CALLABLE = (implementedBy(RPCCallable),)


@implementer(IRPCRoute)
class RPCRoute:
    """What one name leads to in one registry; see `IRPCRoute`."""

    __slots__ = ('callables', 'name', 'only_default', 'registry')

    def __init__(self, name: str, registry: Components) -> None:
        self.name = name
        self.registry = registry
        self.callables: dict[str, RPCCallable] = {}
        self.only_default: tuple[RPCCallable, ...] = ()

    def add(self, found: RPCCallable) -> None:
        """Register a function; it takes the place of one with the same domain."""
        _names.add(self.name)
        self.callables[found.domain] = found
        if found.domain == DEFAULT_DOMAIN:
            self.only_default = (found,)
        else:
            _restricted.add(self.name)

    def candidates(self) -> Iterator[RPCCallable]:
        """Restricted domains before the default one, what is nearer before the rest."""
        routes = [self, *_routes_below(self.registry, self.name)]
        for route in routes:
            for domain, candidate in route.callables.items():
                if domain != DEFAULT_DOMAIN:
                    yield candidate
        for route in routes:
            if DEFAULT_DOMAIN in route.callables:
                yield route.callables[DEFAULT_DOMAIN]


def _routes_below(above: Components, name: str) -> Iterator[RPCRoute]:
    for base in above.__bases__:
        route = base.queryUtility(IRPCRoute, name)
        if route is not None:
            yield route
            yield from _routes_below(route.registry, name)


@overload
def register_rpc(
    func: F,
    name: str | None = None,
    domain: str = ...,
    registry: Components = ...,
    with_identity: bool = False,
) -> F: ...


@overload
def register_rpc(
    func: None = None,
    name: str | None = None,
    domain: str = ...,
    registry: Components = ...,
    with_identity: bool = False,
) -> Callable[[F], F]: ...


def register_rpc(
    func: F | None = None,
    name: str | None = None,
    domain: str = DEFAULT_DOMAIN,
    registry: Components = registry,
    with_identity: bool = False,
) -> Any:
    """Make a function callable by peers; a decorator, with or without arguments.

    Args:
        func: any callable: function, coroutine function, bound method, partial.
        name: dotted name it is called by; its own name by default.
        domain: name of the predicate that decides who may call it.
        registry: where; the global one serves every client and server.
        with_identity: pass the caller's user id before the arguments.

    Returns:
        ``func``, or the decorator when it was left out.

    Raises:
        TypeError: it can not be called, or has no name and was given none.
    """

    def register(function: F) -> F:
        key = _name_of(function, name)
        route = registry.utilities.registered((), IRPCRoute, key)
        if route is None:
            route = RPCRoute(key, registry)
            registry.registerUtility(route, IRPCRoute, name=key, event=False)
        route.add(RPCCallable(function, key, domain, with_identity, registry))
        return function

    if func is None:
        return register
    return register(func)


def _name_of(function: Any, name: str | None) -> str:
    if not callable(function):
        raise TypeError(
            f'register_rpc takes a callable, not {function!r}; '
            "a name goes by keyword: register_rpc(name='...')"
        )
    if name is None:
        while isinstance(function, functools.partial):
            function = function.func
        name = getattr(function, '__name__', None)
        if name is None or not name.isidentifier():
            raise TypeError(
                f"{function!r} has no name: give one, register_rpc(name='…')"
            )
    if not isinstance(name, str) or not name:
        raise TypeError(f'name must be a str that is not empty, not {name!r}')
    return name


def find_callable(
    where: Components, name: str, auth: Any, user_id: str | None
) -> RPCCallable:
    """The function that a call of ``name`` by a user means.

    Args:
        where: the registry of the client or server that is called.
        name: exact.
        auth: the `IAuthenticationBackend`, which knows what predicates ask about.
        user_id: the caller's.

    Raises:
        ServiceNotFoundError: there is none, or none that may be called.
    """
    route = where.queryUtility(IRPCRoute, name) if name in _names else None
    if route is not None:
        candidates = route.candidates() if name in _restricted else route.only_default
        for candidate in candidates:
            if is_admitted(candidate, auth, user_id):
                found: RPCCallable = candidate
                return found
    raise ServiceNotFoundError(f'there is no function {name!r} for this caller')


def is_admitted(candidate: RPCCallable, auth: Any, user_id: str | None) -> bool:
    """Whether a user may call a function."""
    return candidate.admits_all or candidate.test(
        **auth.get_predicate_arguments(user_id)
    )


def is_known(where: Components, name: str) -> bool:
    """Whether there is a function of that name, for anybody."""
    return name in _names and where.queryUtility(IRPCRoute, name) is not None


def get_rpc_callable(
    name: str, registry: Components = registry, *args: Any, **kw: Any
) -> RPCCallable:
    """The function registered under ``name`` whose predicate allows these arguments.

    Raises:
        ServiceNotFoundError: there is none, or none that may be called.
    """
    route = registry.queryUtility(IRPCRoute, name) if name in _names else None
    if route is not None:
        for candidate in route.candidates():
            if candidate.test(*args, **kw):
                found: RPCCallable = candidate
                return found
    raise ServiceNotFoundError(f'there is no function {name!r} for this caller')
