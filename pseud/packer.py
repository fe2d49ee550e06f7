"""Bodies: the arguments and results of calls to bytes and back.

msgpack does what it can by itself.  What it lacks, travels with *marks* (see `_values`):
only values that have some are looked at again after unpacking.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgpack

from ._core.wire import Buffer
from ._values import reader
from ._values.unpackable import unpackable
from ._values.writer import KEPT, LIFT, SCALARS, SEARCH, Writer, holds_bytes, look
from .errors import SerializationError

__all__ = ['PackerV2', 'TranslationTable', 'unreadable']

# {code: (class, pack to bytes, unpack from bytes)}
TranslationTable = Mapping[int, tuple[type, Callable[..., bytes], Callable[..., Any]]]

_SEQUENCES = (list, tuple)


class PackerV2:
    """Packs and unpacks for peers that speak protocol v2.

    Args:
        translation_table: the user's own types.

    Not for use by several threads at once.
    """

    writer: type[Writer] = Writer

    def __init__(self, translation_table: TranslationTable | None = None) -> None:
        self._own: dict[type, tuple[int, Callable[..., bytes]]] = {}
        self._own_by_code: dict[int, Callable[..., Any]] = {}
        for code, (cls, pack, unpack) in (translation_table or {}).items():
            if code not in reader.USER_CODES:
                raise ValueError(f'translation_table code {code!r} is not in 0..63')
            self._own[cls] = (code, pack)
            self._own_by_code[code] = unpack
        self._begin_anew()
        # One is enough, unless packing a user's value packs another or lets others run.
        self._writers: list[tuple[Writer, Callable[[Any], bytes]]] = []
        self._extensions = 0

    # -------------------------------------------------------------- to bytes

    def _begin_anew(self) -> None:
        """Pack scalars into a small buffer again: that of a Packer never shrinks."""
        self._pack_scalars = self.writer(self._own).packer()

    def pack_call(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[bytes, Sequence[Buffer]]:
        """The body of a call, and the buffers that travel beside it.

        The buffers are not copied: they show what is done to them until they are sent.

        Raises:
            SerializationError: names the argument that can not travel.
        """
        args = [*args]
        try:
            if not kwargs:
                for value in args:
                    if type(value) not in SCALARS:
                        break
                else:
                    body = self._pack_scalars([args, kwargs])
                    if len(body) > KEPT:
                        self._begin_anew()
                    return body, ()
            seen = look(args)
            if kwargs and seen != LIFT:
                seen = max(seen, look(kwargs.values()))
            return self._write([args, kwargs], seen)
        except Exception as error:  # msgpack's, and those of the user's own types
            self._begin_anew()
            parts = {'args': args, 'kwargs': kwargs}
            raise unpackable(parts, error, self._inline) from error

    def pack(self, value: Any) -> tuple[bytes, Sequence[Buffer]]:
        """The body of a result, and the buffers that travel beside it.

        Raises:
            SerializationError: names the part that can not travel.
        """
        try:
            if type(value) in SCALARS:
                body = self._pack_scalars(value)
                if len(body) > KEPT:
                    self._begin_anew()
                return body, ()
            return self._write(value, look((value,)))
        except Exception as error:
            self._begin_anew()
            raise unpackable({'result': value}, error, self._inline) from error

    def pack_inline(self, value: Any) -> bytes:
        """A value without buffers, however large.

        Raises:
            SerializationError: names the part that can not travel.
        """
        try:
            return self._inline(value)
        except Exception as error:
            raise unpackable({'value': value}, error, self._inline) from error

    def _write(self, value: Any, seen: int) -> tuple[bytes, Sequence[Buffer]]:
        try:
            writer, pack = self._writers.pop()
        except IndexError:
            writer = self.writer(self._own)
            pack = writer.packer()
        if seen == LIFT:
            value = writer.lift(value)
        body = pack(value)
        size = len(body)
        if seen == SEARCH and holds_bytes([value], body):
            writer.buffers = []
            body = pack(writer.lift(value))
        buffers = writer.buffers
        if size <= KEPT:  # its buffer never shrinks
            if buffers:
                writer.buffers = []
            self._writers.append((writer, pack))
        return body, buffers or ()

    def _inline(self, value: Any) -> bytes:
        writer = self.writer(self._own, inline=True)
        pack = writer.packer()
        body = pack(value)
        if holds_bytes([value], body):
            body = pack(writer.lift(value))
        return body

    # -------------------------------------------------------------- from bytes

    def unpack_call(
        self, body: Buffer, buffers: Sequence[Buffer] = ()
    ) -> tuple[Sequence[Any], dict[str, Any]]:
        """The arguments of a call: (args, kwargs).

        Raises:
            SerializationError: it is not the body of a call.
        """
        value = self.unpack(body, buffers)
        args: Any = None
        kwargs: Any = None
        if type(value) in _SEQUENCES and len(value) == 2:
            args, kwargs = value
        if (
            type(args) not in _SEQUENCES
            or type(kwargs) is not dict
            or (kwargs and not all(type(key) is str for key in kwargs))
        ):
            raise SerializationError('the arguments are not a list and a map of names')
        return args, kwargs

    def unpack(self, body: Buffer, buffers: Sequence[Buffer] = ()) -> Any:
        """The value in a body.

        Args:
            body: as `pack` made it.
            buffers: what travelled beside it; each is used once.

        Raises:
            SerializationError: it holds none.
        """
        try:
            before = self._extensions
            try:
                value = msgpack.unpackb(
                    body,
                    ext_hook=self._on_extension,
                    unicode_errors='surrogatepass',
                    timestamp=3,
                )
            except (TypeError, ValueError):
                # a key that is neither str nor bytes: not to be hashed without a look
                value = msgpack.unpackb(
                    body,
                    ext_hook=self._on_extension,
                    object_pairs_hook=reader.pairs,
                    strict_map_key=False,
                    unicode_errors='surrogatepass',
                    timestamp=3,
                )
            else:
                if self._extensions == before:
                    return value
            return reader.Reader(self._own_by_code, buffers).read(value)
        except Exception as error:  # msgpack's, and those of the user's own types
            raise SerializationError(
                f'what arrived can not be unpacked: {type(error).__name__}: {error}'
            ) from error

    def _on_extension(self, code: int, data: bytes) -> Any:
        self._extensions += 1
        return reader.extension(code, data)


def unreadable(error: SerializationError) -> SerializationError:
    """What a call fails with whose result can not be unpacked: it says that it ran."""
    why = SerializationError(f'the function ran, but {error}')
    why.__cause__ = error.__cause__
    return why
