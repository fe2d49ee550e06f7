"""Which exception classes a peer may have raised here, by name, and how they are built.

Builtin exceptions, pseud's own, and those registered with `register_exception`.  No other
class is ever raised on a peer's word, and none is ever looked up in a module.
"""

import builtins
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast, overload

from . import errors

__all__ = [
    'FATE',
    'MAX_NAME',
    'build',
    'find',
    'find_bare',
    'is_registered',
    'may_travel',
    'name_for_v1',
    'name_of',
    'register_exception',
]

# of a class on the wire, in characters
MAX_NAME = 256

E = TypeVar('E', bound=type[Exception])

# asyncio and generators give these a meaning of their own
_NEVER = (StopIteration, StopAsyncIteration)

_BUILTIN: dict[str, type[Exception]] = {
    name: cls
    for name, cls in vars(builtins).items()
    if isinstance(cls, type)
    and issubclass(cls, Exception)
    and not issubclass(cls, (*_NEVER, BaseExceptionGroup, SyntaxError))
}
_OWN: dict[str, type[Exception]] = {
    f'pseud.{name}': cls
    for name, cls in vars(errors).items()
    if isinstance(cls, type)
    and issubclass(cls, errors.PseudError)
    and cls not in (errors.RemoteError, errors.RemoteTraceback)
}
# These say whether *this* call ran.  Raised inside a function they speak of a call that
# the function made, so they must not arrive as themselves.
FATE = (errors.NotSentError, errors.PeerLostError, errors.TimeoutError)

# No code of users is among these.
_BUILTIN_CLASSES = frozenset(
    cls for cls in vars(builtins).values() if isinstance(cls, type)
)
_NAMES: dict[type, str] = {
    **{cls: key for key, cls in _OWN.items() if not issubclass(cls, FATE)},
    **{cls: cls.__name__ for cls in _BUILTIN.values()},
}

_registered: dict[str, type[Exception]] = {}
_registered_names: dict[type, str] = {}

# why a class is refused, by base
_REFUSED: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (_NEVER, 'which ends a generator wherever it is raised'),
    (SyntaxError, 'which Python prints from source that is not here'),
    (
        FATE,
        'which tells the caller whether its call ran; a function that raises one ran',
    ),
    (
        (errors.RemoteError, errors.RemoteTraceback),
        'which stands for what is not known here',
    ),
)


@overload
def register_exception(cls: E, *, name: str | None = None) -> E: ...


@overload
def register_exception(
    cls: None = None, *, name: str | None = None
) -> Callable[[E], E]: ...


def register_exception(cls: Any = None, *, name: str | None = None) -> Any:
    """Let an exception class travel; a decorator, with or without arguments.

    Register it in both processes: where it is raised, it goes out under its name with its
    ``args`` and attributes; where the call was made, it is built from them.  Its
    ``__init__`` is not called for that, but that of the builtin class it derives from;
    then the attributes are put back.  What does not fit becomes a `RemoteError`.

    A class that is registered under several names arrives under each and goes out under
    the last.

    Args:
        cls: a subclass of ``Exception``.
        name: on the wire, the same on both sides; by default that of the module and the
            class, ``'shop.errors.OutOfStock'``.

    Returns:
        ``cls``, or the decorator when it was left out.

    Raises:
        TypeError: not a class, or not a subclass of ``Exception``; ``name`` is no str.
        ValueError: the name is that of another class, of a builtin or begins with
            ``pseud.``; or the class is one that must not travel: builtin or pseud's own,
            or derived from ``StopIteration``, ``StopAsyncIteration``, ``SyntaxError``,
            `NotSentError`, `PeerLostError`, `pseud.TimeoutError` or `RemoteError`.
    """
    if cls is None:
        return lambda cls: register_exception(cls, name=name)
    if not isinstance(cls, type):
        raise TypeError(
            f'register_exception takes a class, not {cls!r}; '
            "a name goes by keyword: register_exception(name='...')"
        )
    if not issubclass(cls, Exception):
        raise TypeError(
            f'{cls.__qualname__} is not a subclass of Exception: a peer must not raise '
            'what is meant to end a program or a task; derive it from Exception'
        )
    key = dotted_name(cls) if name is None else name
    _check_class(cls)
    _check_name(key, cls)
    old = _registered.get(key)
    if old is not None and old is not cls:
        _registered_names.pop(old, None)
    _registered[key] = cls
    _registered_names[cls] = key
    return cls


def _check_class(cls: type[Exception]) -> None:
    if cls in _BUILTIN_CLASSES or cls in _OWN.values():
        raise ValueError(
            f'{cls.__qualname__} is builtin or one of pseud: it needs no registering'
        )
    for bases, why in _REFUSED:
        if issubclass(cls, bases):
            base = next(base for base in cls.__mro__[1:] if issubclass(base, bases))
            raise ValueError(
                f'{cls.__qualname__} is a kind of {base.__name__}, {why}: derive it '
                'from another class'
            )


