"""A server and two clients in whatever order things may happen.

Hypothesis makes up the order: calls both ways, answers, cancellations, time, full pipes,
connections that break on either side and come back in either version, forged answers,
rubbish, draining.  A `Witness` sees all that comes out, and knows what may not.
"""

import msgpack
from helpers import ARGS, Clock, Handle, Program, Wire, invariants, quiescent
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from pseud._core import events as ev
from pseud._core import wire
from pseud._core.limits import Limits
from pseud.errors import (
    LocalProtocolError,
    MessageTooLargeError,
    NotSentError,
    PeerLostError,
    PseudError,
    TimeoutError,
    UnauthorizedError,
)

# Small enough that each is reached.
LIMITS = Limits(
    max_message=3000,
    max_calls_per_peer=4,
    max_calls=7,
    max_queue=5000,
    max_peers=2,
)

RUBBISH = [
    [],
    [b''],
    [b'\xc1'],
    [b'v1'],
    [b'v1', b'', b'\x01', b''],
    [b'v1', bytes(16), b'\x03', b'\x93\xc1'],
    [msgpack.packb([[wire.CALL]])],
    [msgpack.packb([[wire.CALL, 7, 5, None, 'f']])],
    [msgpack.packb([[wire.RESULT, 'x', 0, b'']])],
    [msgpack.packb([[wire.RESULT, 1 << 60, 0, b'']])],
    [msgpack.packb([[wire.CANCEL, 1 << 60], [wire.PING, 1], [99], [wire.CREDIT]])],
]
# By these a stranger says which version it speaks; to lie about it does it no good.
SPEAKS = {0: 1, len(RUBBISH) - 1: 2}


class Witness(Program):
    """A program that checks what it is told against what has happened to all of them.

    Args:
        world: the machine; it knows of all calls by their names, which are unique.
    """

    def __init__(self, world, label, **how):
        super().__init__(world.clock, **how)
        self.world = world
        self.label = label

    def handle(self, events):
        super().handle(events)
        for event in events:
            kind = event[0]
            if kind in (ev.RESULT, ev.ERROR, ev.FAILED):
                self.world.ended(self, event)
            elif kind == ev.INVOKE:
                self.world.invoked(self, event[1])
            elif kind == ev.ABORT:
                self.world.aborted(self, event[1])
        return events


class Made:
    """A call that was made, and all that is known of it."""

    def __init__(self, caller, handle, deadline):
        self.caller = caller
        self.handle = handle
        self.deadline = deadline
        self.outcome = None
        self.cancelled = False
        self.invoked = None  # the inbound call
        self.answer = None  # ('result', body) or ('error', body)


