"""One process of the torture run: it is told what to do by stdin, and reports by stdout.

    python process.py CONFIG NAME GENERATION

Commands are ``go`` (make calls), ``quiet`` (no more, and wait until all have ended),
``census`` (count what there is), ``final`` (try whether everything works) and ``stop``,
which SIGTERM means, too.  Each is answered by one line of JSON.
"""

import collections
import contextlib
import ctypes
import faulthandler
import gc
import json
import logging
import os
import pathlib
import random
import signal
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / 'fuzz')]

import zmq  # noqa: E402
from config import GATEWAYS, STRANGERS, SYNC, read  # noqa: E402
from drivers import DRIVERS  # noqa: E402
from journal import Journal  # noqa: E402
from zmq.utils.garbage import gc as garbage  # noqa: E402

TURN = 0.01  # seconds between looks for commands
PATIENCE = 40  # seconds that things have to become as they should be


class Blocking:
    """The driver of processes that have no loop."""

    def run(self, generator, close):
        for _ in generator:
            pass

    def sleep(self, seconds):
        time.sleep(seconds)


class Warnings(logging.Handler):
    """Counts what pseud warns of; errors go to stderr, where each is a finding."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.counts = collections.Counter()

    def emit(self, record):
        if record.levelno < logging.ERROR:
            self.counts[record.msg] += 1
        else:
            text = logging.Formatter().format(record)
            print(f'{record.levelname}: {text}', file=sys.stderr, flush=True)


class Process:
    """What all processes of the run have.

    Attributes:
        config: see `config.make`.
        name: 's0' (a server), 'c0' (clients), ...
        generation: how often it was started before.
        driver: of the backend, see `drivers`.
        journal: for its calls.
        rng: its chance.
    """

    def __init__(self, path, name, generation):
        self.config = read(path)
        self.name = name
        self.generation = generation
        self.rng = random.Random(f'{self.config["seed"]} {name}.{generation}')
        directory, epoch = self.config['journals'], self.config['epoch']
        self.journal = Journal(directory, f'{name}.{generation}', epoch)
        without_loop = name in (SYNC, STRANGERS)
        self.driver = Blocking() if without_loop else DRIVERS[self.config['backend']]()
        self.role = self._make_role()
        self.commands = collections.deque()
        self.warnings = Warnings()
        self.counted = None

    def _make_role(self):
        if self.name == SYNC:
            from sync_callers import SyncCallers as Role
        elif self.name == STRANGERS:
            from strangers import Strangers as Role
        elif self.name in GATEWAYS:
            from gateways import TorturedGateway as Role
        elif self.name in self.config['servers']:
            from servers import TorturedServer as Role
        else:
            from clients import TorturedClients as Role
        return Role(self)

    def run(self):
        faulthandler.enable()
        with contextlib.suppress(AttributeError):  # where there is such a thing
            # killed when the supervisor is, also while stopped: PR_SET_PDEATHSIG
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        logging.getLogger().addHandler(self.warnings)
        threading.Thread(target=self._listen, daemon=True).start()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the supervisor
        signal.signal(signal.SIGTERM, lambda *_: self.commands.append('stop'))
        self.driver.run(self._main(), (step for step in ()))

    def _listen(self):
        for line in sys.stdin:
            self.commands.append(line.strip())
        os._exit(3)  # who tells us what to do is no more

    def _main(self):
        yield self.driver.sleep(TURN)  # the loop has what it needs
        # pyzmq begins to see to buffers that are sent uncopied, and never ends
        zmq.Frame(bytes(1 << 20), copy=False)
        begin = count(self.role)
        yield from self.role.open()
        report(did='open')
        going, command = False, None
        while command != 'stop':
            if going:
                yield self.driver.sleep(self.role.act())
            else:
                yield self.driver.sleep(TURN)
            command = self.commands.popleft() if self.commands else None
            if command == 'go':
                going = True
                report(did='go')
            elif command == 'quiet':
                going = False
                problems = yield from self.until_settled(self.role.unsettled)
                report(did='quiet', problems=problems)
            elif command == 'census':
                yield from self._census()
            elif command == 'final':
                problems = yield from self.role.final()
                report(did='final', problems=problems)
        yield from self.role.close()
        problems = yield from self.until_settled(lambda: self._unlike(begin))
        warned = dict(self.warnings.counts)
        report(did='stop', problems=problems, warned=warned, left=count(self.role))

    def until_settled(self, unsettled):
        """Wait until ``unsettled()`` finds nothing; what it finds in the end."""
        give_up = time.monotonic() + PATIENCE
        while (problems := unsettled()) and time.monotonic() < give_up:
            yield self.driver.sleep(0.05)
        return problems

    def _census(self):
        """Report what there is; the second time, after waiting that it is no more."""
        gc.collect()
        problems = self.role.unsettled()
        if self.counted is not None:
            problems = yield from self.until_settled(
                lambda: [*self.role.unsettled(), *self._unlike(self.counted)]
            )
        gc.collect()
        with contextlib.suppress(AttributeError):  # where libc is glibc
            ctypes.CDLL(None).malloc_trim(0)
        now = {**count(self.role), 'memory': memory(), 'objects': len(gc.get_objects())}
        self.counted = self.counted or now
        report(did='census', problems=problems, first=self.counted, now=now)

    def _unlike(self, before):
        """What there is more of than before."""
        gc.collect()
        now = count(self.role)
        return [
            f'{now[what]} {what}, not {before[what]}'
            for what in now
            if now[what] > before[what]
        ]


def report(**fields):
    """Tell what was done."""
    print(json.dumps(fields), flush=True)


def count(role):
    """What a process has: each of these may leak."""
    return {
        'descriptors': len(os.listdir('/proc/self/fd')) - 1,
        'threads': len(os.listdir('/proc/self/task')),
        'tasks': role.tasks(),
        'buffers': len(garbage.refs),
    }


def memory():
    """Resident memory, in KB."""
    pages = int(pathlib.Path('/proc/self/statm').read_text().split()[1])
    return pages * os.sysconf('SC_PAGE_SIZE') // 1024


if __name__ == '__main__':
    Process(sys.argv[1], sys.argv[2], int(sys.argv[3])).run()
