"""Signals that tell a program to end."""

import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ['Signals']


class Signals:
    """While active, these signals drain and stop an engine; a second one does at once."""

    def __init__(
        self, engine: 'Engine', which: tuple[signal.Signals, ...], grace: float
    ) -> None:
        self.engine = engine
        self.grace = grace
        # elsewhere Python does not let us
        main = threading.current_thread() is threading.main_thread()
        self.which = which if main else ()
        self.before: dict[signal.Signals, Any] = {}
        self.received = 0

    def __enter__(self) -> None:
        for number in self.which:
            self.before[number] = signal.signal(number, self.handle)

    def handle(self, number: int, frame: Any) -> None:
        self.received += 1
        grace = self.grace if self.received == 1 else 0
        self.engine.backend.call_soon_threadsafe(lambda: self.engine.ending.stop(grace))

    def __exit__(self, *exc: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
