"""A relay in front of a server, for tests: it delays, cuts, freezes and corrupts.

It has a thread of its own, and works beside any event loop.
"""

import _socket
import errno
import math
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

from .loop import IN, Loop
from .wire import CLIENT, SERVER, Conditions, Corruption, Wire, close

__all__ = ['Relay']

HOST = '127.0.0.1'
BACKLOG = 1024


class Relay:
    """A TCP relay in front of a server: connections through it fail when they are told to.

    Clients connect to `endpoint` in place of the server's address.  Each connection to it
    becomes one to the server; where that fails, it is reset.  Methods may be called
    from any thread, coroutine or greenlet; what they are for has been done when they
    return.  ``with`` closes it.

    At most 1 MiB is on its way in each direction of a connection; until there is room,
    nothing more is taken from its sender.

    Args:
        target: where the server listens, ``tcp://host:port`` or ``ipc://path``: what
            ``server.bind()`` returned.

    Raises:
        ValueError: that is no such address.
        OSError: there is no such host, or no free port.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._family, self._address = _parse(target)
        self._conditions = Conditions()
        self._wires: set[Wire] = set()
        # bound, but never listens: the port is nobody else's while it is closed
        self._holder = _bind(0)
        self._port = self._holder.getsockname()[1]
        self._listener: _socket.socket | None = None
        self._loop = Loop(repr(self), self._step, self._finish)
        self.accept()

    def __repr__(self) -> str:
        return f'<Relay {self.endpoint} to {self._target}>'

    def __enter__(self) -> 'Relay':
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # ------------------------------------------------------ what is

    @property
    def endpoint(self) -> str:
        """The address for clients; it stays the same."""
        return f'tcp://{HOST}:{self._port}'

    @property
    def connections(self) -> int:
        """How many connections there are now; also those of which one side is left."""
        return len(self._wires)

    @property
    def bytes_passed(self) -> int:
        """How many bytes were passed on so far, both ways."""
        return self._conditions.passed

    # ------------------------------------------------------ what may be done

    def cut(self) -> None:
        """End all connections at once, by a reset; new ones are taken."""
        self._loop.do(self._cut)

    def refuse(self) -> None:
        """Take no new connections: the port is closed.  Those there are stay."""
        self._loop.do(self._shut)

    def accept(self) -> None:
        """Take new connections again, at the same port."""
        self._loop.do(self._open)

    def freeze(self) -> None:
        """Let nothing pass, neither bytes nor ends; connections stay open.

        What is sent meanwhile waits for `thaw`, and so do new connections.
        """
        self._loop.do(lambda: self._freeze(True))

    def thaw(self) -> None:
        """End `freeze`: what was held back arrives."""
        self._loop.do(lambda: self._freeze(False))

    def half_open(self, lost: str = SERVER) -> None:
        """End one side of the connections, and leave the other open and silent.

        So it is with a NAT that forgot them: what is sent on the open side goes nowhere.
        New connections are whole.

        Args:
            lost: the side that ends, by a reset: 'server' or 'client'.

        Raises:
            ValueError: it is neither.
        """
        _check_end('lost', lost)
        self._loop.do(lambda: self._each(lambda wire: wire.lose(lost)))

    def delay(self, seconds: float) -> None:
        """Let everything take so long, each way; the order is kept.

        Args:
            seconds: 0 ends it; then what is on its way arrives at once.

        Raises:
            ValueError: it is no number, or less than 0.
        """
        if not _is_number(seconds) or not 0 <= seconds < math.inf:
            raise ValueError(f'delay must be seconds, 0 or more, not {seconds!r}')
        self._set('delay', float(seconds))

    def throttle(self, rate: float | None) -> None:
        """Let no more pass than this, in each direction of each connection.

        Args:
            rate: bytes a second; None ends it.

        Raises:
            ValueError: it is no positive number.
        """
        if rate is not None and (not _is_number(rate) or not 0 < rate < math.inf):
            raise ValueError(
                'throttle must be a positive number of bytes a second, or None for no '
                f'limit, not {rate!r}; freeze() lets nothing pass'
            )
        self._set('rate', rate)

    def corrupt(
        self, towards: str | None = None, count: int = 1, at: int | None = None
    ) -> None:
        """Change one byte, all its bits, of what passes next.

        Args:
            towards: 'server' or 'client', who gets to read that; by default the first
                that gets anything.
            count: how often: in so many pieces.  A piece is, as a rule, what was sent
                at once, up to 64 KiB.
            at: which byte of a piece, 0 for its first; by default one in the middle.

        Raises:
            ValueError: one of them is something else.
        """
        if towards is not None:
            _check_end('towards', towards)
        for name, value, least in (('count', count, 1), ('at', at or 0, 0)):
            if not isinstance(value, int) or value < least:
                raise ValueError(f'{name} must be {least} or more, not {value!r}')
        order = Corruption(towards, count, at)
        self._loop.do(lambda: self._conditions.corruptions.append(order))

    def heal(self) -> None:
        """Back to plain relaying, and to taking connections.

        What was held back arrives.  Connections of which one side is left end, by a
        reset: nothing makes them whole again.
        """
        self._loop.do(self._heal)

    def close(self) -> None:
        """End all connections, by a reset, and the relay; once more does no harm."""
        self._loop.close()

    # ------------------------------------------------------ in the thread

    def _step(self, now: float) -> float:
        for wire in self._wires:
            if wire.due <= now:
                wire.go_on(now)
        self._wires = {wire for wire in self._wires if not wire.closed}
        return min((wire.due for wire in self._wires), default=math.inf)

    def _finish(self) -> None:
        self._each(lambda wire: wire.close(reset=True))
        self._wires = set()
        if self._listener is not None:
            self._listener.close()
        self._holder.close()

    def _each(self, act: Callable[[Wire], Any]) -> None:
        for wire in self._wires:
            act(wire)
            wire.due = 0  # its turn comes in the next step

    def _set(self, name: str, value: Any) -> None:
        def change() -> None:
            setattr(self._conditions, name, value)
            self._each(lambda wire: None)

        self._loop.do(change)

    def _freeze(self, frozen: bool) -> None:
        self._conditions.frozen = frozen
        self._look_out()
        self._each(lambda wire: None)

    def _cut(self) -> None:
        for client in self._clients():  # who has connected just now thinks so, too
            close(client, reset=True)
        self._each(lambda wire: wire.close(reset=True))

    def _heal(self) -> None:
        self._conditions.heal()
        self._each(lambda wire: wire.close(reset=True) if wire.half_open else None)
        self._open()
        self._look_out()

    # ------------------------------------------------------ new connections

    def _open(self) -> None:
        if self._listener is None:
            self._listener = _bind(self._port)
            self._listener.listen(BACKLOG)
            self._look_out()

    def _shut(self) -> None:
        if self._listener is not None:
            self._take()
            self._loop.watch(self._listener.fileno(), None, self._take)
            self._listener.close()
            self._listener = None

    def _look_out(self) -> None:
        if self._listener is not None:
            events = None if self._conditions.frozen else IN
            self._loop.watch(self._listener.fileno(), events, self._take)

    def _take(self, events: int = IN) -> None:
        """Take the connections that are waiting."""
        for client in self._clients():
            try:
                server = _connect(self._family, self._address)
            except OSError:
                close(client, reset=True)
            else:
                wire = Wire(self._conditions, client, server, self._loop.watch)
                self._wires.add(wire)

    def _clients(self) -> Iterator[_socket.socket]:
        while self._listener is not None:
            try:
                # accept() of `socket.socket` makes gevent's where that is patched
                descriptor, _ = self._listener._accept()  # type: ignore[attr-defined]
            except OSError:  # there are none, or no descriptors are left
                return
            client = _socket.socket(fileno=descriptor)
            _set_up(client)
            yield client


def _bind(port: int) -> _socket.socket:
    bound = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    bound.setblocking(False)
    # unlike SO_REUSEADDR, lets in nobody who did not say so
    bound.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEPORT, 1)
    try:
        bound.bind((HOST, port))
    except OSError:
        bound.close()
        raise
    return bound


def _connect(family: int, address: Any) -> _socket.socket:
    """A socket that is connected, or connecting."""
    socket = _socket.socket(family, _socket.SOCK_STREAM)
    try:
        _set_up(socket)
        error = socket.connect_ex(address)
        if error not in (0, errno.EINPROGRESS):
            raise OSError(error, os.strerror(error))
    except OSError:
        socket.close()
        raise
    return socket


def _set_up(socket: _socket.socket) -> None:
    socket.setblocking(False)
    if socket.family != _socket.AF_UNIX:
        socket.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)


def _parse(target: str) -> tuple[int, Any]:
    """Family and address of a socket that listens there."""
    kind, _, where = target.partition('://')
    if kind == 'ipc' and where not in ('', '*'):
        return _socket.AF_UNIX, where
    found = re.fullmatch(r'\[?([^*]+?)\]?:(\d+)', where)
    if kind != 'tcp' or not found or not 0 < int(found[2]) < 1 << 16:
        raise ValueError(
            f'a Relay stands before tcp://host:port or ipc://path, not {target!r}; '
            'bind the server first: bind() returns its address'
        )
    known = _socket.getaddrinfo(found[1], int(found[2]), 0, _socket.SOCK_STREAM)
    # where there is a choice, as libzmq chooses
    known.sort(key=lambda each: each[0] != _socket.AF_INET)
    family, _, _, _, address = known[0]
    return family, address


def _check_end(name: str, end: str) -> None:
    if end not in (CLIENT, SERVER):
        raise ValueError(f'{name} must be {SERVER!r} or {CLIENT!r}, not {end!r}')


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
