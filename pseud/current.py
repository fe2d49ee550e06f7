"""The call that is being handled, for whoever runs on its behalf."""

from contextvars import ContextVar
from typing import TYPE_CHECKING

from .caller import Caller
from .peers import Origin, RemotePeer, view_of

if TYPE_CHECKING:
    from .dispatch import Job

__all__ = ['CURRENT', 'CurrentCall', 'current_call', 'inherited']

# Calls made while handling one inherit its deadline.
CURRENT: ContextVar['Job | None'] = ContextVar('pseud_current_job', default=None)


class CurrentCall:
    """A call that is being handled here; read-only."""

    __slots__ = ('_job',)

    def __init__(self, job: 'Job') -> None:
        self._job = job

    @property
    def name(self) -> str:
        """The dotted name that was called."""
        return self._job.name

    @property
    def user_id(self) -> str | None:
        """Who made the call, as the authentication knows; None without.

        Of one that a proxy passed on: who made it there, if this server trusts the proxy
        (``trusted_proxies``), else the proxy itself.
        """
        return self._job.user_id

    @property
    def hops(self) -> int:
        """How many proxies have passed it on, as its peer says; none if that made it."""
        route = self._job.route
        return 0 if route is None else len(route.came)

    @property
    def peer(self) -> RemotePeer:
        """The connection that it came by."""
        return view_of(self._job.engine, self._job.peer)

    @property
    def remaining(self) -> float | None:
        """Seconds until its caller waits no more, not below 0; None if it always will."""
        deadline = self._job.deadline
        if deadline is None:
            return None
        return float(max(0.0, deadline - self._job.engine.backend.now()))

    @property
    def caller(self) -> Caller:
        """The functions of the peer that made the call, over that connection.

        A call of one fails with `LocalProtocolError` if it is a SyncClient, with
        `NotSentError` if it is no longer connected.
        """
        engine, route = self._job.engine, self._job.route
        to: RemotePeer | Origin = self.peer
        if route is not None and route.came:
            to = Origin(self.peer, route.came)
        return Caller(engine, engine.settings.timeout, to)

    def __repr__(self) -> str:
        return f'<call of {self.name!r} by {self._job.peer.label}>'


def current_call() -> CurrentCall | None:
    """The call that is being handled; None outside of any.

    It is known in the function itself, and in the tasks and threads that inherit its
    context (``asyncio.create_task``, ``asyncio.to_thread``), also after the call has
    ended.  gevent lets no greenlet or thread inherit it: there, give it along with
    ``gevent.spawn(contextvars.copy_context().run, function)``.
    """
    job = CURRENT.get()
    return None if job is None else CurrentCall(job)


def inherited(timeout: float | None, now: float) -> float | None:
    """Seconds that a call may take which is made on behalf of the current one."""
    job = CURRENT.get()
    if job is None or job.deadline is None or job.done:
        return timeout
    remaining = job.deadline - now
    return remaining if timeout is None else min(timeout, remaining)
