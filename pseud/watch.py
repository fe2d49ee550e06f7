"""The heartbeat plugin at work: who answers is told from who is merely connected."""

import math
from typing import TYPE_CHECKING, Any

from ._core import events as ev
from ._core.events import Event
from ._core.peer import Peer
from ._core.watch import Watch
from .guard import FORKED
from .peers import answers
from .settings import is_number

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ['PeerWatch']

# Seconds that a plugin may state.
SHORTEST, LONGEST = 0.001, 1e6


class PeerWatch:
    """Watches over the peers of one client or server, as its heartbeat plugin wants it.

    Raises:
        ValueError: the plugin's times make no sense.
    """

    def __init__(self, engine: 'Engine') -> None:
        self.engine = engine
        heartbeat = engine.heartbeat
        self.gone_after = heartbeat.gone_after
        self._watch: Watch | None = None
        if heartbeat.interval != 0:
            for name in ('interval', 'patience', 'gone_after'):
                _check(heartbeat.name, name, getattr(heartbeat, name))
            self._watch = Watch(engine.core, heartbeat.interval, heartbeat.patience)
        self._armed = math.inf
        self._timer: Any = None

    @property
    def active(self) -> bool:
        """Whether anybody is pinged."""
        return self._watch is not None

    def stop(self) -> None:
        """Ask nobody any more."""
        if self._timer is not None:
            self._timer.cancel()

    def joined(self, peer: Peer) -> None:
        """A peer is here."""
        if self._watch is not None:
            self._watch.joined(peer, self.engine.backend.now())
            self.engine.sender.flush_soon()
            self._arm()

    def left(self, peer: Peer) -> None:
        """A peer is gone."""
        if self._watch is not None:
            self._watch.left(peer)

    def beat(self, peer: Peer) -> None:
        """A peer gave a sign of life that was no call."""
        engine = self.engine
        view = engine.roster.members.get(peer)
        if view is None:  # there was no room for it
            return
        if self._watch is not None:
            self._act(self._watch.beat(peer))
        engine.hooks.run(engine.heartbeat.handle_heartbeat, peer.user_id, view)

    def _arm(self) -> None:
        assert self._watch is not None
        if self._watch.due < self._armed:
            if self._timer is not None:
                self._timer.cancel()
            self._armed = self._watch.due
            self._timer = self.engine.backend.call_at(self._armed, self._tick)

    def _tick(self) -> None:
        engine, watch = self.engine, self._watch
        assert watch is not None
        self._timer, self._armed = None, math.inf
        if engine.closed or engine.guard is None or engine.guard.thread == FORKED:
            return
        try:
            now = engine.backend.now()
            if now >= watch.due:
                events = watch.tick(now)
                engine.sender.flush()  # at once: from now on it is their time
                self._act(events)
        finally:
            self._arm()

    def _act(self, events: list[Event]) -> None:
        engine = self.engine
        hooks, heartbeat = engine.hooks, engine.heartbeat
        for kind, peer, *rest in events:
            view = engine.roster.members.get(peer)
            if view is None:  # as a callback expelled it just now
                continue
            if kind == ev.ANSWERS:
                answers(view, True)
                hooks.tell(hooks.on_responsive, view)
                continue
            (seconds,) = rest
            if view.responsive:
                answers(view, False)
                hooks.tell(hooks.on_unresponsive, view)
            hooks.run(heartbeat.handle_timeout, peer.user_id, view)
            if (
                not peer.watched
                and self.gone_after is not None
                and seconds >= self.gone_after
            ):
                peer.link.give_up(peer, f'it did not answer for {seconds:.3g} s')


def _check(plugin: str, name: str, value: Any) -> None:
    if value is None and name == 'gone_after':
        return
    if not is_number(value) or not SHORTEST <= value < LONGEST:
        raise ValueError(
            f'{name} of heartbeat_plugin {plugin!r} must be seconds, from {SHORTEST:g} '
            f'to {LONGEST:g}, not {value!r}'
        )
