"""What is made of bytes: bytearray, memoryview, ``array.array``, numpy arrays and scalars.

Their bytes travel beside the body of a message, as a frame of their own, from `LARGE` on:
*attach* takes them there, *take* gives them back.  numpy is used when it has been
imported here, or when a value of it arrives.
"""

import array
import importlib
import math
import sys
from collections.abc import Callable
from typing import Any

from .._core.wire import LARGE, Buffer
from .types import mark

__all__ = [
    'ATTACHED',
    'BYTES',
    'NEEDS_NUMPY',
    'TAKE',
    'Attach',
    'Take',
    'pack_numpy',
]

# What stands for bytes among the fields: the bytes, or the number of their frame.
Attach = Callable[[memoryview], bytes | int]
Take = Callable[[Any], Buffer]

BYTES = mark(96)  # a bytes object in a frame of its own
_BYTEARRAY = mark(97)
_ARRAY = mark(98)
_NDARRAY = mark(99)
_SCALAR = mark(100)

# Characters of the name of a numpy type that is not made of others.
MAX_DTYPE = 64
# Of an array; numpy's own limit.
MAX_DIMENSIONS = 64


def _pack_bytearray(value: bytearray, attach: Attach) -> list[Any]:
    return [_BYTEARRAY, attach(memoryview(value))]


def _pack_memoryview(value: memoryview, attach: Attach) -> Any:
    data = attach(value)
    return data if type(data) is bytes else [BYTES, data]


def _pack_array(value: 'array.array[Any]', attach: Attach) -> list[Any]:
    data = attach(memoryview(value))
    return [_ARRAY, value.typecode, value.itemsize, sys.byteorder, data]


def _array(fields: list[Any], take: Take) -> 'array.array[Any]':
    typecode, itemsize, byteorder, data = fields
    if type(typecode) is not str or len(typecode) != 1:
        raise TypeError('the type code of an array is a character')
    found: array.array[Any] = array.array(typecode)
    if found.itemsize != itemsize and typecode in 'lLqQ':
        # long has 4 bytes on some machines and 8 on others
        codes = 'ilq' if typecode.islower() else 'ILQ'
        for found in (array.array(code) for code in codes):
            if found.itemsize == itemsize:
                break
    if found.itemsize != itemsize:
        raise ValueError(f'no array of type {typecode!r} has items of that size here')
    found.frombytes(take(data))
    if byteorder != sys.byteorder:
        found.byteswap()
    return found


# type: to a mark and fields, or to bytes
ATTACHED: dict[type, Callable[[Any, Attach], Any]] = {
    bytearray: _pack_bytearray,
    memoryview: _pack_memoryview,
    array.array: _pack_array,
}


# ---------------------------------------------------------------- numpy


def pack_numpy(value: Any, attach: Attach) -> list[Any] | None:
    """The mark and fields of a numpy array or scalar; None for everything else.

    Raises:
        TypeError: an array of this kind can not travel.
    """
    numpy: Any = sys.modules.get('numpy')
    if numpy is None:
        return None
    if isinstance(value, numpy.ndarray):
        return _pack_ndarray(numpy, value, attach)
    if isinstance(value, numpy.generic):
        if not value.dtype.itemsize:  # an empty str_ or bytes_
            value = numpy.array(value)
        return [_SCALAR, _describe(numpy, value.dtype), value.tobytes()]
    return None


def _pack_ndarray(numpy: Any, value: Any, attach: Attach) -> list[Any]:
    if hasattr(value, 'mask'):
        raise TypeError('send its data and its mask as two arrays')
    value = numpy.asarray(value)
    if not value.dtype.itemsize:  # empty strings: numpy makes no others of that type
        value = numpy.array(value.tolist(), value.dtype).reshape(value.shape)
    description = _describe(numpy, value.dtype)
    order = 'C'
    flat = value
    if not value.flags.c_contiguous:
        if value.flags.f_contiguous:
            order, flat = 'F', value.T
        else:
            flat = value.copy('C')
    if value.nbytes < LARGE:
        data: bytes | int = flat.tobytes()
    else:
        # as plain bytes: the buffer protocol knows nothing of datetime64
        data = attach(memoryview(flat.reshape(-1).view('u1')))
    return [_NDARRAY, description, value.shape, order, data]


def _describe(numpy: Any, dtype: Any) -> Any:
    form = numpy.lib.format
    if not dtype.hasobject and dtype.itemsize:
        description = form.dtype_to_descr(dtype)
        if form.descr_to_dtype(description) == dtype:
            return description
    hint = 'give it a dtype of numbers or of text, or send tolist()'
    raise TypeError(f'its dtype {dtype!s:.80} can not travel: {hint}')


def _dtype(numpy: Any, description: Any) -> Any:
    if type(description) is str and len(description) > MAX_DTYPE:
        raise ValueError('the name of a dtype is too long')
    dtype = numpy.lib.format.descr_to_dtype(description)
    if dtype.hasobject or not dtype.itemsize:
        raise ValueError(f'no dtype that travels: {dtype!s:.80}')
    return dtype


def _ndarray(fields: list[Any], take: Take) -> Any:
    description, shape, order, data = fields
    numpy = importlib.import_module('numpy')
    dtype = _dtype(numpy, description)
    if type(shape) is not tuple or len(shape) > MAX_DIMENSIONS:
        raise TypeError('the shape of an array is a tuple of lengths')
    for length in shape:
        if type(length) is not int or not 0 <= length < 1 << 63:
            raise TypeError('a length of an array is an int of 0 or more')
    buffer = take(data)
    if math.prod(shape) * dtype.itemsize != len(buffer):
        raise ValueError(f'{len(buffer)} bytes are no array {shape} of {dtype!s:.80}')
    if not buffer:
        return numpy.zeros(shape, dtype, order)
    # a copy: its owner may write to it, and the frame goes
    made = numpy.ndarray(shape, dtype, buffer, order=order).copy('K')
    _check_text(numpy, made)
    return made


def _scalar(fields: list[Any], take: Take) -> Any:
    description, data = fields
    numpy = importlib.import_module('numpy')
    dtype = _dtype(numpy, description)
    buffer = take(data)
    if dtype.itemsize != len(buffer):
        raise ValueError(f'{len(buffer)} bytes are no {dtype!s:.80}')
    made = numpy.ndarray((), dtype, bytes(buffer)).copy()
    _check_text(numpy, made)
    return made[()]


def _check_text(numpy: Any, made: Any) -> None:
    """See that text is text: numpy looks when it is read, and then it is too late."""
    for name in made.dtype.names or ():
        _check_text(numpy, made[name])
    if made.dtype.kind == 'U':
        order = made.dtype.byteorder
        points = numpy.ascontiguousarray(made).view(f'{order}u4')
        if points.max(initial=0) > sys.maxunicode:
            raise ValueError('text with what is no character')


# code: from fields
TAKE: dict[int, Callable[[list[Any], Take], Any]] = {
    96: lambda fields, take: bytes(take(*fields)),
    97: lambda fields, take: bytearray(take(*fields)),
    98: _array,
    99: _ndarray,
    100: _scalar,
}

# code: what a value of it is called where numpy is missing
NEEDS_NUMPY = {99: 'numpy.ndarray', 100: 'numpy.generic'}
