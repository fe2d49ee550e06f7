"""Values to bytes and back: msgpack, with extensions for what msgpack lacks.

Extension codes 0-63 are the user's (``translation_table``); 64-127 are pseud's.  Lists and
dicts are msgpack's own; everything else that Python keeps apart has a code, so that a
tuple arrives as a tuple.  Subclasses of the native types arrive as the native type.
"""

import datetime
import zoneinfo
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgpack

from ._core.wire import Buffer
from .errors import SerializationError

__all__ = ['PackerV1', 'PackerV2', 'TranslationTable']

# {code: (class, pack to bytes, unpack from bytes)}
TranslationTable = Mapping[int, tuple[type, Callable[..., bytes], Callable[..., Any]]]

USER_CODES = range(64)
# Containers inside containers; each level of ours costs a copy on unpacking.
MAX_NESTING = 64


def _pack_datetime(value: datetime.datetime) -> list[Any]:
    zone: Any = value.tzinfo
    if zone is not None:
        key = (
            getattr(zone, 'key', None) if isinstance(zone, zoneinfo.ZoneInfo) else None
        )
        offset = value.utcoffset()
        if key is None and offset is None:
            raise TypeError(f'tzinfo {zone!r} has no offset')
        zone = key or (offset.total_seconds() if offset is not None else 0)
    return [
        *value.timetuple()[:6],
        value.microsecond,
        value.fold,
        zone,
    ]


def _unpack_datetime(fields: Sequence[Any]) -> datetime.datetime:
    *naive, fold, zone = fields
    tzinfo: datetime.tzinfo | None = None
    if isinstance(zone, str):
        tzinfo = zoneinfo.ZoneInfo(zone)
    elif zone is not None:
        offset = datetime.timedelta(seconds=zone)
        tzinfo = datetime.timezone(offset) if offset else datetime.UTC
    year, month, day, hour, minute, second, microsecond = naive
    return datetime.datetime(
        year, month, day, hour, minute, second, microsecond, tzinfo, fold=fold
    )


