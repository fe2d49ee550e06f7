"""Remote functions as local ones: ``client.draw.me.a.sheep()``."""

from typing import Any, Protocol

from ._core.receive import MAX_NAME
from .peers import Origin, RemotePeer
from .settings import check_timeout

__all__ = ['Caller', 'CallsFunctions', 'RemoteFunction', 'check_address']

_UNSET: Any = object()


class CallsOut(Protocol):
    """What makes the calls: the engine, or a `SyncClient`'s."""

    def call(
        self, caller: 'Caller', name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any: ...


class RemoteFunction:
    """A function of a peer, to be called; attributes are functions below it."""

    __slots__ = ('_caller', '_name')

    def __init__(self, caller: 'Caller', name: str) -> None:
        self._caller = caller
        self._name = name

    def __getattr__(self, name: str) -> 'RemoteFunction':
        if name[:1] == '_':
            raise AttributeError(name)
        return RemoteFunction(self._caller, f'{self._name}.{name}')

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        caller = self._caller
        return caller._engine.call(caller, self._name, args, kwargs)

    def __repr__(self) -> str:
        return f'<remote function {self._name!r}>'


class Caller:
    """Whose functions are called, and how; immutable.

    Attributes are remote functions; ``call`` reaches those whose names are taken, start
    with an underscore, or are known at run time only.
    """

    __slots__ = ('_engine', '_timeout', '_to')

    def __init__(
        self,
        engine: 'CallsOut',
        timeout: float | None,
        to: str | RemotePeer | Origin | None = None,
    ) -> None:
        self._engine = engine
        self._timeout = timeout
        self._to = to

    def __getattr__(self, name: str) -> RemoteFunction:
        if name[:1] == '_':
            raise AttributeError(
                f'{name!r}: names that begin with an underscore are not remote '
                f'functions here; call({name!r}, ...) calls one'
            )
        return RemoteFunction(self, name)

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call the remote function ``name``.

        Args:
            name: dotted name.
            args, kwargs: the function's.
        """
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
            raise TypeError(
                f'a function name is a str of 1 to {MAX_NAME} characters, not {name!r:.80}'
            )
        return self._engine.call(self, name, args, kwargs)

    def with_options(self, *, timeout: float | None = _UNSET) -> 'Caller':
        """The same, with settings of its own.

        Args:
            timeout: seconds a call may take, None for ever.
        """
        if timeout is _UNSET:
            timeout = self._timeout
        return Caller(self._engine, check_timeout(timeout), self._to)

    def __repr__(self) -> str:
        to = '' if self._to is None else f' to {self._to!r}'
        return f'<calls{to} with timeout={self._timeout}>'


class CallsFunctions:
    """A client as its user sees it: attributes that it has not are remote functions."""

    _caller: Caller

    def __getattr__(self, name: str) -> RemoteFunction:
        if name[:1] == '_':
            raise AttributeError(
                f'{name!r}: names that begin with an underscore are not remote '
                f'functions here; call({name!r}, ...) calls one'
            )
        return RemoteFunction(self._caller, name)

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call the remote function ``name``, whatever it is.

        Args:
            name: dotted name.
            args, kwargs: the function's.
        """
        return self._caller.call(name, *args, **kwargs)

    def with_options(self, *, timeout: float | None = _UNSET) -> Caller:
        """This client with settings of its own; an immutable view.

        Args:
            timeout: seconds a call may take, None for ever.
        """
        if timeout is _UNSET:
            return self._caller
        return self._caller.with_options(timeout=timeout)


def check_address(to: Any) -> str | RemotePeer:
    """Whom to call: a user id, or a peer.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(to, RemotePeer):
        return to
    if isinstance(to, bytes):  # pseud 1.x took bytes
        to = to.decode()
    if not isinstance(to, str) or not to:
        raise TypeError(
            f'a user id is a str that is not empty (or give a peer of server.peers), '
            f'not {to!r}'
        )
    return to
