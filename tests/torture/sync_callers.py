"""SyncClients, shared by threads."""

import threading
import time

import zmq
from calls import outcome_of, outcome_of_value, plan
from config import SYNC, client_settings
from journal import OUTCOME

from pseud import SyncClient

__all__ = ['SyncCallers']

# What a SyncClient can not do: it has no results to cancel, and can not be called back.
NOT_HERE = 'cancel_after'


class SyncCallers:
    """A SyncClient for each user, each called by threads of its own; see `LoopRole`."""

    def __init__(self, process):
        self.config = process.config
        self.journal = process.journal
        self.rng = process.rng
        self.names = [
            name for name, user in self.config['users'].items() if user['place'] == SYNC
        ]
        self.pause = 10 * len(self.names) / self.config['rate']
        self.context = zmq.Context()
        self.threads = []
        self.ending = threading.Event()

    def tasks(self):
        return 0

    def open(self):
        self.context.socket(zmq.PAIR).close()  # it has its threads from now on
        yield None

    def act(self):
        """See that the threads run: they make the calls."""
        if not self.threads:
            self.ending.clear()
            for name in self.names:
                client = self.make(name)
                self.threads += [Caller(self, client, name) for _ in range(2)]
            for thread in self.threads:
                thread.start()
        return 0.01

    def make(self, name):
        service, settings = client_settings(self.config, name)
        client = SyncClient(service, context=self.context, **settings)
        for endpoint in self.config['users'][name]['endpoints']:
            client.connect(endpoint)
        return client

    def unsettled(self):
        """End the threads, and their clients."""
        self.ending.set()
        alive = [thread for thread in self.threads if thread.is_alive()]
        if not alive:
            for thread in self.threads:
                thread.client.stop()
            self.threads = []
        return [f'{len(alive)} threads still make calls'] if alive else []

    def final(self):
        problems = []
        for name in self.names:
            client = self.make(name)
            outcome = Caller(self, client, name).call('echo', (1,), {'expected': 1})
            if outcome != 'result':
                problems.append(f'the last call of {name}: {outcome}')
            client.stop()
            yield None
        return problems

    def close(self):
        while self.unsettled():
            time.sleep(0.01)
        self.context.term()
        yield None


class Caller(threading.Thread):
    """A thread that makes calls, one after the other."""

    def __init__(self, callers, client, name):
        super().__init__(daemon=True)
        self.callers = callers
        self.client = client
        self.name = name
        self.service = callers.config['users'][name]['service']

    def run(self):
        callers, rng = self.callers, self.callers.rng
        while not callers.ending.wait(rng.expovariate(1 / callers.pause)):
            function, args, how = plan(rng)
            if NOT_HERE not in how:
                self.call(function, args, how)

    def call(self, function, args, how):
        """Make a call; its outcome."""
        journal = self.callers.journal
        call_id, timeout = journal.new_id(), how.get('timeout', 5.0)
        journal.made(call_id, self.name, self.service, function, timeout)
        caller = self.client.with_options(timeout=timeout)
        try:
            value = caller.call(function, call_id, self.name, self.service, *args)
        except Exception as error:
            outcome = outcome_of(error, call_id)
        else:
            expected = how.get('expected')
            outcome = outcome_of_value(value, call_id, self.service, expected)
        journal.write(OUTCOME, call_id, outcome)
        return outcome
