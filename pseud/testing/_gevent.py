"""The virtual clock for gevent: it blocks."""

from collections.abc import Iterator

import gevent
import gevent.event

from .clock import Clock

__all__ = ['GeventClock']


class GeventClock(Clock):
    def advance(self, seconds: float) -> None:
        self.run(self.steps(seconds))

    def sleep(self, seconds: float) -> None:
        woken = gevent.event.Event()
        soon = gevent.get_hub().loop.run_callback
        timer = self.call_at(self.now() + seconds, woken.set, soon)
        try:
            woken.wait()
        finally:
            timer.cancel()

    def run(self, steps: Iterator[None]) -> None:
        for _ in steps:
            gevent.sleep(0)
