"""A clock that stands still until a test advances it.

It counts turns of the event loop, never seconds: between two timers the loop has as many
as it takes until messages have arrived and functions have made their next calls.
"""

import abc
import itertools
import math
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from typing import Any

from zope.interface import implementer

from ..errors import UsageError
from ..interfaces import IHandle

__all__ = ['Clock']

Callback = Callable[[], object]
Soon = Callable[[Callback], object]

# Turns of the loop without a message or a timer, until all is taken to be at rest: what
# functions do between two calls may take a few.
QUIET = 20
# Turns until it is given up that this ever happens.
RESTLESS = 100_000
# Seconds by which sums of floats may differ.
EPSILON = 1e-9


@implementer(IHandle)
class Timer:
    """A callback that waits for its time."""

    __slots__ = ('callback', 'soon')

    def __init__(self, callback: Callback, soon: Soon) -> None:
        self.callback: Callback | None = callback
        self.soon = soon

    def fire(self) -> None:
        """It is time; the loop calls back in its next turn."""
        self.soon(self._run)

    def cancel(self) -> None:
        self.callback = None

    def _run(self) -> None:
        callback, self.callback = self.callback, None
        if callback is not None:
            callback()


class Clock(abc.ABC):
    """The time of all clients and servers of a `Network`, in seconds; it begins at 0."""

    def __init__(self) -> None:
        self._now = 0.0
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._stirs = 0
        self._advancing = False

    def now(self) -> float:
        """The time."""
        return self._now

    @abc.abstractmethod
    def advance(self, seconds: float) -> Any:
        """Let time pass; what is due meanwhile happens in its order, each at its time.

        First, and after each timer, messages travel and functions run until they wait for
        something else.  So ``advance(0)`` lets all arrive that is on its way.
        On asyncio this is a coroutine function, on gevent it blocks.

        Args:
            seconds: how long.

        Raises:
            ValueError: that is less than 0, or for ever.
            UsageError: somebody else advances the clock, or clients and servers call each
                other again and again and no end of it.
        """

    @abc.abstractmethod
    def sleep(self, seconds: float) -> Any:
        """Wait until the clock was advanced by so much.

        On asyncio this is a coroutine function, on gevent it blocks.
        """

    @abc.abstractmethod
    def run(self, steps: Iterator[None]) -> Any:
        """Go through steps, with a turn of the loop at each."""

    def stir(self) -> None:
        """Something has happened: nothing is at rest yet."""
        self._stirs += 1

    def call_at(self, when: float, callback: Callback, soon: Soon) -> Timer:
        """Have ``callback()`` called when it is time.

        Args:
            soon: ``soon(callback)`` calls back in the loop's next turn.
        """
        self.stir()
        timer = Timer(callback, soon)
        if when <= self._now:
            timer.fire()
        else:
            heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    def steps(self, seconds: float) -> Iterator[None]:
        """What `advance` does; a turn of the loop is due at each step."""
        if not 0 <= seconds < math.inf:
            raise ValueError(f'time goes on by 0 seconds or more, not by {seconds!r}')
        if self._advancing:
            raise UsageError(
                'the clock is being advanced already: only one may do that at a time'
            )
        self._advancing = True
        try:
            until = self._now + seconds
            yield from self._settle()
            while self._timers and self._timers[0][0] <= until + EPSILON:
                when, _, timer = heappop(self._timers)
                if timer.callback is not None:
                    self._now = when
                    timer.fire()
                    yield from self._settle()
            self._now = max(self._now, until)
        finally:
            self._advancing = False

    def _settle(self) -> Iterator[None]:
        """Steps until nothing has happened for a while."""
        seen, quiet = self._stirs, 0
        for _ in range(RESTLESS):
            yield
            if self._stirs == seen:
                quiet += 1
                if quiet == QUIET:
                    return
            else:
                seen, quiet = self._stirs, 0
        raise UsageError(
            f'after {RESTLESS} turns of the loop there are still messages on their way: '
            'do functions call each other without end?'
        )
