"""The heartbeat plugins: how often peers are asked whether they answer, if at all.

ZMTP heartbeats (RFC 37) are on by default and survive a busy handler, as libzmq's I/O
thread answers them; see ``Settings.heartbeat_interval``.  So they tell who is *alive*.
The plugins here are about who is *responsive*: whose event loop gets to answer.
"""

from typing import Any

from zope.interface import implementer

from .interfaces import IBaseRPC, IHeartbeatBackend
from .peers import RemotePeer
from .plugins import adapter, register_heartbeat_backend

__all__ = ['HeartbeatBackend', 'NoHeartbeat', 'Presence']


@implementer(IHeartbeatBackend)
class HeartbeatBackend:
    """An `IHeartbeatBackend` that asks nobody: override what differs.

    Args:
        rpc: the client or server that it is for.
    """

    name = ''
    interval = 0.0
    patience = 5.0
    gone_after: float | None = 60.0

    def __init__(self, rpc: Any) -> None:
        pass

    def configure(self) -> None:
        """Nothing to start."""

    def handle_heartbeat(self, user_id: str | None, peer: RemotePeer) -> Any:
        """Nothing to note."""

    def handle_timeout(self, user_id: str | None, peer: RemotePeer) -> Any:
        """Nothing to do about it."""

    def stop(self) -> None:
        """Nothing was started."""


@register_heartbeat_backend
@implementer(IHeartbeatBackend)
@adapter(IBaseRPC)
class NoHeartbeat(HeartbeatBackend):
    """Leaves it to the transport."""

    name = 'noop_heartbeat_backend'


@register_heartbeat_backend
@implementer(IHeartbeatBackend)
@adapter(IBaseRPC)
class Presence(HeartbeatBackend):
    """Tells who answers from who is merely connected: ``heartbeat_plugin='presence'``.

    Args:
        interval: seconds between two pings of one peer.
        patience: seconds that a peer has for an answer; then it is unresponsive.
        gone_after: seconds without an answer after which a peer is lost whose loss the
            transport does not tell (behind a device, inproc); None: never.
    """

    name = 'presence'

    def __init__(
        self,
        rpc: Any = None,
        *,
        interval: float = 5.0,
        patience: float = 5.0,
        gone_after: float | None = 60.0,
    ) -> None:
        if rpc is not None and not IBaseRPC.providedBy(rpc):
            raise TypeError(f'Presence takes interval=..., patience=..., not {rpc!r}')
        super().__init__(rpc)
        self.interval = interval
        self.patience = patience
        self.gone_after = gone_after
