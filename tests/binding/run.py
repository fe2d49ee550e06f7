"""Makes environments with tornado, gevent, both and none, and checks pseud in each.

    python run.py [FLAVOUR]...

The wheel is built once, from the sdist, and installed as users do: the environments hold
pseud, its dependencies and those of its extras, not even pip. `check.py` is run in each,
and mypy here with what is there.
"""

import argparse
import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

EXTRAS = {
    'tornado': '[Tornado]',
    'gevent': '[Gevent]',
    'both': '[Tornado,Gevent]',
    'none': '',
}
# SyncClient needs a server, and there is none without a backend.
SERVERS = {'none': ['tornado', 'gevent']}


class Failed(Exception):
    """A command failed; its output."""


def command(*arguments, cwd=None):
    """Run a command with this interpreter or another; its output."""
    done = subprocess.run(
        [str(argument) for argument in arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=cwd,
        env={**os.environ, 'PIP_DISABLE_PIP_VERSION_CHECK': '1'},
        check=False,
    )
    if done.returncode:
        raise Failed(f'{" ".join(map(str, arguments))}\n{done.stdout}')
    return done.stdout


def build(directory):
    """Build the wheel from the sdist, as for a release."""
    command(sys.executable, '-m', 'build', '--outdir', directory, ROOT)
    (wheel,) = Path(directory).glob('*.whl')
    return wheel


def make(directory, flavour, wheel):
    """Make an environment with this flavour of pseud."""
    path = directory / flavour
    venv.create(path, symlinks=True)
    pip = [sys.executable, '-m', 'pip', '--python', python(directory, flavour)]
    command(*pip, 'install', '--quiet', f'{wheel}{EXTRAS[flavour]}')


def python(directory, flavour):
    return directory / flavour / 'bin' / 'python'


def check(directory, flavour):
    """What the checks say in an environment."""
    servers = [
        f'--server={python(directory, name)}' for name in SERVERS.get(flavour, [])
    ]
    checked = command(
        python(directory, flavour), '-I', HERE / 'check.py', flavour, *servers
    )
    return checked.splitlines()[-1]


def types(directory, flavour):
    """Check a user's program with mypy, in a directory of its own."""
    user = directory / f'{flavour}-user'
    user.mkdir()
    shutil.copy(HERE / 'typed.py', user)
    mypy = [sys.executable, '-m', 'mypy', '--strict', '--config-file=']
    where = f'--python-executable={python(directory, flavour)}'
    command(*mypy, where, 'typed.py', cwd=user)
    return f'{flavour}: a typed program passes mypy --strict'


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'flavours', nargs='*', metavar='FLAVOUR', help=', '.join(EXTRAS)
    )
    flavours = parser.parse_args().flavours or list(EXTRAS)
    if not set(flavours) <= set(EXTRAS):
        parser.error(f'flavours are {", ".join(EXTRAS)}')
    needed = {*flavours, *(name for each in flavours for name in SERVERS.get(each, []))}
    start = time.monotonic()

    def done(what):
        print(f'{what} ({time.monotonic() - start:.0f} s)', flush=True)

    failed = 0
    with (
        tempfile.TemporaryDirectory(prefix='pseud-binding-') as temporary,
        concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        directory = Path(temporary)
        wheel = build(directory)
        done(f'built {wheel.name}')
        list(pool.map(lambda flavour: make(directory, flavour, wheel), sorted(needed)))
        done(f'made environments: {", ".join(sorted(needed))}')
        for job in concurrent.futures.as_completed(
            pool.submit(function, directory, flavour)
            for flavour in flavours
            for function in (check, types)
        ):
            try:
                done(job.result())
            except Failed as error:
                failed += 1
                print(error, flush=True)
    return 1 if failed else 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except Failed as error:
        sys.exit(str(error))
