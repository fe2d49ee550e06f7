"""Bytes to a value: what msgpack leaves undone, values with marks and odd keys."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import msgpack

from .._core.wire import Buffer
from .arrays import NEEDS_NUMPY, TAKE
from .classes import OBJECT, UnknownValue, find_name
from .hashes import check_hashes
from .types import UNPACK

__all__ = ['Reader', 'extension', 'pairs']

USER_CODES = range(64)


# What msgpack makes of extensions.  None of them can be a key before it has been read: to
# hash keys of strangers' choice is left to `check_hashes`.


class _Mark:
    """The first element of an array that stands for a value."""

    __slots__ = ('code',)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, code: int) -> None:
        self.code = code


class _Extension:
    """An extension with data."""

    __slots__ = ('code', 'data')
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, code: int, data: bytes) -> None:
        self.code = code
        self.data = data


class _Pairs(list[Any]):
    """The keys and values, in turn, of a dict with keys that are to be read."""


_MARKS = {code: _Mark(code) for code in (*UNPACK, *TAKE, OBJECT)}
# Keys that are not what they will be, or can not be hashed.
_ODD = frozenset((list, dict, _Mark, _Extension, _Pairs))


def extension(code: int, data: bytes) -> Any:
    """msgpack's ``ext_hook``."""
    if code not in USER_CODES and not data:
        return _MARKS.get(code) or _Mark(code)
    return _Extension(code, data)


def pairs(items: list[tuple[Any, Any]]) -> Any:
    """msgpack's ``object_pairs_hook``, where keys are not just str and bytes."""
    plain = True
    for key, _ in items:
        kind = type(key)
        if kind in _ODD:
            return _Pairs(chain.from_iterable(items))
        if kind is not str and kind is not bytes:
            plain = False
    if not plain:
        check_hashes([key for key, _ in items])
    return dict(items)


class Reader:
    """Makes values of what has marks, in one body.

    Args:
        own: {code: unpack} of the translation table.
        buffers: what travelled beside the body.
    """

    def __init__(
        self, own: Mapping[int, Callable[..., Any]], buffers: Sequence[Buffer]
    ) -> None:
        self.own = own
        self.buffers: list[Buffer | None] = list(buffers)

    def read(self, value: Any) -> Any:
        """Make the values that parts of a value stand for, the innermost first.

        Not by recursion: msgpack goes deeper than Python.
        """
        above: list[tuple[Any, Iterator[tuple[Any, Any]], Any]] = []
        container: Any = [value]
        parts: Iterator[tuple[Any, Any]] = iter(enumerate(container))
        while True:
            for at, part in parts:
                kind = type(part)
                if kind is list or kind is dict or kind is _Pairs:
                    # most are leaves, which need no more than a look
                    if kind is list:
                        marked = len(part) > 0 and type(part[0]) is _Mark
                        fields = part[1:] if marked else part
                        if _ODD.isdisjoint(map(type, fields)):
                            if marked:
                                container[at] = self._marked(part[0].code, fields)
                            continue
                    elif kind is dict and _ODD.isdisjoint(map(type, part.values())):
                        continue
                    above.append((container, parts, at))
                    container = part
                    parts = iter(part.items() if kind is dict else enumerate(part))
                    break
                if kind is _Extension:
                    container[at] = self._extension(part)
                elif kind is _Mark and (at or not above or type(container) is not list):
                    raise ValueError('the mark of a type is not where it belongs')
            else:
                if not above:
                    return container[0]
                made = self._make(container)
                container, parts, at = above.pop()
                container[at] = made

    def _make(self, container: Any) -> Any:
        """What a container stands for whose parts have been read."""
        kind = type(container)
        if kind is _Pairs:
            keys = container[::2]
            check_hashes(keys)
            return dict(zip(keys, container[1::2], strict=True))
        if kind is list and container and type(container[0]) is _Mark:
            return self._marked(container.pop(0).code, container)
        return container

    def _extension(self, value: '_Extension') -> Any:
        unpack = self.own.get(value.code)
        if unpack is None:
            return msgpack.ExtType(value.code, value.data)
        return unpack(value.data)

    def _marked(self, code: int, fields: list[Any]) -> Any:
        unpack = UNPACK.get(code)
        if unpack is not None:
            return unpack(fields)
        if code == OBJECT:
            return _object(*fields)
        take = TAKE.get(code)
        if take is None:
            return UnknownValue(f'pseud:{code}', fields)
        try:
            return take(fields, self.take)
        except ModuleNotFoundError:
            *fields, data = fields
            return UnknownValue(
                f'pseud:{code}:{NEEDS_NUMPY[code]}', [*fields, bytes(self.take(data))]
            )

    def take(self, data: Any) -> Buffer:
        """The bytes that a field stands for.

        Raises:
            ValueError: none; or they have been taken, so that a few bytes can not make
                many copies.
        """
        if type(data) is bytes:
            return data
        if type(data) is not int or not 0 <= data < len(self.buffers):
            raise ValueError('a buffer that is not there')
        buffer, self.buffers[data] = self.buffers[data], None
        if buffer is None:
            raise ValueError(f'buffer {data} is used twice')
        return buffer


def _object(name: Any, state: Any) -> Any:
    if type(name) is not str or name.startswith('pseud:'):
        raise TypeError('the name of a class is a str, and not of those kept for pseud')
    registered = find_name(name)
    if registered is None:
        return UnknownValue(name, state)
    try:
        return registered.unpack(state)
    except Exception as error:
        raise ValueError(
            f'no {name} can be made of it: {type(error).__name__}: {error}'
        ) from error
