"""Two cores wired together: no sockets, no threads, and a clock that tests turn.

A `Program` stands for what the engine does around one endpoint, a `Wire` for one ØMQ
connection between two of them: it keeps order within a direction, may delay one
direction against the other, has pipes that fill up, and can be cut.
"""

from collections import deque

import msgpack

from pseud._core import events as ev
from pseud._core import wire
from pseud._core.endpoint import Endpoint
from pseud._core.peer import Peer
from pseud.errors import NotSentError

ARGS = msgpack.packb(((), {}))

KINDS = {getattr(ev, name): name for name in ev.__all__ if name != 'Event'}


class Clock:
    """The time, for all programs of a test; it stands still unless told."""

    def __init__(self, now=1000.0):
        self.now = now


class Program:
    """One endpoint and everything that its core ever said.

    Attributes:
        events: all of them, in order.
        outcomes: what ended each call that we made, by its handle.
        calls: inbound calls, in order of arrival.
        aborted: those of them that we were told to stop.
        errors: what violations were reported.
    """

    def __init__(self, clock=None, **how):
        self.clock = clock or Clock()
        self.core = Endpoint(**how)
        self.events = []
        self.outcomes = {}
        self.calls = []
        self.aborted = []
        self.errors = []
        self._handles = 0

    def handle(self, events):
        """Record what the core says, as the engine would act on it."""
        for event in events:
            kind = event[0]
            self.events.append(event)
            if kind in (ev.RESULT, ev.ERROR, ev.FAILED):
                self.outcomes.setdefault(event[1], []).append(event)
            elif kind == ev.INVOKE:
                self.calls.append(event[1])
            elif kind == ev.ABORT:
                self.aborted.append(event[1])
            elif kind == ev.VIOLATION:
                self.errors.append(event[2])
            if kind in (ev.READY, ev.LOST, ev.AWAY):
                self.handle(self.core.send_waiting(self.clock.now))
            elif kind == ev.REFUSED:  # as if there were no other server
                self.core.refusal = NotSentError(event[2])
                self.handle(self.core.fail_waiting(self.core.refusal))
        return events

    @property
    def kinds(self):
        """Names of the events so far, for a test to compare."""
        return [KINDS[event[0]] for event in self.events]

    def call(
        self, name='f', *, peer=None, timeout=None, body=ARGS, buffers=(), route=None
    ):
        """Make a call; returns its handle, which `cancel` takes and outcomes bear."""
        self._handles += 1
        handle = Handle(self._handles, name)
        handle.id = self.core.call(
            peer, name, body, buffers, timeout, self.clock.now, handle, route
        )
        return handle

    def cancel(self, handle):
        self.core.cancel(handle.id)

    def outcome(self, handle):
        """The one thing that ended this call; fails when it was none or several."""
        (event,) = self.outcomes[handle]
        return event

    def result(self, handle):
        """The body that this call returned."""
        kind, _, body, *_ = self.outcome(handle)
        assert kind == ev.RESULT, KINDS[kind]
        return bytes(body)

    def error(self, handle):
        """The fields of the ERROR that answered this call."""
        kind, _, body, *_ = self.outcome(handle)
        assert kind == ev.ERROR, KINDS[kind]
        return msgpack.unpackb(body)

    def failure(self, handle):
        """The exception that ended this call without an answer."""
        kind, _, error = self.outcome(handle)
        assert kind == ev.FAILED, KINDS[kind]
        return error

    def expire(self):
        return self.handle(self.core.expire(self.clock.now))

    def flush(self):
        """Send what is queued, as far as the pipes take it; how many messages went."""
        count = 0
        while self.core.dirty:
            dirty, self.core.dirty = self.core.dirty, []
            for peer in dirty:
                peer.dirty = False
                if not peer.blocked:
                    count += self.send(peer)
        return count

    def send(self, peer):
        count = 0

        def send(peer, payload):
            nonlocal count
            if not peer.link.send(payload):
                return False
            count += 1
            return True

        self.core.transmit(peer, self.clock.now, send)
        return count

    def retry(self, peer):
        """The pipe to this peer may have room now."""
        return self.send(peer) if peer.blocked and not peer.gone else 0


class Handle:
    """Stands for a future."""

    __slots__ = ('id', 'name', 'number')

    def __init__(self, number, name):
        self.number = number
        self.name = name
        self.id = None

    def __repr__(self):
        return f'<{self.name} #{self.number}>'


class Pipe:
    """One direction of a connection."""

    def __init__(self):
        self.queue = deque()
        self.sent = []  # all that ever went through, for tests to look at
        self.room = None  # messages it still takes; None is no limit

    def send(self, payload):
        if self.room == 0:
            return False
        if self.room is not None:
            self.room -= 1
        # As the pump reads them: the head as bytes, the rest as views of frames.
        frames = [bytes(payload[0]), *(memoryview(bytes(f)) for f in payload[1:])]
        assert len(payload) == len(frames)
        self.queue.append(frames)
        self.sent.append(frames)
        return True

    def block(self):
        self.room = 0

    @property
    def messages(self):
        """Every v2 message that went through, decoded."""
        return [message for head, *_ in self.sent for message in wire.decode(head)]

    @property
    def types(self):
        return [message[0] for message in self.messages]


