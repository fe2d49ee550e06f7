"""One connection through a relay: two sockets, and what is on its way between them.

Everything here runs in the relay's thread; nothing waits.
"""

import _socket
import contextlib
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any

from .loop import IN, OUT

__all__ = ['CLIENT', 'SERVER', 'Conditions', 'Corruption', 'Wire', 'close']

# Ends of a connection, and directions: towards that end.
CLIENT, SERVER = 'client', 'server'
OTHER = {CLIENT: SERVER, SERVER: CLIENT}

# Bytes that are taken at once, and that are on their way in one direction at most.
PIECE = 1 << 16
HELD = 1 << 20
# A throttled connection passes so many seconds' worth of bytes at once.
TICK = 0.02

# SO_LINGER that makes close() reset the connection
RESET = struct.pack('ii', 1, 0)


@dataclass(slots=True)
class Corruption:
    """An order to change bytes: towards which end, or None; how often; at which place."""

    towards: str | None
    count: int
    at: int | None


@dataclass(slots=True)
class Conditions:
    """What a relay does to its connections now."""

    frozen: bool = False
    delay: float = 0.0
    rate: float | None = None
    corruptions: list[Corruption] = field(default_factory=list)
    passed: int = 0

    def heal(self) -> None:
        self.frozen = False
        self.delay = 0.0
        self.rate = None
        self.corruptions.clear()

    def corrupt(self, piece: memoryview, towards: str) -> memoryview:
        """What becomes of bytes that are about to pass."""
        for order in self.corruptions:
            if order.towards in (None, towards):
                changed = bytearray(piece)
                at = len(piece) // 2 if order.at is None else order.at
                changed[min(at, len(piece) - 1)] ^= 0xFF
                order.count -= 1
                if not order.count:
                    self.corruptions.remove(order)
                return memoryview(changed)
        return piece


class _Reset(Exception):
    """The connection was reset, and so must be its other half."""