def _pack_delta(value: datetime.timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


# class -> (code, to something packable, from it)
_NATIVE: dict[type, tuple[int, Callable[[Any], Any], Callable[[Any], Any]]] = {
    tuple: (64, list, tuple),
    set: (65, list, set),
    frozenset: (66, list, frozenset),
    datetime.datetime: (67, _pack_datetime, _unpack_datetime),
    datetime.date: (
        68,
        lambda value: [value.year, value.month, value.day],
        lambda fields: datetime.date(*fields),
    ),
    datetime.timedelta: (
        69,
        _pack_delta,
        lambda fields: datetime.timedelta(*fields),
    ),
}
_NATIVE_BY_CODE = {code: unpack for code, _, unpack in _NATIVE.values()}

# Subclasses of these travel as them; the order matters: bool is not subclassable.
_BASES: tuple[Any, ...] = (str, int, float, dict, list, bytes, tuple, set, frozenset)


_SEQUENCES = (list, tuple)


class PackerV2:
    """Packs and unpacks for peers that speak protocol v2.

    Args:
        translation_table: the user's own types.

    Not for use by several threads at once.
    """

    use_list = True

    def __init__(self, translation_table: TranslationTable | None = None) -> None:
        self._own: dict[type, tuple[int, Callable[..., bytes]]] = {}
        self._own_by_code: dict[int, Callable[..., Any]] = {}
        for code, (cls, pack, unpack) in (translation_table or {}).items():
            if code not in USER_CODES:
                raise ValueError(f'translation_table code {code!r} is not in 0..63')
            self._own[cls] = (code, pack)
            self._own_by_code[code] = unpack
        self._pack: Callable[[Any], bytes] = self._make().pack
        self._nesting = 0

    def _make(self) -> msgpack.Packer:
        return msgpack.Packer(
            default=self._default,
            strict_types=True,
            autoreset=True,
            unicode_errors='surrogatepass',
        )

    # -------------------------------------------------------------- to bytes

    def pack_call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        """The body of a call.

        Raises:
            SerializationError: names the argument that can not travel.
        """
        try:
            return self._pack([list(args), kwargs])
        except Exception as error:  # msgpack's, and those of the user's own types
            where = self._find(list(args), 'args') or self._find(kwargs, 'kwargs')
            raise _unpackable(where, error) from error

    def pack(self, value: Any) -> bytes:
        """The body of a result.

        Raises:
            SerializationError: names the part that can not travel.
        """
        try:
            return self._pack(value)
        except Exception as error:
            raise _unpackable(self._find(value, 'result'), error) from error

    def pack_inline(self, value: Any) -> bytes:
        """A value all in one piece, to be part of another body.

        Raises:
            SerializationError: names the part that can not travel.
        """
        return self.pack(value)

    def _default(self, value: Any) -> Any:
        cls = type(value)
        own = self._own.get(cls)
        if own is not None:
            return msgpack.ExtType(own[0], own[1](value))
        native = self._native(value)
        if native is not None:
            return native
        if cls in (bytearray, memoryview):
            return bytes(value)
        for base in _BASES:
            if isinstance(value, base):
                return base(value)
        raise TypeError(
            'none of the types that travel (translation_table= adds to them)'
        )

    def _native(self, value: Any) -> Any:
        native = _NATIVE.get(type(value))
        if native is None:
            return None
        code, unfold, _ = native
        self._nesting += 1
        try:
            if self._nesting > MAX_NESTING:
                raise ValueError(f'nested more than {MAX_NESTING} deep')
            # a Packer can not be used inside its own `default`
            return msgpack.ExtType(code, self._make().pack(unfold(value)))
        finally:
            self._nesting -= 1

    def _find(self, value: Any, path: str) -> tuple[str, Any] | None:
        """The innermost part that can not be packed, and its path; None if all can."""
        try:
            self._pack(value)
            return None
        except Exception:
            pass
        if len(path) < 1000:
            if isinstance(value, dict):
                parts = [(f'{path}[{key!r:.40}]', part) for key, part in value.items()]
                parts += [(f'{path} key {key!r:.40}', key) for key in value]
            elif isinstance(value, list | tuple):
                parts = [(f'{path}[{i}]', part) for i, part in enumerate(value)]
            else:
                parts = []
            for at, part in parts:
                if part is not value and (found := self._find(part, at)):
                    return found
        return path, value

    # -------------------------------------------------------------- from bytes

    def unpack_call(
        self, body: Buffer, buffers: Sequence[Buffer] = ()
    ) -> tuple[Sequence[Any], dict[str, Any]]:
        """The arguments of a call: (args, kwargs).

        Raises:
            SerializationError: it is not the body of a call.
        """
        try:
            args, kwargs = self.unpack(body, buffers)
        except (TypeError, ValueError):
            args = kwargs = None
        if (
            type(args) not in _SEQUENCES
            or type(kwargs) is not dict
            or (kwargs and not all(type(key) is str for key in kwargs))
        ):
            raise SerializationError('the arguments are not a list and a map of names')
        return args, kwargs

    def unpack(self, body: Buffer, buffers: Sequence[Buffer] = ()) -> Any:
        """The value in a body.

        Raises:
            SerializationError: it holds none.
        """
        try:
            return msgpack.unpackb(
                body,
                ext_hook=self._ext_hook,
                use_list=self.use_list,
                strict_map_key=False,
                unicode_errors='surrogatepass',
            )
        except Exception as error:  # msgpack's, and those of the user's own types
            raise SerializationError(
                f'what arrived can not be unpacked: {type(error).__name__}: {error}'
            ) from error

    def _ext_hook(self, code: int, data: bytes) -> Any:
        own = self._own_by_code.get(code)
        if own is not None:
            return own(data)
        fold = _NATIVE_BY_CODE.get(code)
        if fold is None:
            return msgpack.ExtType(code, data)
        self._nesting += 1
        try:
            if self._nesting > MAX_NESTING:
                raise ValueError(f'nested more than {MAX_NESTING} deep')
            return fold(self.unpack(data))
        finally:
            self._nesting -= 1


class PackerV1(PackerV2):
    """Packs and unpacks for peers that speak protocol v1.

    Tuples travel as arrays and arrays arrive as tuples.  What v1 sends as a pickle
    (dates and times) is refused both ways.
    """

    use_list = False
    _PICKLES = range(123, 127)

    def _native(self, value: Any) -> Any:
        if type(value) is tuple:
            return list(value)
        if type(value) in _NATIVE:
            raise TypeError(f'a {type(value).__name__} can not travel by protocol v1')
        return None

    def _ext_hook(self, code: int, data: bytes) -> Any:
        own = self._own_by_code.get(code)
        if own is not None:
            return own(data)
        if code in self._PICKLES:
            raise ValueError(f'extension {code} of protocol v1 holds a pickle: refused')
        return msgpack.ExtType(code, data)


def _unpackable(found: tuple[str, Any] | None, error: Exception) -> SerializationError:
    if found is None:
        return SerializationError(f'can not be packed: {error}')
    path, value = found
    kind = f'{type(value).__module__}.{type(value).__qualname__}'
    kind = kind.removeprefix('builtins.')
    return SerializationError(f'{path} can not be packed: it is a {kind}, {error}')
