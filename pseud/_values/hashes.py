"""Whether keys that others chose can be put into a dict or set without harm.

The hashes of numbers and of what is made of them are no secret: who wants to can choose
thousands of keys that are all looked for in the same places.  (Those of str and bytes are
a secret of the process.)  So it is counted beforehand how many places would be looked at,
as CPython does it: ``Objects/dictobject.c`` and ``Objects/setobject.c``.
"""

import collections
import decimal
import fractions
from collections.abc import Collection
from typing import Any

__all__ = ['check_hashes']

# Keys that can not do much harm, whatever they are.
FEW = 32

# Pairs of keys with the same hash: so many for each key, and some more.
PAIRS_PER_KEY = 8
SOME_PAIRS = 100
# Places looked at for each key; two are usual, a dozen for multiples of powers of two.  A
# row of them, which sets look at in one go, counts once.
PLACES_PER_KEY = 32
SOME_PLACES = 4000

# Bits of a number in a key whose hash another has, too: to compare it may take long.
MAX_BITS = 1024

_PERTURB_SHIFT = 5
_LINEAR_PROBES = 9


def check_hashes(keys: Collection[Any], *, of_set: bool = False) -> None:
    """See that keys can be put into a dict in time proportional to their number.

    Args:
        keys: them.
        of_set: into a set, that is.

    Raises:
        ValueError: they can not.
        TypeError: one is not hashable.
    """
    hashes = list(map(hash, keys))
    counts = collections.Counter(hashes)
    if len(counts) < len(hashes):
        pairs = 0
        for count in counts.values():
            pairs += count * (count - 1) // 2
        if pairs > PAIRS_PER_KEY * len(hashes) + SOME_PAIRS:
            raise ValueError(
                f'{len(hashes)} keys of a set or dict have only {len(counts)} hashes'
            )
        for key, value in zip(keys, hashes, strict=True):
            if counts[value] > 1:
                _check_size(key)
    if len(hashes) > FEW:
        _check_places(hashes, _LINEAR_PROBES if of_set else 0)


def _check_size(key: Any) -> None:
    """Of a key that will be compared with others, as they have the same hash."""
    todo = [key]
    while todo:
        part = todo.pop()
        kind = type(part)
        bits = 0
        if kind is int:
            bits = part.bit_length()
        elif kind is decimal.Decimal:
            bits = 4 * len(part.as_tuple().digits)
        elif kind is fractions.Fraction:
            todo += [part.numerator, part.denominator]
        elif kind is range:
            todo += [part.start, part.stop, part.step]
        elif kind is tuple or kind is frozenset:
            todo += part
        if bits > MAX_BITS:
            raise ValueError('the same hash for a large number and for another key')


def _check_places(hashes: list[int], linear: int) -> None:
    """Count the places that are looked at, at each size that the table has meanwhile."""
    size = 8
    while True:
        size *= 2
        usable = min(len(hashes), size * 2 // 3)
        if usable > FEW:
            _check_table(hashes, usable, size - 1, linear)
        if usable == len(hashes):
            return


def _check_table(hashes: list[int], usable: int, mask: int, linear: int) -> None:
    taken = bytearray(mask + 1)
    left = PLACES_PER_KEY * usable + SOME_PLACES
    for at in range(usable):
        place = hashes[at] & mask
        if not taken[place]:
            taken[place] = 1
            continue
        perturb = hashes[at] & 0xFFFF_FFFF_FFFF_FFFF
        while True:
            if linear and place + linear <= mask:
                free = taken.find(0, place, place + linear + 1)
                if free >= 0:
                    taken[free] = 1
                    break
            perturb >>= _PERTURB_SHIFT
            place = (place * 5 + perturb + 1) & mask
            left -= 1
            if left < 0:
                raise ValueError(
                    f'{usable} keys of a set or dict would all be looked for in the '
                    'same places'
                )
            if not taken[place]:
                taken[place] = 1
                break
