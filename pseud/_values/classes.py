"""Classes of the user that travel: registered once, on both sides, under one name."""

import collections
import dataclasses
import enum
from collections.abc import Callable
from typing import Any, TypeVar, overload

from .types import BASES, NATIVE, exactly

__all__ = [
    'OBJECT',
    'RegisteredType',
    'UnknownValue',
    'find_class',
    'find_name',
    'register_type',
]

C = TypeVar('C', bound=type)

# Made by a class statement, or nearly so (Py_TPFLAGS_HEAPTYPE).
_HEAP_TYPE = 1 << 9
# Py_TPFLAGS_DISALLOW_INSTANTIATION
_NOT_BY_CALL = 1 << 7

# Of the flags of one class: it keeps all that it ever made.
MAX_COMBINATIONS = 1 << 16

# Code of the mark of their instances.
OBJECT = 127


@dataclasses.dataclass(frozen=True, slots=True)
class UnknownValue:
    """What arrives in place of a value whose class is not registered here.

    It can be sent on: it arrives as what it was where the class is known.

    Attributes:
        name: under which the class is registered where the value came from; for a type
            that a later pseud has and this one has not, ``pseud:`` and its code.
        state: what the class's ``pack`` made of the value.
    """

    name: str
    state: Any


class RegisteredType:
    """A class with its name on the wire, and how instances become states and back."""

    __slots__ = ('cls', 'name', 'pack', 'unpack')

    def __init__(
        self,
        cls: type,
        name: str,
        pack: Callable[[Any], Any],
        unpack: Callable[[Any], Any],
    ) -> None:
        self.cls = cls
        self.name = name
        self.pack = pack
        self.unpack = unpack


_by_class: dict[type, RegisteredType] = {}
_by_name: dict[str, RegisteredType] = {}

find_class = _by_class.get
find_name = _by_name.get


@overload
def register_type(
    cls: C,
    *,
    name: str | None = None,
    pack: Callable[[Any], Any] | None = None,
    unpack: Callable[[Any], Any] | None = None,
) -> C: ...


@overload
def register_type(
    cls: None = None,
    *,
    name: str | None = None,
    pack: Callable[[Any], Any] | None = None,
    unpack: Callable[[Any], Any] | None = None,
) -> Callable[[C], C]: ...


def register_type(
    cls: type | None = None,
    *,
    name: str | None = None,
    pack: Callable[[Any], Any] | None = None,
    unpack: Callable[[Any], Any] | None = None,
) -> Any:
    """Let instances of a class travel; a decorator, with or without arguments.

    Both sides register the class, under the same name.  Dataclasses, attrs classes,
    enums, named tuples, subclasses of the builtin types and classes whose instances have
    nothing but attributes need no more than that:

    =====================  ===========================  ==================================
    kind                   what travels                 made by
    =====================  ===========================  ==================================
    dataclass, attrs       fields by name               ``cls(...)``, so ``__init__`` and
                                                        ``__post_init__`` check them;
                                                        fields without init are set
    enum; flag             name; value                  ``cls[name]``; ``cls(value)``
    named tuple            fields                       ``cls(*fields)``
    subclass of a builtin  the builtin value            ``cls(value)``
    other                  ``__getstate__()``:          ``cls.__new__(cls)``, then
                           attributes, slots            ``__setstate__`` or attributes;
                                                        ``__init__`` does not run; not for
                                                        subclasses of types made in C
    =====================  ===========================  ==================================

    Args:
        cls: the class.  Its subclasses are classes of their own.
        name: on the wire; the module's and the class's by default, so a class of a
            program's main module may need one.
        pack: makes of an instance something that travels.
        unpack: makes an instance of that; must check it, it may come from anyone.

    Returns:
        ``cls``, or the decorator when it was left out.

    Raises:
        TypeError: it is no class that this is for.
        ValueError: the name is taken.
    """

    def register(cls: C) -> C:
        entry = RegisteredType(cls, *_checked(cls, name, pack, unpack))
        before = _by_name.get(entry.name)
        if before is not None and not _same(before.cls, cls):
            raise ValueError(
                f'the name {entry.name!r} is taken by {before.cls!r}: '
                "choose another, register_type(name='...')"
            )
        _by_name[entry.name] = _by_class[cls] = entry
        return cls

    return register if cls is None else register(cls)


def _same(one: type, other: type) -> bool:
    """Whether these are one class, perhaps of a module that was loaded again."""
    return one is other or (
        (one.__module__, one.__qualname__) == (other.__module__, other.__qualname__)
    )


