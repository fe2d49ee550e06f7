"""`Client` as users see it, but for what its backend supplies."""

from typing import Any

from zope.interface import implementer

from .caller import Caller, CallsFunctions
from .errors import UsageError
from .exposure import warn_client
from .interfaces import IClient
from .rpc import BaseRPC

__all__ = ['BaseClient']


@implementer(IClient)
class BaseClient(CallsFunctions, BaseRPC):
    """Connects to servers and calls them: ``client.some.function(1, 2)``.

    Attributes that are not defined here are remote functions.  Functions registered with
    `register_rpc` may be called by the server.
    """

    _is_server = False

    def __init__(self, name: str = '', **settings: Any) -> None:
        super().__init__(name, **settings)
        self.settings.check_client()
        self._caller = Caller(self._engine, self.settings.timeout)

    def connect(self, endpoint: str) -> None:
        """Connect to a server, now or as soon as it is there; again when it was lost.

        Args:
            endpoint: ØMQ address, ``tcp://host:port``, ``ipc://path``, ``inproc://name``.
                May be called for several: calls go to the least busy one.

        Raises:
            ValueError: it is no address.
        """
        self._attach_if_running()
        link = self._engine.client_link(endpoint)
        if link.exposed:
            warn_client(endpoint, self._engine.auth, self.settings)

    def disconnect(self, endpoint: str) -> None:
        """Close the connection to ``endpoint``; calls under way there fail.

        Raises:
            ValueError: there is none.
        """
        self._engine.close_link(endpoint)

    def bind(self, endpoint: str) -> None:
        """Clients connect.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            'a Client connects and a Server binds; either may call the other. '
            'call("bind", ...) calls a remote function of that name'
        )

    def send_to(self, user_id: str) -> Caller:
        """Only servers have several peers.

        Raises:
            UsageError: always.
        """
        raise UsageError('a Client calls its server: client.function(...)')
