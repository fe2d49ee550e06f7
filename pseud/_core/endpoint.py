"""All calls of one client or server, both ways, with all its peers: the protocol itself.

The engine feeds it (`Endpoint.receive`, `call`, `reply`, `connected`, `lost`), asks what
to send (`dirty`, `take`, `sent`) and when to come back (`due`, `expire`).  What happened
comes back as events (see `events`).  Futures, sockets and clocks stay outside.
"""

from collections.abc import Hashable, Sequence
from copy import copy
from math import inf
from typing import Any

from ..errors import (
    NotSentError,
    NotSentTimeoutError,
    OverloadedError,
    PseudError,
)
from . import outcomes, wire
from .answers import fail, reply, reply_error
from .events import ABORT, FAILED, LOST, Event
from .expire import expire
from .limits import Limits
from .login import admit, refuse, release
from .outbox import (
    OVERHEAD,
    clear,
    enqueue,
    enqueue_body,
    has_room,
    has_room_for,
    sent,
    size_of,
    take,
    transmit,
    unsent,
)
from .peer import InboundCall, Peer
from .presence import part_from, tell
from .receive import receive, receive_messages
from .route import Route
from .waiting import Waiting, choose, fail_waiting, send_waiting, withdraw
from .wire import Buffer, Message

__all__ = ['Endpoint']

# A timeout beyond this many seconds travels as none at all: it has to fit an integer.
_DECADES = 1e9

# handle, deadline, peer (None while it waits for a connection), name, timeout, and
# whether it is for this very peer, so that no other may take it
Pending = tuple[Any, float | None, Peer | None, str, float | None, bool]


