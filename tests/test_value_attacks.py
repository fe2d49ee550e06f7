"""Bodies that cost more than they weigh: refused, while honest ones are not."""

import itertools
import random

import msgpack
import pytest

import pseud
from pseud.packer import PackerV2
from pseud.packer_v1 import PackerV1

# sys.hash_info.modulus: ints that differ by it have the same hash
MODULUS = 2**61 - 1
MANY = 2000


def marked(code, *fields):
    return [msgpack.ExtType(code, b''), *fields]


def number(value):
    return marked(73, value.to_bytes(value.bit_length() // 8 + 1, 'big', signed=True))


def chain(bits):
    """Ints with hashes of their own, which in a dict are all looked for in one chain."""
    mask = (1 << bits) - 1
    walk, place = [], 1
    for _ in range(1 << bits):  # where a dict goes on from a place, in the end
        walk.append(place)
        place = (5 * place + 1) & mask
    count = (1 << bits) // 3 - 2
    taken, start = set(walk[:count]), set(walk[: count // 4])
    rng = random.Random(1)
    found = set()
    while len(found) < count - 3:
        value = place = rng.choice(walk[:count])
        known = bits
        for shift in range(5, 60, 5):
            # the next bits, so that this place is taken, too
            choices = 1 << min(5, 60 - known)
            for more in rng.sample(range(choices), choices):
                tried = value | more << known
                onto = (place * 5 + (tried >> shift) + 1) & mask
                if onto in taken:
                    value, place, known = tried, onto, min(60, known + 5)
                    break
            else:
                break
        else:
            if (place * 5 + (value >> 60) + 1) & mask in start and value < MODULUS:
                found.add(value)
    return walk[:count] + sorted(found - taken)


CHAIN = chain(11)
SAME = [5 + MODULUS * at for at in range(MANY)]
# what is hashed from the hashes of its parts has the same if they have
TWINS = [marked(64, number(value), 1) for value in SAME]

ATTACKS = {
    'ints of one hash in a set': marked(65, *map(number, SAME)),
    'in a frozenset': marked(66, *map(number, SAME)),
    'tuples of one hash in a set': marked(65, *TWINS),
    'in a set in a list': [[marked(65, *TWINS)]],
    'fractions': marked(65, *(marked(76, number(value), 1) for value in SAME)),
    'decimals': marked(65, *(marked(75, str(value)) for value in SAME)),
    'a number that is long to compare': marked(
        65, marked(75, '5'), number(5 + MODULUS * (1 << 9000))
    ),
    'a longer one': number(1 << (1 << 21)),
    'a range': marked(78, 0, number(1 << 90_000), number(1 << 45_000)),
    'a fraction': marked(76, number(3**50_000), number(7**50_000)),
    'a shape': marked(99, '<i4', marked(64, *[1 << 60] * 5000), 'C', b''),
    'a buffer that is not there': marked(96, 0),
    'a bytearray of a number': marked(97, 1 << 40),
    'a mark out of place': [1, msgpack.ExtType(64, b'')],
    'a mark as a value': {'a': msgpack.ExtType(64, b'')},
    'a mark alone': msgpack.ExtType(64, b''),
    'a list as a key': [marked(65, [1])],
}


def raw(pairs):
    """A map whose keys no dict could hold."""
    packer = msgpack.Packer(autoreset=False)
    packer.pack_map_pairs(pairs)
    return packer.bytes()


MAPS = {
    'ints of one chain': [(value, 0) for value in CHAIN],
    'ints of one hash': [(number(value), 0) for value in SAME],
    'tuples of one hash': [(value, 0) for value in TWINS],
    'a mark as a key': [(msgpack.ExtType(64, b''), 0)],
    'a list as a key': [([1], 0)],
}


@pytest.mark.parametrize('name', ATTACKS)
def test_values_that_are_refused(name):
    with pytest.raises(pseud.SerializationError):
        PackerV2().unpack(msgpack.packb(ATTACKS[name]))


@pytest.mark.parametrize('name', MAPS)
def test_maps_that_are_refused(name):
    with pytest.raises(pseud.SerializationError):
        PackerV2().unpack(raw(MAPS[name]))


def test_maps_that_are_refused_by_v1():
    with pytest.raises(pseud.SerializationError, match='same places'):
        PackerV1().unpack(raw(MAPS['ints of one chain']))
    same = [((1, value), 0) for value in tuples_of_one_hash()]
    with pytest.raises(pseud.SerializationError, match='hashes'):
        PackerV1().unpack(raw(same))


def tuples_of_one_hash():
    """-1 and -2 have the same hash, and what is made of them."""
    return list(itertools.product((-1, -2), repeat=11))


def test_a_buffer_is_used_once():
    """A few bytes in the body can not make many copies of a large frame."""
    packer = PackerV2()
    body = msgpack.packb([marked(96, 0), marked(97, 0)])
    with pytest.raises(pseud.SerializationError, match='used twice'):
        packer.unpack(body, [bytes(100)])
    assert packer.unpack(msgpack.packb(marked(96, 0)), [b'abc']) == b'abc'


HONEST = {
    'small': range(5000),
    'multiples': range(0, 5000 << 20, 1 << 20),
    'larger multiples': range(0, 5000 << 40, 1 << 40),
    'odd multiples': range(0, 5000 * 999_999_937, 999_999_937),
    'random': [random.Random(at).getrandbits(63) for at in range(5000)],
    'a grid around zero': list(itertools.product(range(-20, 20), repeat=3)),
    'a small grid': list(itertools.product((-2, -1, 0, 1), repeat=6)),
    'floats': [at / 7 for at in range(5000)],
    'whole floats': [float(at) for at in range(5000)],
    'pairs of text': [(str(at), at) for at in range(5000)],
}


@pytest.mark.parametrize('name', HONEST)
def test_honest_keys_are_taken(name):
    packer = PackerV2()
    keys = list(HONEST[name])
    for value in (set(keys), dict.fromkeys(keys), frozenset(keys)):
        assert packer.unpack(*packer.pack(value)) == value
