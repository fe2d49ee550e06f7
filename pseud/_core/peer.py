"""One peer as the core sees it, and one call that this peer made to us."""

from collections.abc import Hashable, Sequence
from typing import Any

from .limits import Limits
from .route import Route
from .wire import Buffer, Message

__all__ = ['InboundCall', 'Peer']


class Peer:
    """State of one connection.

    Attributes:
        key: what the engine finds it by (a routing id, an endpoint).
        label: how errors and logs name it.
        link, address: the engine's, to reach it by.
        view: the engine's, too: what the program sees of it.
        by_device: it comes by an ØMQ device, where other servers may be behind, too.
        watched: its loss will be told; who is not may be forgotten to make room.
        protocol: 2, or 1 for peers that speak v1.
        user_id: who the transport's authentication says it is; None without.
        hello: what it stated in HELLO or WELCOME.
        heard: when the last of its messages came.
        ready: messages may be sent.
        probed: it has sent a ROUTER's probe and nothing else: by that it is taken for v1.
        away: the reason it takes no new calls, or None.
        rejected: the reason one side will not work with the other, or None.
        closed: no calls can be made to it, for one of these reasons or the next.
        admitted: false while it has to log in (see `login`).
        logging_in: whether it is being decided who it is, after how many ``logins``.
        held: ØMQ messages that wait for that, of ``held_bytes``.
        gone: the connection is no more.
        lockstep: speaks only in turns (a REQ socket): send it answers, nothing else.
        outbox: messages to send; ``outbox_buffers`` their buffer frames, in order.
        queued: bytes in them, roughly.
        taken: how many of both the ØMQ message under construction holds.
        blocked: the last attempt to send met a full pipe; what waits may grow old.
        stale: calls that wait to be sent may have been cancelled meanwhile.
        overdue: when it last let a call or a ping wait for too long.
        parting: we take no new calls, and it has not said yet that it knows.
        in_flight: calls to it that wait for an answer.
        inbound: its calls that run here, by their id.
        large: bytes of the large ones among them.
        hop: what stands for it where its calls are passed on to; empty before.
        stated: the route of its own calls that are passed on, once there was one.
        came_by: the route that it stated last, of a call that it has passed on.
    """

    __slots__ = (
        'address',
        'admitted',
        'away',
        'blocked',
        'by_device',
        'came_by',
        'closed',
        'dirty',
        'gone',
        'heard',
        'held',
        'held_bytes',
        'hello',
        'hop',
        'in_flight',
        'inbound',
        'key',
        'label',
        'large',
        'link',
        'lockstep',
        'logging_in',
        'logins',
        'max_calls',
        'max_message',
        'outbox',
        'outbox_buffers',
        'overdue',
        'parting',
        'probed',
        'protocol',
        'queued',
        'ready',
        'rejected',
        'stale',
        'stated',
        'taken',
        'user_id',
        'view',
        'watched',
    )

    def __init__(
        self,
        key: Hashable,
        limits: Limits,
        *,
        label: str = '',
        user_id: str | None = None,
        link: Any = None,
        address: Any = None,
        watched: bool = True,
        by_device: bool = False,
        protocol: int = 2,
    ) -> None:
        self.key = key
        self.label = label or repr(key)
        self.user_id = user_id
        self.link = link
        self.address = address
        self.view: Any = None
        self.watched = watched
        self.by_device = by_device
        self.protocol = protocol
        self.hello: dict[str, Any] | None = None
        self.heard = 0.0
        self.ready = False
        self.probed = False
        self.gone = False
        self.closed = False
        self.away: str | None = None
        self.rejected: str | None = None
        self.lockstep = False
        self.admitted = True
        self.logging_in = False
        self.logins = 0
        self.held: list[tuple[Any, Any]] = []
        self.held_bytes = 0
        self.blocked = False
        self.stale = False
        self.overdue = 0.0
        self.parting = False
        self.dirty = False
        self.outbox: list[Message] = []
        self.outbox_buffers: list[Buffer] = []
        self.queued = 0
        self.taken = (0, 0)
        self.in_flight = 0
        self.inbound: dict[Any, InboundCall] = {}
        self.large = 0
        self.hop = b''
        self.stated: Route | None = None
        self.came_by: Route | None = None
        self.max_calls = limits.max_calls_per_peer
        self.max_message = limits.max_message

    def __repr__(self) -> str:
        state = 'gone' if self.gone else 'ready' if self.ready else 'connecting'
        return f'<Peer {self.label} user_id={self.user_id!r} {state}>'


class InboundCall:
    """A call a peer made: decoded as far as its name, the body untouched.

    Attributes:
        deadline: in local time, None without; nobody waits for an answer after it.
        handle: the engine's, to stop what runs it.
        large: its bytes, if it is a large one.
        route: what a proxy that passed it on states; None without.
    """

    __slots__ = (
        'body',
        'buffers',
        'deadline',
        'done',
        'handle',
        'id',
        'large',
        'name',
        'peer',
        'protocol',
        'route',
    )

    def __init__(
        self,
        peer: Peer,
        call_id: Any,
        name: str,
        body: Buffer,
        buffers: Sequence[Buffer],
        deadline: float | None,
    ) -> None:
        self.peer = peer
        self.id = call_id
        self.name = name
        self.body = body
        self.buffers = buffers
        self.deadline = deadline
        self.protocol = peer.protocol
        self.done = False
        self.large = 0
        self.route: Route | None = None
        self.handle: Any = None

    def __repr__(self) -> str:
        return f'<InboundCall {self.name!r} of {self.peer.label}>'
