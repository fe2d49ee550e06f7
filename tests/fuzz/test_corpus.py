"""What was made to be decoded, or was found to go wrong, and small changes of it.

`run.py` is for more than a few seconds of it.
"""

import pathlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutate import FRAMED, mutate
from targets import TARGETS, join, split

CORPUS = {
    name: sorted((pathlib.Path(__file__).parent / 'corpus' / name).iterdir())
    for name in TARGETS
}
# What is open may end the process: it is no start for changes, either.
SEEDS = {
    name: [path.read_bytes() for path in paths if not path.name.startswith('open-')]
    for name, paths in CORPUS.items()
}

pytestmark = pytest.mark.filterwarnings('ignore')  # numpy's, about what it is given

every_target = pytest.mark.parametrize('target', TARGETS.values(), ids=TARGETS)


def inputs():
    for name, paths in CORPUS.items():
        for path in paths:
            marks = ()
            if path.name.startswith('open-'):
                marks = pytest.mark.xfail(run=False, reason='waits for a repair')
            yield pytest.param(
                TARGETS[name], path, id=f'{name}-{path.name}', marks=marks
            )


@pytest.mark.parametrize(('target', 'path'), [*inputs()])
def test_corpus(target, path):
    target(path.read_bytes())


@st.composite
def edited(draw, seeds):
    """One of the seeds with bytes flipped, cut out, put in, or taken from another."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for what in draw(
        st.lists(st.sampled_from(['flip', 'cut', 'splice', 'insert']), max_size=4)
    ):
        at = draw(st.integers(0, len(data)))
        if what == 'flip' and at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif what == 'cut':
            del data[at : at + draw(st.integers(1, 9))]
        elif what == 'splice':
            other = draw(st.sampled_from(seeds))
            data[at:] = other[draw(st.integers(0, len(other))) :]
        else:
            data[at:at] = draw(st.binary(max_size=5))
    return bytes(data)


@every_target
def test_edited(target):
    @settings(max_examples=250, deadline=None, derandomize=True, database=None)
    @given(edited(SEEDS[target.__name__]))
    def check(data):
        target(data)

    check()


@every_target
def test_mutated(target):
    name, rng = target.__name__, random.Random(1)
    seeds = SEEDS[name]
    for number in range(40 * len(seeds) if len(seeds) < 20 else 800):
        data = mutate(seeds[number % len(seeds)], rng, seeds, framed=name in FRAMED)
        target(data)


def test_frames():
    for frames in ([], [b''], [b'a', b'', b'x' * 300]):
        assert split(join(frames)) == frames
    assert split(b'\0\5abc') == [b'abc']
    assert split(b'\0') == [b'']