class Wire:
    """A connection between a client and a server.

    Attributes:
        up, down: the pipes, client to server and back.
        to_server: the client's `Peer`; ``to_client`` the server's, once it exists.
        met: all that were ``to_client``; a server keeps no peer that it has no room for.
    """

    serial = 0

    def __init__(self, client=None, server=None, *, clock=None, protocol=2):
        known = client or server
        self.clock = known.clock if known else clock or Clock()
        self.client = client or Program(self.clock, server=False)
        self.server = server or Program(self.clock, server=True)
        self.protocol = protocol
        self.to_server = self.to_client = None
        self.met = []
        self.up, self.down = Pipe(), Pipe()

    # ------------------------------------------------------------------ its life

    def connect(self):
        """The handshake of the transport is done; nothing has been sent yet."""
        Wire.serial += 1
        self.key = b'client-%d' % Wire.serial
        self.up, self.down = Pipe(), Pipe()
        self.to_client = None
        self.met = []
        self.to_server = Peer(
            f'server-{Wire.serial}',
            self.client.core.limits,
            label='the server',
            link=self.up,
            protocol=self.protocol,
        )
        self.client.handle(self.client.core.connected(self.to_server, self.clock.now))
        return self

    def start(self):
        """Connect, and let both sides say hello."""
        self.connect()
        self.run()
        return self

    def drop(self, reason='cut'):
        """Cut the connection; what was on the way is gone, both sides notice."""
        self.up.queue.clear()
        self.down.queue.clear()
        self.lose_client(reason)
        self.lose_server(reason)

    def lose_client(self, reason='cut'):
        """The client notices that the connection is gone."""
        if self.to_server is not None:
            self.client.handle(self.client.core.lost(self.to_server, reason))

    def lose_server(self, reason='cut'):
        """The server notices that the connection is gone."""
        for peer in self.met:
            self.server.handle(self.server.core.lost(peer, reason))

    # ------------------------------------------------------------------ traffic

    def deliver_up(self):
        """One ØMQ message arrives at the server; its events."""
        payload = self.up.queue.popleft()
        return self.inject_up(payload)

    def deliver_down(self):
        """One ØMQ message arrives at the client; its events."""
        payload = self.down.queue.popleft()
        return self.inject_down(payload)

    def inject_up(self, payload):
        """The server reads this from the client, whoever made it."""
        server = self.server
        peer = server.core.peers.get(self.key)
        if peer is None:  # one that it does not know, or does not keep
            peer = Peer(
                self.key,
                server.core.limits,
                label=self.key.decode(),
                link=self.down,
            )
            self.to_client = peer
            self.met.append(peer)
        return server.handle(server.core.receive(peer, payload, self.clock.now))

    def inject_down(self, payload):
        """The client reads this from the server, whoever made it."""
        client = self.client
        events = client.core.receive(self.to_server, payload, self.clock.now)
        return client.handle(events)

    def run(self):
        """Send and deliver until nothing moves any more."""
        moved = True
        while moved:
            moved = self.client.flush() + self.server.flush()
            while self.up.queue:
                self.deliver_up()
                moved += 1
            while self.down.queue:
                self.deliver_down()
                moved += 1

    def unblock(self):
        """Both pipes have room again; what waited leaves."""
        self.up.room = self.down.room = None
        self.client.retry(self.to_server)
        for peer in self.met:
            self.server.retry(peer)

    def pass_time(self, seconds):
        """Turn the clock and let both sides look at it."""
        self.clock.now += seconds
        self.client.expire()
        self.server.expire()


def invariants(program, peers):
    """What holds for a core at any time; ``peers`` are all that it ever had."""
    core = program.core
    assert core.running == sum(len(peer.inbound) for peer in peers)
    for peer in peers:
        mine = [entry for entry in core.pending.values() if entry[2] is peer]
        assert peer.in_flight == len(mine)
        assert not (peer.gone and (mine or peer.inbound or peer.outbox))
        assert peer.queued >= 0
        assert bool(peer.queued) == bool(peer.outbox)
        assert sum(m[2] for m in peer.outbox if len(m) > 2) == (
            len(peer.outbox_buffers) if peer.protocol == 2 else 0
        )
        for call_id, call in peer.inbound.items():
            assert call.id == call_id
            assert call.peer is peer
            assert not call.done
        assert peer.large == sum(call.large for call in peer.inbound.values())
    waiting = {i for i, entry in core.pending.items() if entry[2] is None}
    assert waiting == set(core.waiting.calls)
    assert core.waiting.size == sum(entry[3] for entry in core.waiting.calls.values())
    assert core.stuck == sum(peer.queued for peer in peers if peer.blocked)
    assert core.large == sum(peer.large for peer in peers)


def quiescent(program, peers):
    """Nothing is under way any more: then nothing may be left."""
    core = program.core
    invariants(program, peers)
    assert core.pending == {}
    assert core.running == 0
    assert core.waiting.calls == {}
    assert core.waiting.size == core.stuck == 0
    assert core.idle
    for peer in peers:
        assert peer.in_flight == peer.queued == 0
        assert peer.inbound == {}
        assert peer.outbox == peer.outbox_buffers == []
