"""Who answers and who does not, by a clock that tests turn."""

from math import inf

import pytest
from helpers import Clock, Program, Wire

from pseud._core import events as ev
from pseud._core import v1, wire
from pseud._core.watch import GROUPS, Watch

INTERVAL, PATIENCE = 8.0, 4.0


class Watched:
    """A program that watches its peers, as the engine would have it.

    Attributes:
        said: (time since the beginning, event name, peer) of what the watch found.
    """

    def __init__(self, program, interval=INTERVAL, patience=PATIENCE):
        self.program = program
        self.clock = program.clock
        self.watch = Watch(program.core, interval, patience)
        self.begin = self.clock.now
        self.wires = []
        self.said = []

    def add(self, pair, peer):
        self.wires.append(pair)
        self.watch.joined(peer, self.clock.now)
        pair.run()
        return peer

    def pass_time(self, seconds):
        """As an idle loop passes it: it looks whenever there is something to see."""
        until = self.clock.now + seconds
        while self.watch.due <= until:
            self.clock.now = self.watch.due
            self.look()
        self.clock.now = until

    def look(self):
        before = len(self.program.events)
        self.note(self.watch.tick(self.clock.now))
        for pair in self.wires:
            pair.run()
        for event in self.program.events[before:]:
            if event[0] == ev.BEAT:
                self.note(self.watch.beat(event[1]))

    def note(self, events):
        names = {ev.SILENT: 'silent', ev.ANSWERS: 'answers'}
        for kind, peer, *_ in events:
            self.said.append((self.clock.now - self.begin, names[kind], peer))

    @property
    def words(self):
        return [word for _, word, _ in self.said]


class Sleepy(Wire):
    """A connection whose client's loop hangs: nothing is read there while it sleeps."""

    asleep = False

    def deliver_down(self):
        if self.asleep:
            self.missed.append(self.down.queue.popleft())
        else:
            super().deliver_down()

    def sleep(self):
        self.asleep, self.missed = True, []

    def wake(self):
        self.asleep = False
        self.down.queue.extendleft(reversed(self.missed))


def pings(pair):
    return pair.down.types.count(wire.PING)


@pytest.fixture
def watched():
    return Watched(Program(Clock(), server=True))


@pytest.fixture
def one(watched):
    """A client that is watched."""
    pair = Sleepy(server=watched.program).start()
    watched.add(pair, pair.to_client)
    return pair


def test_who_answers_is_asked_each_interval(watched, one):
    watched.pass_time(10 * INTERVAL)
    assert pings(one) == 10
    assert watched.said == []
    assert watched.clock.now - one.to_client.heard < INTERVAL


def test_nobody_to_watch(watched):
    assert watched.watch.due == inf
    assert watched.watch.tick(watched.clock.now) == []
    assert watched.watch.due == inf


def test_who_does_not_answer_is_silent(watched, one):
    one.sleep()
    watched.pass_time(INTERVAL)
    assert pings(one) == 1
    watched.pass_time(PATIENCE - 0.01)
    assert watched.said == []
    watched.pass_time(0.01)
    assert watched.said == [(INTERVAL + PATIENCE, 'silent', one.to_client)]
    # and is asked again
    watched.pass_time(2 * INTERVAL)
    assert pings(one) == 3
    assert watched.words == ['silent'] * 3


def test_in_time_among_others(watched, one):
    watched.pass_time(INTERVAL * 0.7)
    for _ in range(2):
        pair = Wire(server=watched.program).start()
        watched.add(pair, pair.to_client)
    one.sleep()
    watched.pass_time(3 * INTERVAL)
    asked = watched.said[0][0] - PATIENCE
    assert asked == INTERVAL  # though the others' turns were in between
    assert {peer for _, _, peer in watched.said} == {one.to_client}


def test_how_long_it_has_been_silent(watched, one):
    one.sleep()
    found = []
    watched.note = found.extend
    watched.pass_time(3 * INTERVAL + PATIENCE)
    assert [event[2] for event in found] == [PATIENCE + n * INTERVAL for n in range(3)]


