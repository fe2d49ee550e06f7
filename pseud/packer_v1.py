"""Values as peers that speak protocol v1 pack them."""

from collections.abc import Sequence
from typing import Any

import msgpack

from ._core.wire import Buffer
from ._values.arrays import ATTACHED
from ._values.hashes import check_hashes
from ._values.types import BASES
from ._values.v1_dates import CODES, pack_date, read_date
from ._values.writer import Writer
from .errors import SerializationError
from .packer import PackerV2

__all__ = ['PackerV1']

_DATES = frozenset(CODES.values())


class WriterV1(Writer):
    """Knows no marks."""

    def lift(self, value: Any) -> Any:
        return value

    def extension(self, value: Any) -> Any:
        cls = type(value)
        own = self.own.get(cls)
        if own is not None:
            return msgpack.ExtType(own[0], own[1](value))
        code = CODES.get(cls)
        if code is not None:
            return msgpack.ExtType(code, pack_date(value))
        if cls in ATTACHED:
            return bytes(value)
        for base, simplify in BASES.items():
            if isinstance(value, base) and base not in (set, frozenset):
                simple = simplify(value)
                return list(simple) if base is tuple else simple
        raise TypeError('which can not travel by protocol v1')


class PackerV1(PackerV2):
    """Packs and unpacks for peers that speak protocol v1.

    Tuples travel as arrays and arrays arrive as tuples.  There are no marks: besides what
    msgpack has, only dates and times, and the user's own types travel.
    """

    writer = WriterV1

    def _write(self, value: Any, seen: int) -> tuple[bytes, Sequence[Buffer]]:
        return self._inline(value), ()

    def unpack(self, body: Buffer, buffers: Sequence[Buffer] = ()) -> Any:
        try:
            return msgpack.unpackb(
                body,
                ext_hook=self._on_extension,
                object_pairs_hook=_dict,
                use_list=False,
                strict_map_key=False,
                unicode_errors='surrogatepass',
            )
        except Exception as error:  # msgpack's, and those of the user's own types
            raise SerializationError(
                f'what arrived can not be unpacked: {type(error).__name__}: {error}'
            ) from error

    def _on_extension(self, code: int, data: bytes) -> Any:
        own = self._own_by_code.get(code)
        if own is not None:
            return own(data)
        if code in _DATES:
            return read_date(code, data)
        return msgpack.ExtType(code, data)


def _dict(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    check_hashes([key for key, _ in pairs])
    return dict(pairs)
