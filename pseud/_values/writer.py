"""A value to bytes: msgpack does what it can, marks and buffers are added here."""

from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any

import msgpack

from .._core.wire import LARGE, Buffer
from .arrays import ATTACHED, BYTES, pack_numpy
from .classes import OBJECT, UnknownValue, find_class
from .types import BASES, NATIVE, mark

__all__ = ['KEPT', 'LIFT', 'SCALARS', 'SEARCH', 'Writer', 'holds_bytes', 'look']

_OBJECT = mark(OBJECT)

# Frames beside one body; what follows is packed with the rest.
MAX_BUFFERS = 1024
# Bytes that a Packer has room for at first, and those of a body after which it is let go.
BUFFER = 1 << 14
KEPT = 1 << 17
# Parts of a container that `look` looks at.
FEW = 16

NOTHING, SEARCH, LIFT = range(3)
SCALARS = frozenset((str, int, float, bool, type(None)))
_BYTES = frozenset((bytes, bytearray, memoryview))
_LIFTED = _BYTES | {list, dict}

# What msgpack packs by itself.
_PLAIN = (str, bytes, float, list, dict)
_MIN, _MAX = -(1 << 63), (1 << 64) - 1

Own = Mapping[type, tuple[int, Callable[..., bytes]]]


def look(values: Iterable[Any]) -> int:
    """What is to be done about these, which are about to be packed.

    Returns:
        NOTHING; LIFT: there are bytes to take out, as far as a look shows; SEARCH: there
        are containers that may hold such bytes.
    """
    found = NOTHING
    for value in values:
        kind = type(value)
        if kind in SCALARS:
            continue
        if kind in _BYTES:
            if kind is not bytes or len(value) >= LARGE:
                return LIFT
        elif kind is list or kind is dict:
            found = SEARCH
            if len(value) <= FEW:
                for part in value if kind is list else value.values():
                    kind = type(part)
                    if kind in _BYTES and (kind is not bytes or len(part) >= LARGE):
                        return LIFT
    return found


def holds_bytes(parts: list[Any], body: bytes) -> bool:
    """Whether there are bytes to take out, in lists and dicts at any depth.

    Args:
        parts: where to look.
        body: what they were packed to.  What can not be packed may contain itself, and
            this would never end.
    """
    # the codes of msgpack's bin 8, 16 and 32: without them there are no bytes
    if b'\xc4' not in body and b'\xc5' not in body and b'\xc6' not in body:
        return False
    while True:
        kinds = set(map(type, parts))
        if bytearray in kinds or memoryview in kinds:
            return True
        if bytes in kinds and any(
            type(part) is bytes and len(part) >= LARGE for part in parts
        ):
            return True
        if list not in kinds and dict not in kinds:
            return False
        containers: list[Any] = [
            part.values() if type(part) is dict else part
            for part in parts
            if type(part) is dict or type(part) is list
        ]
        parts = list(chain.from_iterable(containers))


class Writer:
    """What a msgpack Packer does not know by itself, and the buffers of what it packs.

    Args:
        own: {class: (code, pack)} of the translation table.
        inline: everything goes into the body.

    Attributes:
        buffers: what travels beside the body.
    """

    __slots__ = ('buffers', 'inline', 'own')

    def __init__(self, own: Own, *, inline: bool = False) -> None:
        self.own = own
        self.inline = inline
        self.buffers: list[Buffer] = []

    def packer(self) -> Callable[[Any], bytes]:
        """What makes bodies of values.

        Its room grows with them and never shrinks: so nothing here refers to it, and it
        goes when whoever asked for it lets it go.
        """
        pack: Callable[[Any], bytes] = msgpack.Packer(
            default=self._default,
            strict_types=True,
            autoreset=True,
            unicode_errors='surrogatepass',
            buf_size=BUFFER,
        ).pack
        return pack

    def _default(self, value: Any) -> Any:
        found = self.extension(value)
        return self.lift(found) if type(found) is list or type(found) is dict else found

    def extension(self, value: Any) -> Any:
        """What stands for a value that msgpack does not know."""
        cls = type(value)
        own = self.own.get(cls)
        if own is not None:
            return msgpack.ExtType(own[0], own[1](value))
        native = NATIVE.get(cls)
        if native is not None:
            return [native[0], *native[1](value)]
        registered = find_class(cls)
        if registered is not None:
            return [_OBJECT, registered.name, registered.pack(value)]
        if cls in ATTACHED:
            return ATTACHED[cls](value, self.attach)
        if cls is UnknownValue:
            return _known_elsewhere(value)
        packed = pack_numpy(value, self.attach)
        if packed is not None:
            return packed
        for base, simplify in BASES.items():
            if isinstance(value, base):
                simple = simplify(value)
                if base in _PLAIN or (base is int and _MIN <= simple <= _MAX):
                    return simple
                return self.extension(simple)
        raise TypeError(
            'none of the types that travel; pseud.register_type makes it one of them'
        )

    def attach(self, view: memoryview) -> bytes | int:
        """Let bytes travel in a frame of their own, if they are many.

        Returns:
            The number of the frame, or the bytes.
        """
        buffers = self.buffers
        if (
            self.inline
            or view.nbytes < LARGE
            or len(buffers) >= MAX_BUFFERS
            or not view.c_contiguous
        ):
            return bytes(view)
        buffers.append(view.cast('B'))
        return len(buffers) - 1

    def lift(self, value: Any) -> Any:
        """The value without the bytes that msgpack would take for its own, or copy.

        Bytearrays and memoryviews get marks, and large bytes frames of their own, in
        lists and dicts at any depth; the others come here by themselves.
        """
        kind = type(value)
        if kind is bytes:
            if len(value) < LARGE or self.inline or len(self.buffers) >= MAX_BUFFERS:
                return value
            self.buffers.append(value)
            return [BYTES, len(self.buffers) - 1]
        if kind in ATTACHED:
            return ATTACHED[kind](value, self.attach)
        if kind is not list and kind is not dict:
            return value
        changed = {}
        for at, part in enumerate(value) if kind is list else value.items():
            if type(part) in _LIFTED:
                lifted = self.lift(part)
                if lifted is not part:
                    changed[at] = lifted
        if not changed:
            return value
        if kind is dict:
            return {**value, **changed}
        return [changed.get(at, part) for at, part in enumerate(value)]


def _known_elsewhere(value: UnknownValue) -> Any:
    if value.name.startswith('pseud:'):
        return [mark(int(value.name.split(':')[1])), *value.state]
    return [_OBJECT, value.name, value.state]
