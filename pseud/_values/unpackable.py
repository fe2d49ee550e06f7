"""Where the part of a value is that can not travel, and why: text for an error."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..errors import SerializationError
from .classes import find_class

__all__ = ['unpackable']

# Characters: a path that gets longer ends where it is.
MAX_PATH = 1000
# Levels that are looked through; each packs the value once more, and it may be large.
MAX_LEVELS = 20


def unpackable(
    values: Mapping[str, Any], error: Exception, pack: Callable[[Any], Any]
) -> SerializationError:
    """The error for values of which one can not be packed.

    Args:
        values: by what they are called.
        error: what packing them all failed with.
        pack: tries to pack a part.
    """
    for path, value in values.items():
        failure = _failure(value, pack)
        if failure is not None:
            path, value, failure = _innermost(path, value, failure, pack)
            if 'recursion' in str(failure):
                return SerializationError(
                    f'{path} can not be packed: it contains itself, or is nested too '
                    'deeply (some 1000 lists, dicts and the like in each other)'
                )
            text = f'it is a {_name(type(value))}, {failure}'
            return SerializationError(f'{path} can not be packed: {text}')
    # together, but not one by one: they are nested as deeply as values can be
    return SerializationError(f'{", ".join(values)} can not be packed: {error}')


def _name(cls: type) -> str:
    return f'{cls.__module__}.{cls.__qualname__}'.removeprefix('builtins.')


def _failure(value: Any, pack: Callable[[Any], Any]) -> Exception | None:
    try:
        pack(value)
    except Exception as error:
        return error
    return None


def _innermost(
    path: str, value: Any, failure: Exception, pack: Callable[[Any], Any]
) -> tuple[str, Any, Exception]:
    """The part inside of which everything can be packed."""
    root = path
    for _ in range(MAX_LEVELS):
        if len(path) > MAX_PATH or ('recursion' in str(failure) and path is not root):
            break
        for at, part in _parts(value):
            inner = None if part is value else _failure(part, pack)
            if inner is not None:
                path, value, failure = path + at, part, inner
                break
        else:
            break
    return path, value, failure


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield f'[{_short(key)}]', part
        for key in value:
            yield f' key {_short(key)}', key
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield f'[{number}]', part
    elif isinstance(value, set | frozenset):
        for part in value:
            yield f' element {_short(part)}', part
    else:
        yield from _attributes(value)


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """The parts of an instance of a registered class."""
    registered = find_class(type(value))
    if registered is None:
        return
    try:
        state = registered.pack(value)
    except Exception:
        return
    if type(state) is dict:
        for name, part in state.items():
            yield f'.{name}', part
    else:
        yield '', state


def _short(value: Any) -> str:
    try:
        return f'{value!r:.40}'
    except Exception:
        return f'<{type(value).__name__}>'
