"""Users of a server while it runs: those who log in, and those who may not stay."""

import logging
from typing import TYPE_CHECKING, Any

from ._core.events import Event
from ._core.login import Login
from ._core.peer import Peer
from .errors import UnauthorizedError
from .expel import expel, expel_peers
from .users import check_user_id
from .zap import Credentials

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ['LoginWatch', 'log_in']

logger = logging.getLogger(__name__)

# Seconds that a connection has for logging in, before it is ended.
LOGIN_TIME = 10.0
# How often that is looked after.
LOOK = 1.0


def log_in(engine: 'Engine', peer: Peer, login: Login) -> None:
    """A peer says who it is, over its connection: find out."""
    backend = engine.backend
    try:
        check_user_id(login.user_id)
    except ValueError:
        engine.handle(_decide(engine, peer, UnauthorizedError('no user id')))
        engine.sender.flush_soon()
        return

    def decided(outcome: Any) -> None:
        if not engine.closed:
            engine.handle(_decide(engine, peer, outcome))
            engine.sender.flush_soon()

    engine.admission.ask(
        Credentials(
            'LOGIN', peer.address.ip, username=login.user_id, password=login.password
        ),
        lambda outcome: backend.call_soon_threadsafe(lambda: decided(outcome)),
        lambda: not peer.gone,
    )


def _decide(engine: 'Engine', peer: Peer, outcome: Any) -> list[Event]:
    if isinstance(outcome, str):
        peer.label = f'{outcome} at {peer.address.text}'
        return engine.core.admit(peer, outcome, engine.backend.now())
    if isinstance(outcome, UnauthorizedError):
        engine.admission.log(f'{outcome} (from {peer.address.text})')
    else:
        engine.admission.log_failure(engine.label, outcome)
    engine.core.refuse(peer, 'wrong user id or password')
    return []


class LoginWatch:
    """From time to time, ends the connections of users who may not stay.

    Also those of peers that have been there for `LOGIN_TIME` and did not log in.
    """

    def __init__(self, engine: 'Engine') -> None:
        self.engine = engine
        self._timer: Any = None
        self._every = 0.0  # seconds
        self._strangers: dict[Peer, float] = {}

    def start(self) -> None:
        auth = self.engine.auth
        self._every = auth.recheck or (LOOK if auth.challenges else 0.0)
        if self._every:
            self._look()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        engine = self.engine
        now = engine.backend.now()
        users = {peer.user_id for peer in engine.roster.members if peer.user_id}
        try:
            for user_id in engine.auth.revoked(users):
                expel(engine, user_id, 'this user may no longer connect')
        except Exception:
            logger.exception('%s: asking who may stay failed', engine.label)
        if engine.core.challenges:
            self._end_strangers(now)
        self._timer = engine.backend.call_at(now + self._every, self._look)

    def _end_strangers(self, now: float) -> None:
        self._strangers = {
            peer: self._strangers.get(peer, now + LOGIN_TIME)
            for peer in self.engine.core.peers.values()
            if not peer.admitted and peer.address.ignored is None
        }
        late = [peer for peer, until in self._strangers.items() if until <= now]
        expel_peers(self.engine, late, 'it did not log in')
