"""Who answers: all peers are pinged in turn, and who leaves a ping unanswered is silent.

The transport knows whose connection is up; this finds out whose event loop runs.  What
the peers send anyway counts as an answer.  Those who can not be asked are let alone,
except for clients that speak v1 and send heartbeats: they have to go on with it.
"""

from collections import OrderedDict
from itertools import islice
from math import inf
from typing import TYPE_CHECKING

from .events import ANSWERS, SILENT
from .peer import Peer

if TYPE_CHECKING:
    from .endpoint import Endpoint
    from .events import Event

__all__ = ['Watch']

# The peers are asked in so many groups, spread over the interval.
GROUPS = 32


class Watch:
    """The peers that are watched, and what is known of each.

    Args:
        endpoint: whose peers they are.
        interval: seconds between two pings of one peer.
        patience: seconds that a peer has for an answer.

    Attributes:
        due: when `tick` wants to be called.
    """

    def __init__(self, endpoint: 'Endpoint', interval: float, patience: float) -> None:
        self.endpoint = endpoint
        self.interval = interval
        self.patience = patience
        self.due = inf
        self._next = inf  # when the next group is asked
        self._round: OrderedDict[Peer, None] = OrderedDict()  # whose turn is next
        self._asked: OrderedDict[Peer, float] = OrderedDict()  # and when
        self._silent: dict[Peer, float] = {}  # since when
        self._beating: set[Peer] = set()  # by v1

    def joined(self, peer: Peer, now: float) -> None:
        """Watch a peer from now on."""
        self._round[peer] = None
        self._next = min(self._next, now + self._pause())
        if peer.protocol == 1:  # a server that watches us need not wait
            self.endpoint.ping(peer)
        self._plan(now)

    def left(self, peer: Peer) -> None:
        """Watch it no more."""
        self._round.pop(peer, None)
        self._asked.pop(peer, None)
        self._silent.pop(peer, None)
        self._beating.discard(peer)
        if not self._round:
            self._next = self.due = inf

    def beat(self, peer: Peer) -> 'list[Event]':
        """It gave a sign of life."""
        if self.endpoint.server and peer.protocol == 1:
            self._beating.add(peer)
        if peer not in self._silent:
            return []
        del self._silent[peer]
        return [(ANSWERS, peer)]

    def tick(self, now: float) -> 'list[Event]':
        """Find out who has answered and who has not, ask the next ones, set `due` anew."""
        events: list[Event] = []
        for peer, since in list(self._silent.items()):
            if peer.heard >= since:
                events += self.beat(peer)
        late = now - self.due
        if late > self.patience / 2:
            # We were busy ourselves, and have not read what they have sent meanwhile.
            self._asked = OrderedDict.fromkeys(self._asked, now)
            for peer in self._silent:
                self._silent[peer] += late
            self._next = now + self._pause()
        else:
            self._judge(now, events)
            if now >= self._next:
                self._ask(now, events)
        self._plan(now)
        return events

    def _judge(self, now: float, events: 'list[Event]') -> None:
        while self._asked:
            peer, when = next(iter(self._asked.items()))
            if now < when + self.patience:
                break
            del self._asked[peer]
            if peer.heard < when:
                self._unanswered(peer, when, now, events)

    def _unanswered(
        self, peer: Peer, when: float, now: float, events: 'list[Event]'
    ) -> None:
        since = self._silent.setdefault(peer, when)
        peer.overdue = now
        events.append((SILENT, peer, now - since))

    def _ask(self, now: float, events: 'list[Event]') -> None:
        for peer in list(islice(self._round, self._group())):
            self._round.move_to_end(peer)
            asked = self._asked.get(peer)
            if asked is not None:
                if peer.heard < asked:
                    continue  # it still has time
                del self._asked[peer]
            if self.endpoint.ping(peer):
                self._asked[peer] = now
            elif peer in self._beating:
                expected = peer.heard + self.interval
                if now >= expected + self.patience:
                    self._unanswered(peer, expected, now, events)
        self._next = now + self._pause()

    def _group(self) -> int:
        return -(-len(self._round) // GROUPS)

    def _pause(self) -> float:
        return self.interval * self._group() / len(self._round)

    def _plan(self, now: float) -> None:
        if not self._round:
            self.due = inf
            return
        answer = next(iter(self._asked.values()), inf) + self.patience
        # Often enough to notice that we ourselves were busy for as long as they may take.
        self.due = min(self._next, answer, now + self.patience / 4)