def test_who_wakes_up_answers_again(watched, one):
    one.sleep()
    watched.pass_time(2 * INTERVAL + PATIENCE)
    assert watched.words == ['silent', 'silent']
    one.wake()
    watched.pass_time(1)
    assert watched.words == ['silent', 'silent', 'answers']
    watched.pass_time(10 * INTERVAL)
    assert watched.words == ['silent', 'silent', 'answers']


def test_what_it_sends_anyway_is_an_answer(watched, one):
    """A long queue may lie before the ping."""
    one.sleep()
    for _ in range(20):
        one.client.call()
        watched.pass_time(INTERVAL / 4)
    assert pings(one) == 5
    assert watched.said == []
    watched.pass_time(INTERVAL + PATIENCE)
    assert set(watched.words) == {'silent'}
    one.client.call()
    one.run()
    watched.pass_time(PATIENCE / 4)
    assert watched.words[-1] == 'answers'


def test_one_ping_at_a_time():
    """However long it has for the answer."""
    watched = Watched(Program(server=True), interval=1, patience=100)
    pair = Sleepy(server=watched.program).start()
    watched.add(pair, pair.to_client)
    watched.pass_time(10.5)
    assert pings(pair) == 10
    pair.sleep()
    watched.pass_time(90)
    assert pings(pair) == 11
    assert watched.said == []
    watched.pass_time(20)
    assert watched.words == ['silent']


def test_pings_are_spread(watched):
    """All came at the same time, and are asked at many."""
    pairs = []
    for _ in range(10 * GROUPS):
        pairs.append(Wire(server=watched.program).start())
        watched.add(pairs[-1], pairs[-1].to_client)
    watched.pass_time(INTERVAL)  # until the first round has settled
    before = [pings(pair) for pair in pairs]
    watched.wires.clear()
    most, until = 0, watched.clock.now + INTERVAL
    while watched.clock.now < until:
        watched.pass_time(watched.watch.due - watched.clock.now)
        waiting = [pair for pair in pairs if pair.to_client.outbox]
        most = max(most, len(waiting))
        for pair in waiting:
            pair.run()
    assert most == 10
    assert {
        now - then for now, then in zip(map(pings, pairs), before, strict=True)
    } <= {
        1,
        2,
    }
    assert watched.said == []


def test_more_come_and_the_first_need_not_wait(watched, one):
    watched.pass_time(INTERVAL * 0.8)
    for _ in range(3):
        pair = Wire(server=watched.program).start()
        watched.add(pair, pair.to_client)
    watched.pass_time(INTERVAL * 0.2)
    assert pings(one) == 1


def test_who_has_left_is_not_watched(watched, one):
    one.sleep()
    watched.pass_time(INTERVAL)
    other = Wire(server=watched.program).start()
    watched.add(other, other.to_client)
    watched.watch.left(one.to_client)
    assert watched.watch.due < inf
    watched.pass_time(10 * INTERVAL)
    assert pings(one) == 1
    assert watched.said == []
    watched.watch.left(other.to_client)
    assert watched.watch.due == inf
    watched.watch.left(other.to_client)  # harmless


def test_who_leaves_in_silence(watched, one):
    one.sleep()
    watched.pass_time(INTERVAL + PATIENCE)
    assert watched.words == ['silent']
    watched.watch.left(one.to_client)
    assert watched.watch.beat(one.to_client) == []
    assert watched.watch.due == inf


# ---------------------------------------------------------------------- we ourselves


def test_the_time_that_we_were_busy_does_not_count(watched, one):
    """What they sent meanwhile was not read; and their ping may not have left."""
    watched.pass_time(INTERVAL - PATIENCE / 8)
    watched.wires.clear()  # nothing moves
    watched.pass_time(PATIENCE / 4)
    assert one.to_client.outbox == [(wire.PING, 0)]
    watched.clock.now += 10 * PATIENCE
    watched.look()
    assert watched.said == []
    watched.wires.append(one)
    one.run()
    watched.pass_time(3 * INTERVAL)
    assert watched.said == []


def test_but_it_does_not_help_who_is_silent(watched, one):
    one.sleep()
    watched.pass_time(INTERVAL + PATIENCE)
    assert watched.words == ['silent']
    found = []
    watched.note = found.extend
    watched.clock.now += 10 * PATIENCE
    watched.look()
    assert found == []
    watched.pass_time(INTERVAL + PATIENCE)
    (event,) = found
    assert event[2] < 3 * INTERVAL  # our own time was taken off


