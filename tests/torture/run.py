"""Torture servers and clients, and account for every call.

    python tests/torture/run.py --backend tornado --seconds 60

Some 200 clients and a few servers call each other while connections are cut, frozen and
corrupted, and processes are stopped and killed.  Ends with status 1 if a call had no
outcome or two, ran twice, ran though its outcome says that it did not, or if anything is
left over.
"""

import argparse
import contextlib
import pathlib
import random
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from config import STRANGERS, make  # noqa: E402
from faults import Faults  # noqa: E402
from report import progress, say  # noqa: E402
from world import World  # noqa: E402

EVERY = 5  # seconds, between signs of life

# What there is: servers, processes of clients, clients of each, threads.
SIZES = {
    'full': {
        'servers': [0, 1, 2, 3],
        'processes': 6,
        'clients': 32,
        'threads': 8,
        'relays': 3,
        'rate': 400,
        'warm_up': 10,
        'every': 0.6,
    },
    'small': {
        'servers': [0, 2],
        'processes': 2,
        'clients': 6,
        'threads': 2,
        'relays': 2,
        'rate': 100,
        'warm_up': 1,
        'every': 0.3,
    },
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seconds', type=float, default=60, help='of faults')
    parser.add_argument('--backend', default='tornado', help='tornado or gevent')
    parser.add_argument('--seed', type=int, help='of the chance')
    parser.add_argument('--size', choices=SIZES, default='full')
    parser.add_argument('--rate', type=float, help='calls a second that are aimed at')
    options = parser.parse_args()
    seed = random.randrange(1 << 30) if options.seed is None else options.seed
    size = dict(SIZES[options.size])
    relays, warm_up, every = (size.pop(key) for key in ('relays', 'warm_up', 'every'))
    size['rate'] = options.rate or size['rate']
    print(f'backend {options.backend}, seed {seed}, {options.seconds:g} seconds')
    with tempfile.TemporaryDirectory() as directory:
        config = make(directory, backend=options.backend, seed=seed, **size)
        world = World(config, directory, relays=relays)
        faults = Faults(world, random.Random(seed), every)
        with contextlib.closing(world):
            torture(world, faults, options.seconds, warm_up)
        print(say(world, faults), flush=True)
    sys.exit(bool(world.findings or world.accounts.findings))


def torture(world, faults, seconds, warm_up):
    """The run, from the first start to the end of the accounting."""
    for member in world.members.values():
        member.start()
    world.wait_for(world.members.values(), 'open')
    world.tell_all('go')
    work(world, faults, warm_up)
    silence(world)
    world.tell_all('go')
    with contextlib.suppress(KeyboardInterrupt):  # what ran is accounted for
        work(world, faults, seconds, go_on=faults.go_on)
    faults.end()
    world.wait_for(world.members.values(), 'open')
    silence(world)
    world.tell_all('stop')
    while world.running():
        world.look()
        time.sleep(0.01)
    world.look()
    world.accounts.close()


def work(world, faults, seconds, go_on=lambda: None):
    """Let the calls be made."""
    now = time.monotonic()
    end, said = now + seconds, now
    while now < end:
        go_on()
        world.look()
        time.sleep(0.05)
        now = time.monotonic()
        if now > said + EVERY:
            said = now
            world.sample()
            print(progress(world, faults), flush=True)


def silence(world):
    """Let everything end, and see that all is well."""
    strangers = world.members[STRANGERS]  # first: others wait until they are gone
    strangers.tell('quiet')
    world.wait_for([strangers], 'quiet')
    for command in ('quiet', 'census', 'final'):
        world.tell_all(command)


if __name__ == '__main__':
    main()