class Endpoint:
    """The protocol of one client or one server.

    Args:
        server: which side; it decides about call ids (clients odd, servers even).
        name: of the service; a server rejects those who look for another.
        limits: see `Limits`.
        uid_prefix: 8 random bytes, the start of our uids in v1.
        lockstep: we speak only in turns (a REQ socket); peers are told.
        credentials: user id and password to log in with, if the server wants that.
        challenges: clients have to log in (see `login`).
        agent: software and version, told in HELLO.
        make_call: makes the `InboundCall` of a peer's call; a subclass can carry more.
    """

    def __init__(
        self,
        *,
        server: bool,
        name: str = '',
        limits: Limits | None = None,
        uid_prefix: bytes = b'\0' * 8,
        lockstep: bool = False,
        credentials: tuple[str, str] | None = None,
        challenges: bool = False,
        agent: str = '',
        make_call: type[InboundCall] = InboundCall,
    ) -> None:
        self.server = server
        self.name = name
        self.limits = limits or Limits()
        self.uid_prefix = uid_prefix
        self.lockstep = lockstep
        self.credentials = credentials
        self.challenges = challenges
        self.agent = agent
        self.make_call = make_call
        self.peers: dict[Hashable, Peer] = {}
        self.pending: dict[int, Pending] = {}
        self.running = 0  # inbound calls of all peers
        self.large = 0  # bytes of the large ones among them
        self.dirty: list[Peer] = []
        self.full = False  # some outbox holds a batch: better sent now than later
        self.held_bytes = 0  # of all peers that log in
        self.due = inf
        self.late = 0  # answers that nobody waited for any more
        self.draining: str | None = None
        self.waits_for = 'a server'  # for messages: what calls wait to connect to
        self.waiting = Waiting()
        self.stuck = 0  # bytes that wait for peers which do not read
        self.refusal: PseudError | None = None  # why no server lets us in
        self._next_id = 2 if server else 1

    receive = receive
    receive_messages = receive_messages
    reply = reply
    reply_error = reply_error
    fail = fail
    admit = admit
    refuse = refuse
    expire = expire
    take = take
    sent = sent
    transmit = transmit
    has_room = has_room
    has_room_for = has_room_for
    clear = clear
    send_waiting = send_waiting
    fail_waiting = fail_waiting

    # ------------------------------------------------------------------ peers

    def hello(self) -> dict[str, Any]:
        """What HELLO and WELCOME state about this side."""
        fields: dict[str, Any] = {
            'versions': [2],
            'name': self.name,
            'agent': self.agent,
            'max_message': self.limits.max_message,
            'max_calls': self.limits.max_calls_per_peer,
        }
        if self.lockstep:
            fields['lockstep'] = True
        if self.credentials is not None:
            fields['user_id'], fields['password'] = self.credentials
        return fields

    def connected(self, peer: Peer, now: float) -> list[Event]:
        """A connection is up: say hello and send what has waited for one."""
        self.peers[peer.key] = peer
        peer.heard = now
        peer.ready = True
        if peer.protocol == 2 and not self.server:
            enqueue(self, peer, (wire.HELLO, 0, 0, self.hello()), 256)
            if not self.lockstep:
                peer.closed = True  # until it has said WELCOME, and what it takes
                return []
        elif self.credentials is not None:
            uid = self.uid_prefix + bytes(8)
            enqueue(self, peer, (wire.HELLO, uid, 0, self.credentials), 256)
        return self.send_waiting(now)

    def lost(
        self, peer: Peer, reason: str, error: PseudError | None = None
    ) -> list[Event]:
        """The connection is gone: end its calls, both ways, with what is certain.

        Those that have not left and may go to another peer wait for one: `send_waiting`.

        Args:
            error: what is certain about all calls made to it, if anything.
        """
        if peer.gone:
            return []
        peer.gone = peer.closed = True
        peer.ready = False
        if self.peers.get(peer.key) is peer:
            del self.peers[peer.key]
        withdraw(self, peer)
        waited = unsent(peer)
        events: list[Event] = [(LOST, peer, reason)]
        ended = []
        if peer.in_flight:  # thousands may be lost at once that had nothing to lose
            ended = [item for item in self.pending.items() if item[1][2] is peer]
        for call_id, (handle, _, _, name, _, _) in ended:
            del self.pending[call_id]
            outcome = outcomes.lost_unsent if call_id in waited else outcomes.lost
            why = outcome(name, peer, reason) if error is None else copy(error)
            events.append((FAILED, handle, why))
        for call in list(peer.inbound.values()):
            self.forget(call)
            events.append((ABORT, call, f'its caller was lost: {reason}'))
        release(self, peer)
        clear(self, peer)
        peer.in_flight = 0
        return events

    def drain(self, reason: str) -> None:
        """Take no new calls from now on, and tell the peers.

        What a peer has sent before it knows is run, all the same.
        """
        if self.draining is None:
            self.draining = reason
            for peer in self.peers.values():
                part_from(self, peer)

    @property
    def idle(self) -> bool:
        """Nothing runs here and nothing waits to be sent."""
        return not self.running and not any(p.outbox for p in self.peers.values())

    @property
    def parting(self) -> bool:
        """While draining: some peers have not said yet that they know."""
        return any(peer.parting for peer in self.peers.values())

    # ------------------------------------------------------------------ our calls

    def call(
        self,
        peer: Peer | None,
        name: str,
        body: Buffer,
        buffers: Sequence[Buffer],
        timeout: float | None,
        now: float,
        handle: Any,
        route: Route | None = None,
    ) -> int:
        """Make a call.

        Args:
            peer: whom to; None takes the connected peer with the fewest calls in
                flight, or waits for one to connect.
            name: dotted name of the function.
            body: packed arguments; ``buffers`` what they refer to, out of band.
            timeout: seconds from now; None waits for ever.
            now: the time.
            handle: comes back in the event that ends this call.
            route: for a call that is passed on, or goes back to who had one passed on.

        Returns:
            The id, for `cancel`.

        Raises:
            NotSentError, MessageTooLargeError, LocalProtocolError: it was not made.
        """
        if timeout is not None and timeout <= 0:
            raise NotSentTimeoutError(
                f'{name}() was not sent: its deadline has passed already; it did not run'
            )
        if len(self.pending) >= self.limits.max_calls:
            raise OverloadedError(
                f'{name}() was not sent: {len(self.pending)} calls are under way, '
                'the limit; Limits(max_calls=...) raises it'
            )
        size = size_of(body, buffers) if buffers else len(body)
        fixed = peer is not None
        if peer is None:
            peer = choose(self)
        if peer is not None:
            if not self.takes(peer, size):
                raise outcomes.refused(peer, name, size)
        elif self.refusal is not None:
            raise outcomes.not_sent(name, self.refusal)
        else:
            self.waiting.check(self, name, size)
        call_id = self._next_id
        self._next_id = call_id + 2
        if timeout is None:
            deadline = None
        else:
            deadline = now + timeout
            if deadline < self.due:
                self.due = deadline
        self.pending[call_id] = (handle, deadline, peer, name, timeout, fixed)
        if peer is None:
            self.waiting.add(call_id, name, body, buffers, size, route)
        else:
            peer.in_flight += 1
            if size < wire.LARGE and not buffers:
                if timeout is None or timeout > _DECADES:
                    ms = None
                else:
                    ms = int(timeout * 1000) + 1
                size += len(name)
                call: Message = (wire.CALL, call_id, 0, body, name, ms)
                if route is not None:
                    size += route.size
                    call = (*call, route)
                enqueue(self, peer, call, size)
            else:
                self.send_call(peer, call_id, name, body, buffers, timeout, route)
        return call_id

    def takes(self, peer: Peer, size: int) -> bool:
        """Whether a call of so many bytes can be made to a peer."""
        return not (
            peer.closed
            or peer.in_flight >= peer.max_calls
            or size > peer.max_message
            or not has_room_for(self, peer, size)
        )

    def why_waiting(self) -> str:
        """Why a call that waits for a connection can not be sent."""
        for peer in self.peers.values():
            if peer.away is not None:
                return f'{peer.label} takes no new calls ({peer.away})'
        return f'not connected to {self.waits_for}'

    def send_call(
        self,
        peer: Peer,
        call_id: int,
        name: str,
        body: Buffer,
        buffers: Sequence[Buffer],
        timeout: float | None,
        route: Route | None,
    ) -> None:
        """Queue a call that is pending, of any size."""
        milliseconds = None
        if timeout is not None and timeout <= _DECADES:
            milliseconds = int(timeout * 1000) + 1
        rest = (name, milliseconds) if route is None else (name, milliseconds, route)
        enqueue_body(self, peer, wire.CALL, call_id, body, buffers, rest)

    def cancel(self, call_id: int) -> None:
        """Nobody waits for this call any more; tell the peer, so that it can stop."""
        entry = self.pending.pop(call_id, None)
        if entry is None:
            return
        peer = entry[2]
        if peer is None:
            self.waiting.remove(call_id)
            return
        peer.in_flight -= 1
        if peer.protocol == 2 and not self.lockstep:
            enqueue(self, peer, (wire.CANCEL, call_id), OVERHEAD)
            peer.stale = True

    def fail_all(self, reason: str) -> list[Event]:
        """The endpoint closes: end every call that is under way, both ways."""
        events: list[Event] = []
        for peer in list(self.peers.values()):
            events += self.lost(peer, reason)
        events += self.fail_waiting(NotSentError(reason))
        return events

    def ping(self, peer: Peer, token: int = 0) -> bool:
        """Ask for a sign of life; the answer is a BEAT event.

        To a server that speaks v1 it is a heartbeat, which has no answer.  A client that
        has not said hello is not asked: it may be a REQ socket, which we have met anew.

        Returns:
            Whether it has to answer.
        """
        known = peer.hello is not None and peer.protocol == 2
        if peer.gone or peer.lockstep or (self.server and not known):
            return False
        tell(self, peer, (wire.PING, token), 0)
        return peer.protocol == 2

    # ------------------------------------------------------------------ their calls

    def forget(self, call: InboundCall) -> None:
        """The call is over here, whatever its job still does."""
        call.done = True
        peer = call.peer
        if peer.inbound.pop(call.id, None) is not None:
            self.running -= 1
            if call.large:
                peer.large -= call.large
                self.large -= call.large