class _Flow:
    """One direction of a connection.

    Attributes:
        held: ``(when it arrived, bytes)``; empty bytes are the end, None is a reset.
        size: of what is held.
        reading: more may come.
        blocked: the sink takes no more for now.
        lost: the sink takes no more for ever: what comes is thrown away.
        ended: it came to its end, which was passed on.
    """

    __slots__ = (
        'blocked',
        'conditions',
        'ended',
        'held',
        'lost',
        'paced',
        'reading',
        'sink',
        'size',
        'source',
        'towards',
    )

    def __init__(
        self, conditions: Conditions, towards: str, ends: dict[str, _socket.socket]
    ) -> None:
        self.conditions = conditions
        self.towards = towards
        self.source, self.sink = ends[OTHER[towards]], ends[towards]
        self.held: deque[tuple[float, memoryview | None]] = deque()
        self.size = 0
        self.paced = 0.0
        self.reading = True
        self.blocked = self.lost = self.ended = False

    @property
    def wants(self) -> bool:
        return self.reading and self.size < HELD

    def read(self, now: float) -> None:
        data: bytes | None
        try:
            data = self.source.recv(PIECE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = None
        self.held.append((now, data if data is None else memoryview(data)))
        if data:
            self.size += len(data)
        else:
            self.reading = False

    def pass_on(self, now: float) -> float:
        """Send what is due; returns when more is, ``inf`` if that is not known.

        Raises:
            _Reset: that came to the sink.
        """
        conditions = self.conditions
        while self.held and not self.blocked:
            arrived, data = self.held[0]
            due = arrived + conditions.delay
            if conditions.rate is not None:
                due = max(due, self.paced)
            if due > now and not self.lost:
                return due
            if data is None:
                raise _Reset
            if not data:
                self.end()
            elif self.lost:
                self.took(len(data), data)
            else:
                self.send(data, arrived, now)
        return inf

    def send(self, data: memoryview, arrived: float, now: float) -> None:
        conditions = self.conditions
        piece = data
        if conditions.rate is not None:
            piece = data[: max(1, int(conditions.rate * TICK))]
        if conditions.corruptions:
            changed = conditions.corrupt(piece, self.towards)
            if changed is not piece:
                # whole, as perhaps not all of it can be sent at once
                data = memoryview(bytes(changed) + data[len(piece) :])
                self.held[0] = (arrived, data)
                piece = data[: len(piece)]
        try:
            sent = self.sink.send(piece)
        except (BlockingIOError, InterruptedError):
            self.blocked = True
            return
        except OSError:
            self.lost = True  # how it ended is told by the other flow
            return
        conditions.passed += sent
        if conditions.rate is not None:
            self.paced = max(now, self.paced) + sent / conditions.rate
        self.took(sent, data)

    def took(self, count: int, data: memoryview) -> None:
        """The first bytes of what is held are gone."""
        self.size -= count
        arrived, _ = self.held.popleft()
        if count < len(data):
            self.held.appendleft((arrived, data[count:]))

    def end(self) -> None:
        self.held.clear()
        self.size = 0
        self.ended = True
        if not self.lost:
            try:
                self.sink.shutdown(_socket.SHUT_WR)
            except OSError:
                self.lost = True


class Wire:
    """One connection through a relay.

    Args:
        conditions: what happens to it.
        client, server: the sockets; the latter is connecting.
        watch: of the relay's `Loop`.

    Attributes:
        due: when `go_on` must be called.
    """

    def __init__(
        self,
        conditions: Conditions,
        client: _socket.socket,
        server: _socket.socket,
        watch: Callable[[int, int | None, Callable[[int], Any]], Any],
    ) -> None:
        self.conditions = conditions
        self.ends = {CLIENT: client, SERVER: server}
        self.flows = {
            end: _Flow(conditions, end, self.ends) for end in (CLIENT, SERVER)
        }
        self.watch = watch
        self.watched: dict[str, int | None] = {CLIENT: None, SERVER: None}
        self.connecting = self.flows[SERVER].blocked = True
        self.closed = False
        self.due = 0.0

    def happened(self, end: str, events: int) -> None:
        """Something that was waited for."""
        now = time.monotonic()
        wanted = self.watched[end] or 0
        # what is neither is an error, which reading or writing will tell
        if wanted & OUT and events & ~IN:
            self.flows[end].blocked = False
            if end == SERVER:
                self.connecting = False
        if wanted & IN and events & ~OUT:
            self.flows[OTHER[end]].read(now)
        if not wanted:
            self.flows[end].lost = True
        self.go_on(now)

    def go_on(self, now: float) -> None:
        """Pass on what may pass, and look out for what may come."""
        if self.closed:
            return
        self.due = inf
        if self.conditions.frozen:
            self._watch(CLIENT, None)
            self._watch(SERVER, None)
            return
        try:
            self.due = min(flow.pass_on(now) for flow in self.flows.values())
        except _Reset:
            self.close(reset=True)
            return
        over = [flow.ended for flow in self.flows.values()]
        lost = [flow.lost for flow in self.flows.values()]
        if all(over) or (any(over) and any(lost) and not self.half_open):
            self.close(reset=False)
        else:
            for end in self.ends:
                self._watch(end, self._wanted(end))

    def _wanted(self, end: str) -> int | None:
        incoming, outgoing = self.flows[OTHER[end]], self.flows[end]
        events = outgoing.blocked * OUT
        if incoming.wants and not (self.connecting and end == SERVER):
            events |= IN
        if events or not (incoming.reading or outgoing.ended or outgoing.lost):
            return events  # without any, errors: all that may still come from there
        return None

    @property
    def half_open(self) -> bool:
        return any(end.fileno() < 0 for end in self.ends.values())

    def _watch(self, end: str, events: int | None) -> None:
        if self.watched[end] != events:
            self.watched[end] = events
            self.watch(self.ends[end].fileno(), events, partial(self.happened, end))

    def lose(self, end: str) -> None:
        """End one side, and tell the other nothing."""
        if self.closed or self.half_open:
            return
        self._watch(end, None)
        close(self.ends[end], reset=True)
        self.connecting = False
        outgoing, incoming = self.flows[end], self.flows[OTHER[end]]
        outgoing.lost, outgoing.blocked = True, False
        incoming.held.clear()
        incoming.reading = incoming.blocked = False
        incoming.size = 0
        incoming.ended = True

    def close(self, *, reset: bool) -> None:
        """End both sides, by a reset or in order."""
        if self.closed:
            return
        self.closed = True
        self.due = inf
        for end, socket in self.ends.items():
            self._watch(end, None)
            close(socket, reset=reset)


def close(socket: _socket.socket, *, reset: bool) -> None:
    """Close a socket, in order or so that its connection is reset."""
    if reset and socket.fileno() >= 0:
        with contextlib.suppress(OSError):  # a unix socket, perhaps
            socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, RESET)
    socket.close()
