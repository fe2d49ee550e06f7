"""The virtual clock for asyncio, and so for tornado: to be awaited."""

import asyncio
from collections.abc import Iterator

from .clock import Clock

__all__ = ['AsyncioClock']


class AsyncioClock(Clock):
    async def advance(self, seconds: float) -> None:
        await self.run(self.steps(seconds))

    async def sleep(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        woken = loop.create_future()
        timer = self.call_at(
            self.now() + seconds,
            lambda: None if woken.done() else woken.set_result(None),
            loop.call_soon,
        )
        try:
            await woken
        finally:
            timer.cancel()

    async def run(self, steps: Iterator[None]) -> None:
        for _ in steps:
            await asyncio.sleep(0)
