"""The callers of a server: to one of its clients, or to many of them at once."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from .caller import Caller, RemoteFunction, check_address
from .current import inherited
from .errors import PseudError, UsageError
from .interfaces import IResult
from .peers import RemotePeer
from .settings import check_timeout

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ['ManyCaller', 'ServerCaller']

_UNSET: Any = object()


class ServerCaller(Caller):
    """Settings for calls to clients; ``send_to`` says to whose."""

    __slots__ = ()

    _engine: 'Engine'

    def __getattr__(self, name: str) -> RemoteFunction:
        raise AttributeError(
            f'{name!r}: a server has many peers: send_to(user_id).{name} is the function '
            'of one of them'
        )

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        raise UsageError('a server has many peers: send_to(user_id).call(...)')

    def with_options(self, *, timeout: float | None = _UNSET) -> 'ServerCaller':
        if timeout is _UNSET:
            timeout = self._timeout
        return ServerCaller(self._engine, check_timeout(timeout))

    def send_to(self, user: str | RemotePeer) -> Caller:
        """The functions of a connected client.

        Args:
            user: its user id, as the authentication of its connection knows it; if
                several connections have it, the latest is called.  Or one of the
                server's ``peers``: exactly that connection.

        Raises:
            TypeError: it is neither.
            UsageError: it is a peer of another server.
        """
        return Caller(self._engine, self._timeout, self._address(user))

    def send_to_many(self, users: Iterable[str | RemotePeer]) -> 'ManyCaller':
        """The functions of many clients, called at once.

        A call has one result: a dict of what it returned for each user, or of the
        exception instance that it failed with there; in the order of ``users``.  It is
        there when the last of them is, and is never an exception itself.

        Args:
            users: as `send_to` takes them; the keys of the dict.

        Raises:
            TypeError, UsageError: as `send_to` does.
        """
        if isinstance(users, str | bytes):
            raise TypeError(f'many users are an iterable of user ids, not {users!r}')
        addresses = {user: self._address(user) for user in users}
        return ManyCaller(self._engine, self._timeout, addresses)

    def _address(self, user: Any) -> str | RemotePeer:
        to = check_address(user)
        if isinstance(to, RemotePeer) and to._engine is not self._engine:
            raise UsageError(f'{to!r} is a peer of {to._engine.label}')
        return to


class ManyCaller(Caller):
    """Many clients' functions; a call of one calls it at all of them.

    Its result is a dict, see `ServerCaller.send_to_many`.
    """

    __slots__ = ('_addresses',)

    _engine: 'FanOut'

    def __init__(
        self,
        engine: 'Engine',
        timeout: float | None,
        addresses: dict[Any, str | RemotePeer],
    ) -> None:
        super().__init__(FanOut(engine), timeout)
        self._addresses = addresses

    def with_options(self, *, timeout: float | None = _UNSET) -> 'ManyCaller':
        """The same, with settings of its own.

        Args:
            timeout: seconds each of the calls may take, None for ever.
        """
        if timeout is _UNSET:
            timeout = self._timeout
        engine = self._engine.engine
        return ManyCaller(engine, check_timeout(timeout), self._addresses)

    def __repr__(self) -> str:
        return f'<calls to {len(self._addresses)} users with timeout={self._timeout}>'


class FanOut:
    """Makes the calls of a `ManyCaller`, in place of the engine."""

    def __init__(self, engine: 'Engine') -> None:
        self.engine = engine

    def call(
        self, caller: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Call all of them; returns the one result to come."""
        engine = self.engine
        engine.attach()
        core, now = engine.core, engine.backend.now()
        timeout = inherited(caller._timeout, now)
        bodies: dict[int, Any] = {}  # arguments are packed once for each protocol
        gathered = Gathered(engine, caller._addresses)
        for user, to in caller._addresses.items():
            part = Part(gathered, user)
            try:
                peer = engine.roster.find(to, name)
                if peer.protocol not in bodies:
                    packer = engine.packers[peer.protocol]
                    bodies[peer.protocol] = packer.pack_call(args, kwargs)
                body, buffers = bodies[peer.protocol]
                part.call_id = core.call(peer, name, body, buffers, timeout, now, part)
            except PseudError as error:
                part.set_exception(error)
        gathered.made()
        return gathered.result


class Gathered:
    """The outcomes of the calls that were made together."""

    def __init__(self, engine: 'Engine', users: Iterable[Any]) -> None:
        self.engine = engine
        self.outcomes: dict[Any, Any] = dict.fromkeys(users)
        self.waiting: set[Part] = set()
        self.complete = False  # all calls have been made, as far as they could
        self.result = engine.backend.result(self._cancelled)

    def made(self) -> None:
        """There will be no more calls than these."""
        engine = self.engine
        self.complete = True
        if engine.core.due < engine._armed:
            engine._arm()
        engine.sender.flush_soon()
        self.settle()

    def settle(self) -> None:
        """Tell the outcomes once all of them are there."""
        if self.complete and not self.waiting and not self.result.done():
            self.result.set_result(self.outcomes)

    def _cancelled(self, result: Any) -> None:
        """The user cancelled all of it."""
        engine = self.engine
        if engine.guard is not None and self.waiting and not engine.closed:
            engine.guard.check(engine.label)
            for part in self.waiting:
                engine.core.cancel(part.call_id)
            self.waiting.clear()
            engine.sender.flush_soon()


@implementer(IResult)
class Part:
    """The result of one of the calls."""

    __slots__ = ('call_id', 'gathered', 'user')

    def __init__(self, gathered: Gathered, user: Any) -> None:
        self.gathered = gathered
        self.user = user
        self.call_id = 0
        gathered.waiting.add(self)

    def done(self) -> bool:
        return self not in self.gathered.waiting

    def set_result(self, value: Any) -> None:
        gathered = self.gathered
        gathered.waiting.discard(self)
        gathered.outcomes[self.user] = value
        gathered.settle()

    def set_exception(self, error: BaseException) -> None:
        self.set_result(error)

    def cancel(self) -> None:
        self.gathered.result.cancel()
