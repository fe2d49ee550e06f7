"""Fuzz what decodes the bytes of strangers.

    python tests/fuzz/run.py --seconds 60 [target ...]
    python tests/fuzz/run.py --replay FILE target

Guided by coverage where atheris is installed (``pip install atheris``), else by chance.
A finding is written to a file, and ends the program with status 1; so does an input that
takes long, or much memory, or kills the interpreter.
"""

import argparse
import contextlib
import hashlib
import io
import mmap
import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings

HERE = pathlib.Path(__file__).resolve().parent
CORPUS = HERE / 'corpus'
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent.parent)]

EVERY = 5  # seconds, between signs of life
MAX_SIZE = 1 << 16  # of an input
MAX_SECONDS = 2  # of work for one input; after HANGS it is killed
HANGS = 20
MAX_MEMORY = 512 << 10  # for one input, in KB


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seconds', type=float, default=60, help='for all targets')
    parser.add_argument('--plain', action='store_true', help='without atheris')
    parser.add_argument('--seed', type=int, help='of the chance')
    parser.add_argument('--replay', metavar='FILE', help='run one input')
    parser.add_argument('--within', help=argparse.SUPPRESS)  # where a child works
    parser.add_argument('targets', nargs='*', help='all by default')
    options = parser.parse_args()
    if options.within:
        fuzz(options)
    names = [path.name for path in sorted(CORPUS.iterdir())]
    for name in options.targets:
        if name not in names:
            parser.error(f'no target {name}: there are {", ".join(names)}')
    if options.replay:
        from targets import TARGETS

        for name in options.targets or parser.error('name the target'):
            TARGETS[name](pathlib.Path(options.replay).read_bytes())
        return
    names = options.targets or names
    found = [run(name, options.seconds / len(names), options) for name in names]
    sys.exit(any(found))


def run(name, seconds, options):
    """Fuzz one target in a process of its own; whether something was found."""
    with tempfile.TemporaryDirectory() as directory:
        notes = pathlib.Path(directory, 'notes')
        notes.write_bytes(bytes(MAX_SIZE + 8))
        command = [sys.executable, __file__, name, '--within', directory]
        command += ['--seconds', str(seconds)]
        command += ['--plain'] * options.plain
        command += [] if options.seed is None else ['--seed', str(options.seed)]
        status = subprocess.run(command, check=False).returncode
        if not status:
            return False
        noted = notes.read_bytes()
    data = noted[8 : 8 + int.from_bytes(noted[:8], 'big')]
    file = pathlib.Path(f'fuzz-{name}-{hashlib.sha256(data).hexdigest()[:12]}')
    file.write_bytes(data)
    print(f'{name}: ended with status {status} on {len(data)} bytes; to see it again:')
    print(f'  {sys.executable} {__file__} --replay {file} {name}', flush=True)
    return True


class Watch:
    """Calls a target, and looks at what that costs.

    Args:
        target: a function of bytes.
        seconds: until the end.
        notes: name of a file, for the input under way: the process may die of it.
    """

    def __init__(self, target, seconds, notes):
        self.target, self.name = target, target.__name__
        with open(notes, 'r+b') as file:
            self.notes = mmap.mmap(file.fileno(), 0)
        self.count, self.slowest = 0, 0.0
        self.began = self.said = time.monotonic()
        self.end = self.began + seconds

    def __call__(self, data):
        self.notes[8 : 8 + len(data)] = data
        self.notes[:8] = len(data).to_bytes(8, 'big')
        memory = peak()
        began = time.process_time()  # others may be busy
        self.target(data)
        taken, now = time.process_time() - began, time.monotonic()
        self.count += 1
        if taken > self.slowest:
            self.slowest = taken
            assert self.slowest < MAX_SECONDS, f'it took {self.slowest:.1f} s'
        grown = peak() - memory
        assert grown < MAX_MEMORY, f'it took {grown >> 10} MB'
        if now > self.end:
            self.say('done')
            os._exit(0)  # atheris has no other way out
        if now - self.said > EVERY:
            self.said = now
            self.say(f'{max(0, self.end - now):.0f} s left')

    def say(self, rest):
        rate = self.count / max(time.monotonic() - self.began, 1e-3)
        print(
            f'{self.name}: {self.count} executions, {rate:.0f}/s, slowest '
            f'{self.slowest * 1000:.0f} ms, {peak() >> 10} MB, {rest}',
            flush=True,
        )


def peak():
    """KB of memory at most, so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def fuzz(options):
    """The child's part: fuzz one target until the time is over; does not return."""
    (name,) = options.targets
    atheris = None
    if not options.plain:
        with contextlib.suppress(ImportError):
            import atheris
    if atheris is None:
        from targets import TARGETS
    else:
        talk = contextlib.redirect_stderr(io.StringIO())
        with talk, atheris.instrument_imports(include=['pseud']):
            from targets import TARGETS
    from mutate import FRAMED, mutate

    warnings.simplefilter('ignore')  # numpy's, of numbers that overflow and the like
    seed = options.seed if options.seed is not None else random.randrange(1 << 30)
    inputs = [
        path.read_bytes()
        for path in sorted((CORPUS / name).iterdir())
        if not path.name.startswith('open-')
    ]
    within = pathlib.Path(options.within)
    watch = Watch(TARGETS[name], options.seconds, within / 'notes')
    watch.say(f'seed {seed}, {len(inputs)} inputs, {"atheris" if atheris else "plain"}')

    def change(data, rng):
        return mutate(data, rng, inputs, framed=name in FRAMED)[:MAX_SIZE]

    if atheris is None:
        by_chance(watch, inputs, change, random.Random(seed))
    else:
        by_coverage(atheris, watch, change, seed, within, inputs)


def by_chance(watch, inputs, change, rng):
    """Changes of what there is, and changes of changes."""
    data = b''
    while True:
        signal.alarm(HANGS)
        data = change(data if rng.random() < 0.5 else rng.choice(inputs), rng)
        watch(data)


def by_coverage(atheris, watch, change, seed, within, inputs):
    """Changes of what has led to new places."""

    def mutator(data, size, number):
        rng = random.Random(number)
        if rng.random() < 0.3:
            return atheris.Mutate(data, size)
        return change(data, rng)[:size]

    corpus = within / 'corpus'
    corpus.mkdir()
    for number, data in enumerate(inputs):
        (corpus / str(number)).write_bytes(data)
    arguments = [
        *(f'-seed={seed + 1}', f'-max_len={MAX_SIZE}'),
        *(f'-timeout={HANGS}', '-rss_limit_mb=4096'),
        *('-verbosity=0', '-detect_leaks=0', f'-artifact_prefix={within}/'),
        str(corpus),
    ]
    atheris.Setup([sys.argv[0], *arguments], watch, custom_mutator=mutator)
    atheris.Fuzz()  # does not return


if __name__ == '__main__':
    main()