def _checked(cls: Any, name: Any, pack: Any, unpack: Any) -> tuple[str, Any, Any]:
    if not isinstance(cls, type):
        raise TypeError(f'register_type takes a class, not {cls!r:.80}')
    if issubclass(cls, BaseException):
        raise TypeError(f'{cls!r} is an exception: use register_exception')
    if cls in NATIVE or cls in BASES or cls in (object, type, bool, memoryview):
        raise TypeError(f'{cls!r} is not to be registered: it is one of Python')
    if name is None:
        name = f'{cls.__module__}.{cls.__qualname__}'
    if not isinstance(name, str) or not name or name.startswith('pseud:'):
        raise TypeError(f'name must be a str that is not empty, not {name!r:.80}')
    if (pack is None) != (unpack is None):
        raise TypeError(f'{cls!r}: give both pack and unpack, or neither')
    if pack is None:
        pack, unpack = _codec(cls)
    return name, pack, unpack


def _codec(cls: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """How instances of a class travel that says nothing itself."""
    if issubclass(cls, enum.Flag):
        return (lambda value: value.value), lambda state: _flag(cls, state)
    if issubclass(cls, enum.Enum):
        return (lambda value: value.name), lambda state: cls[exactly(state, str)]
    if dataclasses.is_dataclass(cls):
        return _dataclass(cls)
    if hasattr(cls, '__attrs_attrs__'):
        return _attrs(cls)
    if issubclass(cls, tuple) and hasattr(cls, '_fields'):
        return list, lambda state: cls(*exactly(state, list))
    for base, pack in BASES.items():
        if issubclass(cls, base) and not issubclass(cls, collections.defaultdict):
            return pack, _of_base(cls, base)
    _check_plain(cls)
    return _plain(cls)


def _of_base(cls: Any, base: type) -> Callable[[Any], Any]:
    """Makes an instance of a builtin value of that very type.

    Of another, ``list(range(...))`` or ``bytearray(1 << 40)``, it might be huge.
    """
    return lambda state: cls(exactly(state, base))


def _check_plain(cls: type) -> None:
    """Refuse a class whose instances have more to them than Python attributes."""
    for base in cls.__mro__[:-1]:
        new = vars(base).get('__new__')
        made_in_c = not base.__flags__ & _HEAP_TYPE or base.__flags__ & _NOT_BY_CALL
        if made_in_c or type(new) is type(object.__new__):
            raise TypeError(
                f'{cls!r} is built on {base!r}, which keeps its values where nothing but '
                'its own functions reach them: give register_type pack and unpack'
            )


def _dataclass(cls: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    fields = dataclasses.fields(cls)
    for pseudo in vars(cls).get('__dataclass_fields__', {}).values():
        if pseudo not in fields and 'InitVar' in str(pseudo.type):
            raise TypeError(
                f'{cls!r} has the InitVar {pseudo.name!r}, which instances do not keep: '
                'give register_type pack and unpack'
            )
    init = {field.name: field.name for field in fields if field.init}
    rest = {field.name for field in fields if not field.init}
    return _by_fields(cls, init, rest)


def _attrs(cls: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    fields = cls.__attrs_attrs__
    init = {field.name: field.alias for field in fields if field.init}
    rest = {field.name for field in fields if not field.init}
    return _by_fields(cls, init, rest)


def _by_fields(
    cls: Any, init: dict[str, str], rest: set[str]
) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Of a class whose ``__init__`` takes its fields.

    Args:
        init: field to argument.
        rest: the fields that it does not take.
    """
    names = [*init, *rest]

    def pack(value: Any) -> dict[str, Any]:
        return {name: getattr(value, name) for name in names}

    def unpack(state: Any) -> Any:
        given = dict(exactly(state, dict))
        others = {name: given.pop(name) for name in rest if name in given}
        for name in given:
            if name not in init:
                raise ValueError(f'it has no field {name!r:.80} here')
        value = cls(**{init[name]: part for name, part in given.items()})
        for name, part in others.items():
            object.__setattr__(value, name, part)  # it may be frozen
        return value

    return pack, unpack


def _plain(cls: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Of a class whose instances are their attributes, as `copy` sees them."""
    set_state = getattr(cls, '__setstate__', None)

    def pack(value: Any) -> Any:
        return value.__getstate__()

    def unpack(state: Any) -> Any:
        value = cls.__new__(cls)
        if set_state is not None:
            set_state(value, state)
            return value
        attributes, slots = state if type(state) is tuple else (state, None)
        if attributes:
            value.__dict__.update(_named(attributes))
        for name, part in _named(slots or {}).items():
            object.__setattr__(value, name, part)
        return value

    return pack, unpack


def _named(attributes: Any) -> dict[str, Any]:
    for name in exactly(attributes, dict):
        if type(name) is not str or name[:2] == '__':
            raise TypeError('attributes are a dict by name')
    named: dict[str, Any] = attributes
    return named


def _flag(cls: Any, state: Any) -> Any:
    """A combination of flags that have names: the class keeps each that was asked for."""
    known = 0
    for member in cls.__members__.values():
        known |= member.value
    if exactly(state, int) & ~known:
        raise ValueError(f'it has no flags {state:#x}')
    kept = cls._value2member_map_
    if state not in kept and len(kept) > MAX_COMBINATIONS:
        raise ValueError('one more combination of flags than can be kept')
    return cls(state)
