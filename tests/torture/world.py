"""The processes and relays of a torture run, as the supervisor has them in hand."""

import collections
import json
import os
import pathlib
import queue
import signal
import socket
import time

from accounts import Accounts
from config import STRANGERS, SYNC
from journal import Reader
from programs import Program
from report import judge_memory

from pseud.testing import Relay

__all__ = ['PATIENCE', 'Member', 'World']

SCRIPT = pathlib.Path(__file__).resolve().parent / 'process.py'
PATIENCE = 120  # seconds that processes have for what they are told
STOPS_WITHIN = 60  # seconds after SIGTERM
TOLD = 5  # findings of one report

# What a process is doing.
UP, DOWN, FROZEN, STOPPING = 'up', 'down', 'frozen', 'stopping'


class Member:
    """A process, through all its starts.

    Args:
        world: where it lives.
        name: see `process.Process`.
        steady: it is never killed, so that leaks show.

    Attributes:
        state: UP, DOWN, FROZEN (by SIGSTOP) or STOPPING (by SIGTERM).
        reports: what it told last, by command.
        memory: (seconds since the beginning, KB) now and then, if it is steady.
    """

    def __init__(self, world, name, *, steady):
        self.world = world
        self.name = name
        self.steady = steady
        self.generation = -1
        self.program = None
        self.state = DOWN
        self.since = 0.0
        self.reports = {}
        self.memory = []
        self.errors_seen = 0

    @property
    def id(self):
        """The name of this start of it, as journals have it."""
        return f'{self.name}.{self.generation}'

    def start(self):
        self.generation += 1
        self.reports = {}
        self.errors_seen = 0
        path = self.world.directory / 'config.json'
        arguments = [str(SCRIPT), str(path), self.name, str(self.generation)]
        # glibc would keep what the largest messages took in an arena for each thread
        env = {'PYTHONHASHSEED': '0', 'MALLOC_ARENA_MAX': '1'}
        self.program = Program(arguments, env=env)
        self._turn(UP)

    def tell(self, command):
        self.reports.pop(command, None)
        self.program.tell(command)

    def freeze(self):
        self.program.signal(signal.SIGSTOP)
        self._turn(FROZEN)

    def thaw(self):
        if self.state == FROZEN:
            self.program.signal(signal.SIGCONT)
            self._turn(UP)

    def kill(self):
        """As `kill -9` does."""
        self.program.kill()
        self._over()
        self.world.accounts.killed(self.id)

    def stop(self):
        """As `kill` does."""
        self.program.signal(signal.SIGTERM)
        self._turn(STOPPING)

    def look(self):
        """Take in what it reports; what is wrong with it is a finding."""
        program = self.program
        if self.state == DOWN:
            return
        status = program.process.poll()
        if status is not None:
            program.wait()
        while True:
            try:
                line = program.lines.get_nowait()
            except queue.Empty:
                break
            if line is not None:
                self._reported(json.loads(line))
        errors = program.errors[self.errors_seen :]
        if errors:
            self.errors_seen += len(errors)
            self.world.finding(f'{self.id} said:\n{"".join(errors)}')
        if status is not None:
            if status or 'stop' not in self.reports:
                self.world.finding(f'{self.id} ended with status {status}')
                self.world.accounts.killed(self.id)
            self._over()
        elif self.state == STOPPING and time.monotonic() - self.since > STOPS_WITHIN:
            self.world.finding(f'{self.id} does not stop')
            self.kill()

    def _reported(self, report):
        self.reports[report['did']] = report
        problems = report.get('problems', [])
        if 'first' in report:
            problems += judge_memory(report['first'], report['now'])
        if len(problems) > TOLD:
            problems[TOLD:] = [f'and {len(problems) - TOLD} more']
        for problem in problems:
            self.world.finding(f'{self.id}, {report["did"]}: {problem}')
        self.world.warned.update(report.get('warned', {}))

    def _turn(self, state):
        self.state = state
        self.since = time.monotonic()

    def _over(self):
        self.program.close()
        self._turn(DOWN)

    def sample(self):
        """Note how much memory it has."""
        pages = pathlib.Path(f'/proc/{self.program.process.pid}/statm').read_text()
        kilobytes = int(pages.split()[1]) * os.sysconf('SC_PAGE_SIZE') // 1024
        self.memory.append((time.monotonic() - self.world.epoch, kilobytes))


class World:
    """Everything that is there.

    Args:
        config: see `config.make`; addresses are added.
        directory: for files.
        relays: how many there are in front of each server.
    """

    def __init__(self, config, directory, *, relays):
        self.config = config
        self.epoch = config['epoch']
        self.directory = pathlib.Path(directory)
        pathlib.Path(config['journals']).mkdir()
        self.reader = Reader(config['journals'])
        self.accounts = Accounts()
        self.findings = []
        self.warned = collections.Counter()
        self.holders = []
        self.relays = {}
        for name, server in config['servers'].items():
            server['address'] = self._address()
            for number in range(relays):
                self.relays[f'{name}/{number}'] = Relay(server['address'])
        self._connect()
        (self.directory / 'config.json').write_text(json.dumps(config))
        names = [*config['servers'], *config['places'], SYNC, STRANGERS]
        # half of them, and not only of one sort
        self.members = {
            name: Member(self, name, steady=number % 2 == 0)
            for number, name in enumerate(names)
        }

    def _address(self):
        """A port that stays ours while no server has it."""
        holder = socket.socket()
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(('127.0.0.1', 0))
        self.holders.append(holder)
        return f'tcp://127.0.0.1:{holder.getsockname()[1]}'

    def _connect(self):
        """Tell users where to connect: past a relay, or one in four directly."""
        servers = self.config['servers']
        for number, user in enumerate(self.config['users'].values()):
            names = user.get('servers') or [
                name for name in servers if servers[name]['service'] == user['service']
            ]
            if 'servers' not in user and number % 3:  # the others go to all of them
                names = [names[number % len(names)]]
            user['servers'] = names
            user['endpoints'] = []
            for name in names:
                ways = [servers[name]['address']]
                ways += [
                    relay.endpoint
                    for at, relay in self.relays.items()
                    if at.startswith(name)
                ]
                user['endpoints'].append(ways[number // 3 % len(ways)])

    def finding(self, text):
        """Something is not as it must be."""
        self.findings.append(text)
        when = time.monotonic() - self.epoch
        print(f'FOUND after {when:.1f} s: {text}', flush=True)

    def in_state(self, state):
        return [member for member in self.members.values() if member.state == state]

    def look(self):
        """Take in what processes report and write down."""
        for member in self.members.values():
            member.look()
        for process, line in self.reader.read():
            self.accounts.add(process, line)
        self.accounts.settle((time.monotonic() - self.epoch) * 1000)

    def running(self):
        return [member for member in self.members.values() if member.state != DOWN]

    def sample(self):
        """Note how much memory those have that are never killed."""
        for member in self.running():
            if member.steady:
                member.sample()

    def tell_all(self, command):
        """Tell all processes, and wait until each has done it."""
        members = self.in_state(UP)
        for member in members:
            member.tell(command)
        self.wait_for(members, command)

    def wait_for(self, members, report):
        """Wait for a report of each of these."""
        give_up = time.monotonic() + PATIENCE
        for member in members:
            while report not in member.reports and member.state == UP:
                if time.monotonic() > give_up:
                    self.finding(f'{member.id} does not answer {report!r}')
                    return
                self.look()
                time.sleep(0.01)

    def close(self):
        for member in self.running():
            member.kill()
        for each in (*self.relays.values(), *self.holders):
            each.close()