def _check_name(name: Any, cls: type[Exception]) -> None:
    if not isinstance(name, str):
        raise TypeError(f'name must be a str, not {name!r}')
    if not 0 < len(name) <= MAX_NAME:
        raise ValueError(
            f'name must have 1 to {MAX_NAME} characters, not {len(name)}: {name[:80]!r}'
        )
    if name in vars(builtins) or name.startswith('builtins.'):
        raise ValueError(f"{name!r} is a builtin's name: give another, name='…'")
    if name.startswith('pseud.'):
        raise ValueError(
            f"{name!r}: such names are pseud's own: give another, name='…'"
        )
    taken = _registered.get(name)
    # a module that is loaded again defines its classes again
    if taken is not None and dotted_name(taken) != dotted_name(cls):
        raise ValueError(
            f'{name!r} is the name of {dotted_name(taken)} already: give '
            f"{dotted_name(cls)} another, name='…'"
        )


# ---------------------------------------------------------------- names


def dotted_name(cls: type) -> str:
    """Module and name of a class, at most ``MAX_NAME`` characters."""
    try:
        name = f'{cls.__module__}.{cls.__qualname__}'
    except KeyboardInterrupt:
        raise
    except BaseException:  # a metaclass that means harm
        name = type.__dict__['__name__'].__get__(cls)
    return name[:MAX_NAME]


def name_of(error: BaseException) -> str:
    """The name an exception's class has on the wire."""
    cls = type(error)
    name = _NAMES.get(cls) or _registered_names.get(cls)
    if name is None and isinstance(error, errors.RemoteError):
        name = error.type_name  # what a proxy passes on keeps its first name
    if type(name) is str:
        return name[:MAX_NAME]
    return dotted_name(cls).removeprefix('builtins.')


def is_registered(cls: type) -> bool:
    """Whether the user registered this very class."""
    return cls in _registered_names


def find(name: str) -> type[Exception] | None:
    """The class that may be raised for a name on the wire, or None."""
    return _BUILTIN.get(name) or _OWN.get(name) or _registered.get(name)


def find_bare(name: str) -> str:
    """The name that `find` knows for the bare class name of a v1 peer; else the same."""
    if name in _BUILTIN:
        return name
    if f'pseud.{name}' in _OWN:
        return f'pseud.{name}'
    found = {
        cls: key
        for key, cls in list(_registered.items())
        if name in (cls.__name__, key.rpartition('.')[2])
    }
    return found.popitem()[1] if len(found) == 1 else name


def name_for_v1(name: str) -> str:
    """The name of an exception for a peer that speaks v1, for `v1.encode_error`.

    pseud 1.x calls, in its reader, whatever ``builtins`` has by the name that comes, with a
    text: that may end the reader, or the program.  What is not there by that name is an
    ``Exception`` to it that tells the name.
    """
    bare = name.rpartition('.')[2]
    cls = _BUILTIN.get(bare)
    if cls is None:
        return f'builtins.{bare}' if bare in vars(builtins) else name
    if issubclass(cls, UnicodeError):  # its subclasses want five arguments
        return 'UnicodeError'
    return bare


# ---------------------------------------------------------------- building


def build(
    cls: type[Exception], args: tuple[Any, ...], attributes: Mapping[Any, Any]
) -> Exception:
    """An exception of a class that `find` returned.

    Args:
        cls: the class.
        args: its arguments; of a group its message and a list of exceptions.
        attributes: what its ``__dict__`` held; for registered classes.

    Raises:
        Exception: the arguments do not fit.
    """
    _check_arguments(cls, args)
    if not is_registered(cls):
        return cls(*args)
    # `__base__` is the one whose memory layout it has; no `__init__`, `__new__` of users
    base: Any = cls
    while base not in _BUILTIN_CLASSES:
        base = base.__base__
    error = base.__new__(cls, *args)
    base.__init__(error, *args)
    kept = {key: value for key, value in attributes.items() if may_travel(cls, key)}
    BaseException.__dict__['__dict__'].__get__(error).update(kept)
    return cast(Exception, error)


def _check_arguments(cls: type[Exception], args: tuple[Any, ...]) -> None:
    """CPython's ``str()`` of these looks at the object wherever they point to."""
    if issubclass(cls, UnicodeError) and cls is not UnicodeError and len(args) >= 4:
        start, end = args[-3:-1]
        text = args[-4]
        if (
            type(text) not in (str, bytes, bytearray)
            or type(start) is not int
            or type(end) is not int
            or not 0 <= start <= end <= len(text)
        ):
            raise ValueError(f'a {cls.__name__} that points elsewhere')


def may_travel(cls: type, key: Any) -> bool:
    """Whether an attribute travels: nothing of Python's own, nothing that hides methods."""
    if type(key) is not str or (key.startswith('__') and key.endswith('__')):
        return False
    for base in cls.__mro__:
        if key in vars(base):
            return not hasattr(type(vars(base)[key]), '__get__')
    return True
