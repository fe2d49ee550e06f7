"""`Server` as users see it, but for what its backend supplies."""

from collections.abc import Iterable
from typing import Any

from zope.interface import implementer

from .caller import Caller
from .expel import expel
from .exposure import warn_server
from .interfaces import IServer
from .many import ManyCaller, ServerCaller
from .peers import RemotePeer
from .rpc import BaseRPC

__all__ = ['BaseServer']

_UNSET: Any = object()


@implementer(IServer)
class BaseServer(BaseRPC):
    """Is called by clients, and calls them: ``server.send_to('alice').function()``."""

    _is_server = True

    def __init__(self, name: str = '', **settings: Any) -> None:
        super().__init__(name, **settings)
        self.settings.check_server(self._engine.auth)
        self._caller = ServerCaller(self._engine, self.settings.timeout)

    def bind(self, endpoint: str) -> str:
        """Listen.

        Args:
            endpoint: ØMQ address; ``tcp://127.0.0.1:*`` chooses a free port.

        Returns:
            The address that was bound, with its port.

        Raises:
            OSError: it can not be.
        """
        self._attach_if_running()
        link = self._engine.server_link()
        bound = link.bind(endpoint)
        if link.exposed:
            warn_server(endpoint, self._engine.auth)
        return bound

    def connect(self, endpoint: str) -> None:
        """Serve the clients of an ØMQ device (``zmq.proxy``) there.

        Raises:
            ValueError: it is no address.
        """
        self._attach_if_running()
        self._engine.server_link().connect(endpoint)

    def disconnect(self, endpoint: str) -> None:
        """Undo `connect`.

        Raises:
            ValueError: it is not connected there.
        """
        self._engine.server_link().disconnect(endpoint)

    @property
    def peers(self) -> list[RemotePeer]:
        """Who is connected now, in the order they came; a list of its own."""
        return list(self._engine.roster.members.values())

    def send_to(self, user: str | RemotePeer) -> Caller:
        """The functions of a connected client.

        Args:
            user: its user id, as the authentication of its connection knows it; if
                several connections have it, the latest is called.  Or one of `peers`:
                exactly that connection.

        Raises:
            TypeError: it is neither.
            UsageError: it is a peer of another server.
        """
        return self._caller.send_to(user)

    def send_to_many(self, users: Iterable[str | RemotePeer]) -> ManyCaller:
        """The functions of many clients, called at once.

        A call has one result: a dict of what it returned for each user, or of the
        exception instance that it failed with there; in the order of ``users``.  It is
        there when the last of them is, and is never an exception itself.  To cancel it
        cancels all the calls.

        Args:
            users: as `send_to` takes them; the keys of the dict.

        Raises:
            TypeError, UsageError: as `send_to` does.
        """
        return self._caller.send_to_many(users)

    def expel(
        self, user: str | RemotePeer, reason: str = 'expelled by the server'
    ) -> int:
        """End the connections of a user, or one of them.

        Its calls are cancelled, calls to it fail; it is told the reason, and soon after
        the connection is closed.  A pseud client connects again and is authenticated
        anew: who is to stay away must be refused there.

        Args:
            user: a user id, or one of `peers`.
            reason: text for the client's exceptions and the log.

        Returns:
            How many connections that were.

        Raises:
            TypeError: ``user`` is neither.
        """
        return expel(self._engine, user, reason)

    def with_options(self, *, timeout: float | None = _UNSET) -> ServerCaller:
        """This server with settings of its own; an immutable view.

        Args:
            timeout: seconds a call may take, None for ever.
        """
        return self._caller.with_options(timeout=timeout)