# ---------------------------------------------------------------------- who can't be asked


def test_nobody_else_is_asked(watched):
    """Lockstep peers would take it for an answer; so might one without a hello."""
    lockstep = Wire(
        Program(watched.clock, server=False, lockstep=True), watched.program
    )
    lockstep.connect()
    lockstep.client.call()
    lockstep.run()
    silent = Wire(server=watched.program).connect()
    silent.client.core.dirty.clear()
    silent.inject_up([wire.encode([(wire.CALL, 1, 0, b'', 'f')])])
    for pair in (lockstep, silent):
        watched.add(pair, pair.to_client)
    watched.pass_time(10 * INTERVAL)
    assert lockstep.down.sent == silent.down.sent == []
    assert watched.said == []


def test_a_ping_for_who_does_not_read(watched, one):
    """There is an end to what waits for it; it is silent all the same."""
    one.down.block()
    watched.pass_time(1000 * INTERVAL)
    assert len(one.to_client.outbox) <= 1000
    assert set(watched.words) == {'silent'}
    one.to_client.queued = watched.program.core.limits.max_queue
    before = len(one.to_client.outbox)
    watched.pass_time(INTERVAL)
    assert len(one.to_client.outbox) == before


# ---------------------------------------------------------------------- version 1


@pytest.fixture
def old(watched):
    """A client that speaks v1."""
    pair = Wire(server=watched.program, protocol=1).connect()
    pair.inject_up([])
    watched.add(pair, pair.to_client)
    return pair


def heartbeat(watched, pair):
    (*_, beat) = pair.inject_up([v1.VERSION, b'', v1.HEARTBEAT, b''])
    assert beat == (ev.BEAT, pair.to_client)
    watched.note(watched.watch.beat(pair.to_client))


def test_a_client_of_version_1_is_not_asked(watched, old):
    watched.pass_time(10 * INTERVAL)
    assert old.down.sent == []
    assert watched.said == []


def test_but_if_it_has_begun_to_beat_it_must_go_on(watched, old):
    for _ in range(10):
        heartbeat(watched, old)
        watched.pass_time(INTERVAL)
    assert watched.said == []
    watched.pass_time(2 * INTERVAL + PATIENCE)
    assert set(watched.words) == {'silent'}
    heartbeat(watched, old)
    assert watched.words[-1] == 'answers'
    assert old.down.sent == []


@pytest.fixture
def beating():
    """A client that watches, and speaks v1."""
    watched = Watched(Program(server=False))
    pair = Wire(watched.program, protocol=1).connect()
    watched.add(pair, pair.to_server)
    return watched, pair


def test_our_client_beats_by_version_1(beating):
    """At once, so that the server knows of it; and never waits for an answer."""
    watched, pair = beating
    assert len(pair.up.sent) == 1
    assert pair.server.kinds == ['READY', 'BEAT']
    watched.pass_time(10 * INTERVAL)
    assert len(pair.up.sent) == 11
    assert all(payload[2] == v1.HEARTBEAT for payload in pair.up.sent)
    assert watched.said == []


def test_a_server_of_version_1_need_not(beating):
    """One heartbeat of it is no promise: ours probes with them."""
    watched, pair = beating
    (beat,) = pair.inject_down([v1.VERSION, b'', v1.HEARTBEAT, b''])
    assert watched.watch.beat(beat[1]) == []
    watched.pass_time(10 * INTERVAL)
    assert watched.said == []


def test_a_client_watches_its_servers():
    watched = Watched(Program(server=False))
    pairs = [Sleepy(watched.program) for _ in range(2)]
    for pair in pairs:
        pair.start()
        watched.add(pair, pair.to_server)
    pairs[0].down.block()
    watched.pass_time(2 * INTERVAL + PATIENCE)
    assert {peer for _, _, peer in watched.said} == {pairs[0].to_server}
    # and makes its calls elsewhere, as long as it has a choice
    for _ in range(3):
        watched.program.call()
    assert [pair.to_server.in_flight for pair in pairs] == [0, 3]
    pairs[0].unblock()
    watched.pass_time(INTERVAL)
    watched.program.call()
    assert [pair.to_server.in_flight for pair in pairs] == [1, 3]
