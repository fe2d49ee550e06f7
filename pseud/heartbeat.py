"""The heartbeat plugin that does nothing: the transport's own heartbeats do.

ZMTP heartbeats (RFC 37) are on by default and survive a busy handler, as libzmq's I/O
thread answers them; see ``Settings.heartbeat_interval``.
"""

from typing import Any

from zope.interface import implementer

from .interfaces import IBaseRPC, IHeartbeatBackend
from .plugins import adapter, register_heartbeat_backend

__all__ = ['NoHeartbeat']


@register_heartbeat_backend
@implementer(IHeartbeatBackend)
@adapter(IBaseRPC)
class NoHeartbeat:
    """Watches over nobody."""

    name = 'noop_heartbeat_backend'

    def __init__(self, rpc: Any) -> None:
        pass

    def configure(self) -> None:
        """Nothing to start."""

    def handle_heartbeat(self, user_id: str | None, peer: Any) -> None:
        """Nothing to note."""

    def stop(self) -> None:
        """Nothing was started."""
