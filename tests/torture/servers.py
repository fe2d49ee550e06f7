"""A server of the torture run: it is called, and calls its clients."""

from calls import Calls, plan
from config import STRANGER, SYNC, server_settings
from functions import Functions
from loops import LoopRole, left_by

__all__ = ['TorturedServer']

GRACE = 2.0  # seconds
MOST = 400  # calls at a time


class TorturedServer(LoopRole):
    """One server, in a process of its own."""

    def __init__(self, process):
        super().__init__(process)
        config = process.config
        self.service, self.settings = server_settings(config, process.name)
        self.address = config['servers'][process.name]['address']
        self.calls = Calls(process, self.service, None)
        self.users = [
            name
            for name, user in config['users'].items()
            if process.name in user['servers'] and user['place'] != SYNC
        ]
        # nested calls go back where they came from: they are not counted here
        self.rate = config['rate'] * 0.3 / len(config['servers'])
        self.joined = self.left = 0

    def open(self):
        server = self.driver.Server(self.service, context=self.context, **self.settings)
        self.server = server
        self.register()

        @server.on_join
        def joined(peer):
            self.joined += 1

        @server.on_leave
        def left(peer, reason):
            self.left += 1

        server.bind(self.address)
        server.start()
        yield None

    def register(self):
        """Let clients call functions."""
        Functions(self.calls, server=True).register(self.server)

    def act(self):
        server, calls, rng = self.server, self.calls, self.rng
        if len(calls.tasks) < MOST:
            kind = rng.random()
            if kind < 0.02:
                users = rng.sample(self.users, min(len(self.users), 5))
                calls.spawn(calls.each(server, users, rng.random(), 3.0))
            elif kind < 0.035:
                user = rng.choice(self.users)
                calls.spawn(calls.hail(server.send_to(user), user))
            elif kind < 0.038:
                server.expel(rng.choice(self.users), 'by chance')
            else:
                self.call_a_client()
        return rng.expovariate(self.rate)

    def call_a_client(self):
        present = [
            peer.user_id
            for peer in self.server.peers
            if peer.user_id in self.users or self.rng.random() < 0.01
        ]
        if present and self.rng.random() < 0.95:
            user = self.rng.choice(present)
        else:
            user = self.rng.choice(self.users)
        if user is None:
            return
        function, args, how = plan(self.rng)
        caller = self.server.send_to(user)
        self.calls.spawn(self.calls.call(caller, function, user, *args, **how))

    def unsettled(self):
        problems = self.calls.unsettled() + left_by(self.server)
        here = [peer.user_id for peer in self.server.peers]
        callable_ = sorted(user for user in here if user in self.users)
        if callable_ != sorted(self.users):
            missing = sorted(set(self.users).difference(here))
            twice = [user for user in self.users if here.count(user) > 1]
            problems.append(
                f'{len(callable_)} clients are connected, not {len(self.users)}: '
                f'without {missing}, and {twice} twice'
            )
        for peer in self.server.peers:
            if peer.in_flight:
                problems.append(f'{peer} has {peer.in_flight} calls in flight')
        if self.joined - self.left != len(here):
            problems.append(
                f'{self.joined} came, {self.left} left, {len(here)} are here'
            )
        if STRANGER in here:
            problems.append('a stranger is still connected')
        return problems

    def final(self):
        problems = []
        for user in self.users:
            caller = self.server.send_to(user)
            outcome = yield from self.calls.call(caller, 'echo', user, 1, expected=1)
            if outcome != 'result':
                problems.append(f'the last call to {user}: {outcome}')
        return problems

    def close_all(self):
        yield self.server.stop(grace=GRACE)

    def remains(self):
        found = left_by(self.server)
        if self.joined != self.left:
            found.append(f'{self.joined} came and {self.left} left')
        return found
