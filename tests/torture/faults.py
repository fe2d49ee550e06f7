"""What goes wrong during a torture run: one thing after the other, several at a time."""

import heapq
import itertools
import time
from collections import Counter

from config import STRANGERS, SYNC
from world import DOWN, FROZEN, STOPPING, UP

__all__ = ['Faults']


class Faults:
    """Makes things go wrong, and most of them right again.

    Args:
        world: where.
        rng: chance.
        every: mean seconds from one to the next.

    Attributes:
        counts: how often what was done.
    """

    def __init__(self, world, rng, every):
        self.world = world
        self.rng = rng
        self.every = every
        self.counts = Counter()
        self.later = []
        self.order = itertools.count()
        self.next = 0.0
        self.back = {}  # when who is started again
        self.encrypted = {
            name
            for name, server in world.config['servers'].items()
            if server['plugin'] != 'plain'
        }

    def go_on(self):
        """Do what is due."""
        now = time.monotonic()
        while self.later and self.later[0][0] <= now:
            heapq.heappop(self.later)[2]()
        self.restart()
        if now >= self.next:
            self.next = now + self.rng.expovariate(1 / self.every)
            fault = self.rng.choices(list(FAULTS), FAULTS.values())[0]
            fault(self)

    def restart(self):
        """Start again what has ended, at once or a little later."""
        now, rng = time.monotonic(), self.rng
        for member in self.world.in_state(DOWN):
            when = self.back.setdefault(member.name, now + rng.choice((0, 0.5, 3)))
            if now >= when:
                del self.back[member.name]
                self.start(member)

    def start(self, member):
        member.start()
        member.tell('go')

    def after(self, shortest, longest, action):
        when = time.monotonic() + self.rng.uniform(shortest, longest)
        heapq.heappush(self.later, (when, next(self.order), action))

    def end(self):
        """Make everything right."""
        self.later.clear()
        for relay in self.world.relays.values():
            relay.heal()
        for member in self.world.in_state(FROZEN):
            member.thaw()
        while self.world.in_state(STOPPING):
            self.world.look()
            time.sleep(0.01)
        for member in self.world.in_state(DOWN):
            self.start(member)

    # ------------------------------------------------------ connections

    def relay(self, what, encrypted=False):
        """A relay by chance, or None; counted."""
        names = [
            name
            for name in self.world.relays
            if not encrypted or name.partition('/')[0] in self.encrypted
        ]
        if not names:
            return None
        self.counts[what] += 1
        return self.world.relays[self.rng.choice(names)]

    def cut(self):
        self.relay('cut').cut()

    def refuse(self):
        relay = self.relay('refuse')
        relay.refuse()
        if self.rng.random() < 0.7:
            relay.cut()
        self.after(0.1, 3, relay.accept)

    def freeze(self):
        relay = self.relay('freeze')
        relay.freeze()
        self.after(0.1, 6, relay.thaw)

    def half_open(self):
        relay = self.relay('half-open')
        relay.half_open(self.rng.choice(('server', 'client')))
        self.after(1, 6, relay.heal)

    def delay(self):
        relay = self.relay('delay')
        relay.delay(self.rng.uniform(0.01, 0.5))
        self.after(0.5, 5, lambda: relay.delay(0))

    def throttle(self):
        relay = self.relay('throttle')
        relay.throttle(self.rng.choice((2_000, 50_000, 500_000)))
        self.after(0.5, 5, lambda: relay.throttle(None))

    def corrupt(self):
        """Where that shows: plain text may become other plain text."""
        relay = self.relay('corrupt', encrypted=True)
        if relay is not None:
            relay.corrupt(count=self.rng.choice((1, 1, 5)))

    # ------------------------------------------------------ processes

    def member(self, what, *, may_be_steady=False):
        """A process that is up, by chance, or None; counted."""
        members = [
            member
            for member in self.world.in_state(UP)
            if may_be_steady or not member.steady
            if 'open' in member.reports
        ]
        if not members:
            return None
        member = self.rng.choice(members)
        name = member.name
        kind = name if name in (SYNC, STRANGERS) else _KINDS[name[0]]
        self.counts[f'{what} {kind}'] += 1
        return member

    def kill(self):
        member = self.member('kill -9')
        if member is not None:
            member.kill()

    def stop(self):
        member = self.member('stop')
        if member is not None:
            member.stop()

    def pause(self):
        """Let a process neither read nor write."""
        member = self.member('SIGSTOP', may_be_steady=True)
        if member is None:
            return
        member.freeze()
        if member.steady or self.rng.random() < 0.7:
            self.after(0.2, 5, member.thaw)
        else:
            self.after(0.2, 5, lambda: member.state == FROZEN and member.kill())


_KINDS = {'s': 'server', 'c': 'clients', 'g': 'gateway'}

# How often each happens, in proportion.
FAULTS = {
    Faults.cut: 8,
    Faults.refuse: 3,
    Faults.freeze: 5,
    Faults.half_open: 4,
    Faults.delay: 4,
    Faults.throttle: 2,
    Faults.corrupt: 2,
    Faults.kill: 4,
    Faults.stop: 3,
    Faults.pause: 3,
}
