"""Many clients in one process: they call, are called, come and go."""

import sys

from calls import Calls, plan
from config import client_settings
from functions import Functions
from loops import LoopRole, left_by

__all__ = ['TorturedClients']

MOST = 60  # calls of one client at a time
BURST = 90  # calls at once: more than are allowed


class TorturedClients(LoopRole):
    """The clients of some users."""

    def __init__(self, process):
        super().__init__(process)
        config = process.config
        self.users = [
            User(process, self.context, name)
            for name, user in config['users'].items()
            if user['place'] == process.name
        ]
        self.visits = Calls(process, 'nobody', None)
        self.rate = config['rate'] * 0.7 / len(config['places'])

    def open(self):
        for user in self.users:
            user.open()
        yield None

    def act(self):
        rng = self.rng
        user = rng.choice(self.users)
        kind = rng.random()
        if kind < 0.004:
            self.visits.spawn(self.visit(user))
        elif user.away or len(user.calls.tasks) > MOST:
            pass
        elif kind < 0.007:
            user.away = True
            user.calls.spawn(user.reconnect())
        elif kind < 0.010:
            user.away = True
            user.calls.spawn(user.begin_anew())
        elif kind < 0.013:
            user.calls.spawn(user.calls.hail(user.client, user.calls.service))
        elif kind < 0.014:
            for _ in range(BURST):
                user.call('nap', (0.1,), {})
        else:
            user.call(*plan(rng))
        return rng.expovariate(self.rate)

    def visit(self, user):
        """Try a wrong password, or key; the outcome."""
        client = user.make(wrong=True)
        client.connect(self.rng.choice(user.endpoints))
        calls, service = self.visits, user.calls.service
        outcome = yield from calls.call(client, 'echo', service, 1, expected=1)
        if outcome not in ('UnauthorizedError', 'NotSentTimeoutError'):
            print(f'a wrong password of {user.name}: {outcome}', file=sys.stderr)
        yield client.stop(grace=0)
        return outcome

    def unsettled(self):
        problems = self.visits.unsettled()
        for user in self.users:
            problems += user.unsettled()
        return problems

    def final(self):
        problems = []
        for user in self.users:
            calls = user.calls
            outcome = yield from calls.call(
                user.client, 'echo', calls.service, 1, expected=1
            )
            if outcome != 'result':
                problems.append(f'the last call of {user.name}: {outcome}')
        for user in self.users[:3]:
            outcome = yield from self.visit(user)
            if outcome != 'UnauthorizedError':
                problems.append(f'a wrong password of {user.name}: {outcome}')
        return problems

    def close_all(self):
        while self.visits.unsettled() or any(user.away for user in self.users):
            yield self.driver.sleep(0.01)
        for user in self.users:
            yield user.client.stop(grace=self.rng.choice((0, 0.5)))

    def remains(self):
        return [text for user in self.users for text in left_by(user.client)]


class User:
    """A user with a client.

    Attributes:
        away: the client is being replaced.
    """

    def __init__(self, process, context, name):
        self.config = process.config
        self.driver = process.driver
        self.rng = process.rng
        self.context = context
        self.name = name
        user = self.config['users'][name]
        self.endpoints = user['endpoints']
        self.calls = Calls(process, name, user['service'])
        self.functions = Functions(self.calls, server=False)
        self.away = False

    def make(self, *, wrong=False):
        """A client of this user."""
        service, settings = client_settings(self.config, self.name, wrong=wrong)
        return self.driver.Client(service, context=self.context, **settings)

    def open(self):
        self.client = self.make()
        self.functions.register(self.client)
        for endpoint in self.endpoints:
            self.client.connect(endpoint)

    def call(self, function, args, how):
        calls = self.calls
        calls.spawn(calls.call(self.client, function, calls.service, *args, **how))

    def reconnect(self):
        """Disconnect, and connect again a little later."""
        endpoint = self.rng.choice(self.endpoints)
        self.client.disconnect(endpoint)
        yield self.driver.sleep(self.rng.choice((0, 0.1)))
        self.client.connect(endpoint)
        self.away = False

    def begin_anew(self):
        """Stop the client, and make another."""
        yield self.client.stop(grace=self.rng.choice((0, 0.2, 1)))
        for text in left_by(self.client):
            print(f'left over: {text}', file=sys.stderr)
        self.open()
        self.away = False

    def unsettled(self):
        problems = self.calls.unsettled() + left_by(self.client)
        peers = self.client._engine.core.peers.values()
        up = sum(not peer.closed for peer in peers)
        if up != len(self.endpoints):
            problems.append(f'{self.name} has {up} connections, not {self.endpoints}')
        return problems