class Machine(RuleBasedStateMachine):
    @initialize(protocols=st.tuples(*[st.sampled_from([2, 2, 2, 1, None])] * 2))
    def begin(self, protocols):
        self.clock = Clock()
        self.server = Witness(
            self, 'server', server=True, limits=LIMITS, uid_prefix=b'server##'
        )
        self.clients = [
            Witness(self, name, server=False, limits=LIMITS, uid_prefix=name.encode())
            for name in ('client-1', 'client-2')
        ]
        self.programs = [self.server, *self.clients]
        self.wires = []  # every connection there ever was
        self.cuts = {}  # of each, the sides that know that it is cut
        self.made = {}  # by name
        self.jobs = []  # inbound calls that nothing has ended yet
        self.starved = set()  # peers that got too full for answers at some time
        for which, protocol in enumerate(protocols):
            if protocol is not None:
                self.connect_one(which, protocol)

    # ------------------------------------------------------------ what may be said

    def invoked(self, program, call):
        made = self.made[call.name]
        assert made.invoked is None, 'it ran twice'
        assert made.caller is not program
        if made.outcome is not None:
            # v1 has no cancellation, and one of v2 may have been lost on the way
            assert not not_sent(made.outcome), 'it ran, after all'
        made.invoked = call
        self.jobs.append((program, call))

    def aborted(self, program, call):
        assert (program, call) in self.jobs
        self.jobs.remove((program, call))

    def ended(self, program, event):
        made = self.made[event[1].name]
        assert made.caller is program
        assert made.outcome is None, 'it ended twice'
        assert not made.cancelled, 'it ended after it was cancelled'
        made.outcome = event
        kind = event[0]
        if kind == ev.RESULT:
            assert made.answer == ('result', bytes(event[2]))
        elif kind == ev.ERROR:
            if refusal(event) == 'PeerLostError':  # the result did not fit the queue
                assert made.answer is not None
            elif refusal(event) is None:
                assert made.answer == ('error', bytes(event[2]))
        elif isinstance(event[2], TimeoutError):
            assert made.deadline <= self.clock.now
        else:
            assert isinstance(event[2], (NotSentError, PeerLostError))
        if not_sent(event):
            assert made.invoked is None, 'it did run'

    # ------------------------------------------------------------ calls

    def make(self, program, peer, timeout, size):
        name = f'call-{len(self.made)}'
        body = ARGS if not size else b'\x92' + b'x' * size
        deadline = None if timeout is None else self.clock.now + timeout
        # known before it is made: what comes of it may come at once
        made = self.made[name] = Made(program, None, deadline)
        try:
            made.handle = program.call(name, peer=peer, timeout=timeout, body=body)
        except (NotSentError, MessageTooLargeError, LocalProtocolError) as error:
            handle = Handle(0, name)
            made.outcome = (ev.FAILED, handle, error)

    timeouts = st.sampled_from([None, None, 0.5, 3])
    sizes = st.sampled_from([0, 0, 0, 0, 0, 800, 800, 2999, 4000])
    ways = st.sampled_from(['stays', 'leaves', 'arrives'])

    @rule(which=st.integers(0, 1), timeout=timeouts, size=sizes, way=ways)
    def call_up(self, which, timeout, size, way):
        self.make(self.clients[which], None, timeout, size)
        self.go(self.clients[which], way)

    @precondition(lambda self: self.server_peers())
    @rule(data=st.data(), timeout=timeouts, size=sizes, way=ways)
    def call_down(self, data, timeout, size, way):
        peer = data.draw(st.sampled_from(self.server_peers()), 'peer')
        self.make(self.server, peer, timeout, size)
        self.go(self.server, way)

    def go(self, program, way):
        if way == 'leaves':
            program.flush()
        elif way == 'arrives':
            self.settle()

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), error=st.booleans(), size=sizes, way=ways)
    def answer(self, data, error, size, way):
        job = data.draw(st.sampled_from(self.jobs), 'job')
        self.give(job, error, min(size, 2900))
        self.go(job[0], way)

    def give(self, job, error, size):
        program, call = job
        self.jobs.remove(job)
        made = self.made[call.name]
        if call.peer.queued + size >= LIMITS.max_queue:
            self.starved.add(call.peer)
        body = call.name.encode() + b'x' * size
        if error:
            made.answer = ('error', body)
            program.core.reply_error(call, body)
        else:
            made.answer = ('result', body)
            program.core.reply(call, body)
        assert call.done

    @precondition(lambda self: self.live())
    @rule(data=st.data())
    def cancel(self, data):
        made = self.made[data.draw(st.sampled_from(self.live()), 'call')]
        made.cancelled = True
        made.caller.cancel(made.handle)

    # ------------------------------------------------------------ connections

    @rule(which=st.integers(0, 1), protocol=st.sampled_from([2, 2, 2, 1]))
    def connect(self, which, protocol):
        if not self.clients[which].core.peers:
            self.connect_one(which, protocol)

    def connect_one(self, which, protocol):
        pair = Wire(self.clients[which], self.server, protocol=protocol)
        self.wires.append(pair.connect())
        self.cuts[pair] = set()

    @precondition(lambda self: self.wires)
    @rule(data=st.data(), how=st.sampled_from(['both', 'client', 'server']))
    def cut(self, data, how):
        """Both notice, or one does and the other goes on for a while."""
        pair = data.draw(st.sampled_from(self.wires[-3:]), 'connection')
        if how != 'server':
            self.cut_client(pair)
        if how != 'client':
            self.cut_server(pair)

    def cut_client(self, pair):
        self.cuts[pair].add('client')
        pair.lose_client()
        pair.down.queue.clear()

    def cut_server(self, pair):
        self.cuts[pair].add('server')
        pair.lose_server()
        pair.up.queue.clear()

    @precondition(lambda self: self.wires)
    @rule(data=st.data(), room=st.integers(0, 2), up=st.booleans())
    def fill(self, data, room, up):
        pair = data.draw(st.sampled_from(self.wires[-3:]), 'connection')
        (pair.up if up else pair.down).room = room

    @precondition(lambda self: self.wires)
    @rule(data=st.data())
    def unblock(self, data):
        data.draw(st.sampled_from(self.wires[-3:]), 'connection').unblock()

    # ------------------------------------------------------------ traffic

    @rule(which=st.integers(0, 2))
    def flush(self, which):
        self.programs[which].flush()

    @precondition(lambda self: self.wires)
    @rule(data=st.data(), up=st.booleans(), count=st.integers(1, 3))
    def deliver(self, data, up, count):
        pair = data.draw(st.sampled_from(self.wires[-3:]), 'connection')
        for _ in range(count):
            self.deliver_one(pair, up)

    def deliver_one(self, pair, up):
        if up and pair.up.queue:
            # to a connection that the server knows to be gone, nothing is delivered
            if 'server' in self.cuts[pair]:
                pair.up.queue.clear()
            else:
                pair.deliver_up()
        elif not up and pair.down.queue:
            if 'client' in self.cuts[pair]:
                pair.down.queue.clear()
            else:
                pair.deliver_down()

    @rule()
    def settle(self):
        """Everything that can move does."""
        moved = True
        while moved:
            moved = sum(program.flush() for program in self.programs)
            for pair in self.wires:
                while pair.up.queue or pair.down.queue:
                    self.deliver_one(pair, up=bool(pair.up.queue))
                    moved += 1

    @rule(seconds=st.sampled_from([0.0004, 0.3, 1, 4]), expire=st.booleans())
    def tick(self, seconds, expire):
        self.clock.now += seconds
        if expire:
            self.expire()

    @rule()
    def expire(self):
        for program in self.programs:
            program.expire()

    # ------------------------------------------------------------ the rare ones

    @precondition(lambda self: self.server_peers())
    @rule(data=st.data())
    def ping(self, data):
        peer = data.draw(st.sampled_from(self.server_peers()), 'peer')
        self.server.core.ping(peer)
        for client in self.clients:
            for peer in client.core.peers.values():
                client.core.ping(peer)

    @precondition(lambda self: len(self.made) > 15)
    @rule(which=st.integers(0, 2))
    def drain(self, which):
        self.programs[which].core.drain('it is stopping')

    @precondition(lambda self: self.server.core.pending and self.wires)
    @rule(data=st.data(), kind=st.sampled_from([wire.RESULT, wire.ERROR]))
    def forge(self, data, kind):
        """A client answers what another was called for."""
        pair = data.draw(st.sampled_from(self.wires[-3:]), 'connection')
        if 'server' in self.cuts[pair]:
            return
        known = self.server.core.peers.get(pair.key)
        for call_id, entry in list(self.server.core.pending.items()):
            if entry[2] is not known:
                pair.inject_up([msgpack.packb([[kind, call_id, 0, b'forged']])])

    @precondition(lambda self: self.wires)
    @rule(data=st.data(), payload=st.sampled_from(RUBBISH), up=st.booleans())
    def rubbish(self, data, payload, up):
        pair = data.draw(st.sampled_from(self.wires[-3:]), 'connection')
        if up and 'server' not in self.cuts[pair]:
            peer = self.server.core.peers.get(pair.key)
            known = peer is not None and not peer.probed  # it may yet speak either
            if (
                known
                or SPEAKS.get(RUBBISH.index(payload), pair.protocol) == pair.protocol
            ):
                pair.inject_up(payload)
        elif not up and 'client' not in self.cuts[pair]:
            pair.inject_down(payload)

    # ------------------------------------------------------------ what holds

    def server_peers(self):
        return [p for p in self.server.core.peers.values() if p.ready]

    def live(self):
        """Names of calls that have not ended."""
        return [n for n, m in self.made.items() if not m.outcome and not m.cancelled]

    def peers_of(self, program):
        if program is self.server:
            return [peer for pair in self.wires for peer in pair.met]
        return [pair.to_server for pair in self.wires if pair.client is program]

    @invariant()
    def books_balance(self):
        for program in self.programs:
            peers = self.peers_of(program)
            invariants(program, peers)
            for peer in peers:
                assert len(peer.inbound) <= LIMITS.max_calls_per_peer
                assert peer.in_flight <= LIMITS.max_calls_per_peer
                # what is told unasked, and what weighs a little more than was reckoned
                assert peer.queued < 2 * LIMITS.max_queue + 5000
                if peer.queued >= LIMITS.max_queue:
                    self.starved.add(peer)
            assert program.core.running <= LIMITS.max_calls
            assert len(program.core.pending) <= LIMITS.max_calls
            assert len(program.core.peers) <= LIMITS.max_peers

    @invariant()
    def pending_is_what_has_not_ended(self):
        pending = {
            entry[3]
            for program in self.programs
            for entry in program.core.pending.values()
        }
        assert pending == set(self.live())
        running = {id(call) for program, call in self.jobs}
        inbound = {
            id(call)
            for program in self.programs
            for peer in self.peers_of(program)
            for call in peer.inbound.values()
        }
        assert running == inbound

    @invariant()
    def nothing_is_due_unseen(self):
        """Whoever comes back at `due` misses nothing, but for the pause after a scan."""
        for program in self.programs:
            deadlines = [entry[1] for entry in program.core.pending.values()]
            deadlines += [call.deadline for p, call in self.jobs if p is program]
            for deadline in deadlines:
                assert deadline is None or program.core.due <= deadline + 0.01

    def teardown(self):
        if not hasattr(self, 'programs'):
            return
        # The world heals: whoever waits for an answer gets one.
        for _ in range(3):
            for pair in self.wires:
                if self.cuts[pair]:
                    self.cut_client(pair)
                    self.cut_server(pair)
                pair.unblock()
            self.settle()
            for job in list(self.jobs):
                self.give(job, error=False, size=0)
        self.settle()
        for program in self.programs:
            for call_id, entry in program.core.pending.items():
                # other than when nobody was there, or took the answer
                assert call_id in program.core.waiting.calls or self.excused(entry)
        for program in self.programs:
            program.handle(program.core.fail_all('the end'))
        assert self.live() == []
        assert self.jobs == []
        for program in self.programs:
            quiescent(program, self.peers_of(program))
            for error in program.errors:
                assert isinstance(error, PseudError)
            for handle in program.outcomes:
                program.outcome(handle)

    def excused(self, entry):
        """Its answer may have been dropped, for a queue that was too full."""
        pair = next(
            pair for pair in self.wires if entry[2] in (pair.to_server, *pair.met)
        )
        return any(peer in self.starved for peer in (pair.to_server, *pair.met))


def refusal(event):
    """The class of an error that the core sent by itself; None for a function's."""
    try:
        fields = msgpack.unpackb(event[2])
    except ValueError:
        return None
    if event[4] == 2:
        return fields['type'].removeprefix('pseud.')
    return fields[0]


def not_sent(event):
    """Whether this outcome says that the function certainly did not run."""
    if event[0] == ev.ERROR:
        name = refusal(event)
        return name in ('NotSentError', 'OverloadedError', 'MessageTooLargeError')
    if event[0] == ev.FAILED:
        never = (NotSentError, MessageTooLargeError, UnauthorizedError)
        return isinstance(event[2], (*never, LocalProtocolError))
    return False


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=200,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
