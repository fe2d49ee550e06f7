"""Servers and clients for one test: at free ports, and stopped when it is over."""

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, TypeVar

from .._binding import backend_module, find_backend
from ..errors import PseudError, UsageError
from ..sync import SyncClient
from .relay import Relay
from .thread import ServerThread

__all__ = ['Harness']

FREE = 'tcp://127.0.0.1:*'
# Seconds between looks whether something is still under way.
POLL = 0.005
# Seconds for the thread of a server to end, when the server has nothing to do.
PATIENCE = 10.0
# Names that a complaint lists.
LISTED = 5

T = TypeVar('T')


class Harness:
    """Makes servers, clients and relays for a test; stops them, and says what is left.

    In coroutines ``async with Harness() as harness``, elsewhere ``with``.  At the end,
    calls and functions that are under way still have a grace time; those that last longer
    are ended, and named in an ``AssertionError``, or in a note to the exception that the
    test raises.

    Args:
        grace: seconds.
    """

    def __init__(self, grace: float = 1.0) -> None:
        self.grace = grace
        self._made: list[
            tuple[Any, Any]
        ] = []  # (asyncio loop or None, client or server)
        self._threads: list[ServerThread] = []
        self._relays: list[Relay] = []
        self._caretakers: dict[Any, asyncio.Task[None]] = {}
        self._complaints: list[str] = []
        self._awaited = False

    # ------------------------------------------------------ for tests

    def serve(
        self,
        name: str = '',
        *,
        address: str = FREE,
        thread: bool = False,
        **settings: Any,
    ) -> tuple[Any, str]:
        """A `pseud.Server` that listens.

        Args:
            name: of the service.
            address: where; at a free port of this machine by default.
            thread: it works in a thread and an event loop of its own, for a test that
                blocks.  Functions may be registered, everything else is for that
                thread.
            settings: of the server.

        Returns:
            The server, and its address for clients.

        Raises:
            UsageError: no event loop runs here that it could work in.
        """
        if thread:
            made = ServerThread(address, name, **settings)
            self._threads.append(made)
            return made.server, made.address
        if find_backend() == 'tornado' and 'io_loop' not in settings and not _loop():
            raise UsageError(
                'no event loop runs here, so the server would not answer: call this in a '
                'coroutine, or say thread=True for one in a thread of its own'
            )
        server = self.keep(backend_module().Server(name, **settings))
        return server, server.bind(address)

    def client(self, *addresses: str, name: str = '', **settings: Any) -> Any:
        """A `pseud.Client`, connected to these addresses.

        Args:
            name: of the service that is wanted.
            settings: of the client.
        """
        return self._connected(backend_module().Client(name, **settings), addresses)

    def sync_client(
        self, *addresses: str, name: str = '', **settings: Any
    ) -> SyncClient:
        """A `pseud.SyncClient`, in the same way."""
        return self._connected(SyncClient(name, **settings), addresses)

    def relay(self, target: str) -> Relay:
        """A `Relay` in front of a server."""
        relay = Relay(target)
        self._relays.append(relay)
        return relay

    def keep(self, rpc: T) -> T:
        """Stop a client or server at the end, that the test has made; returns it."""
        loop = _loop()
        self._made.append((loop, rpc))
        if loop is not None and not self._awaited and loop not in self._caretakers:
            self._caretakers[loop] = loop.create_task(self._take_care(loop))
        return rpc

    def _connected(self, client: T, addresses: tuple[str, ...]) -> T:
        self.keep(client)
        for address in addresses:
            client.connect(address)  # type: ignore[attr-defined]
        return client

    # ------------------------------------------------------ the end

    async def __aenter__(self) -> 'Harness':
        self._awaited = True
        return self

    async def __aexit__(self, kind: Any, error: BaseException | None, _: Any) -> None:
        await self._end(asyncio.get_running_loop())
        self._close(error)

    def __enter__(self) -> 'Harness':
        if _loop():
            raise UsageError('in a coroutine, say "async with Harness()"')
        return self

    def __exit__(self, kind: Any, error: BaseException | None, _: Any) -> None:
        for loop, caretaker in self._caretakers.items():
            if loop.is_running() and loop is not _loop():  # in another thread
                asyncio.run_coroutine_threadsafe(_finish(caretaker), loop).result()
            elif not loop.is_running() and not loop.is_closed():
                loop.run_until_complete(_finish(caretaker))
        for backend, result in self._ending(None):
            backend.run_until(result)
        self._close(error)

    async def _take_care(self, loop: Any) -> None:
        """As long as a loop runs, which in the end cancels its tasks (`asyncio.run`)."""
        try:
            await loop.create_future()
        finally:
            for _ in range(3):  # other tasks, which end as well, give up their calls
                await asyncio.sleep(0)
            await self._end(loop)

    async def _end(self, loop: Any) -> None:
        for _, result in self._ending(loop):
            await result

    def _ending(self, loop: Any) -> Iterator[tuple[Any, Any]]:
        """Stop what was made in a loop; yields what to wait for, and a backend to do so."""
        rpcs = [rpc for at, rpc in self._made if at is loop and not _is_over(rpc)]
        give_up = time.monotonic() + self.grace
        while (busy := next(filter(_left, rpcs), None)) and time.monotonic() < give_up:
            backend = busy._engine.backend
            pause = backend.result(lambda result: None)
            backend.call_at(backend.now() + POLL, partial(_end_pause, pause))
            yield backend, pause
        for rpc in rpcs:
            self._complaints += _left(rpc)
        for rpc in reversed(rpcs):
            try:
                result = rpc.stop(0)
            except PseudError as error:
                self._complaints.append(f'{rpc!r} was not stopped: {error}')
            else:
                backend = getattr(rpc._engine, 'backend', None)
                if backend is not None and backend.name != 'gevent':
                    yield backend, result

    def _close(self, error: BaseException | None) -> None:
        """What is left, and whether that is all right."""
        for _, rpc in self._made:
            if not rpc._engine.closed and _is_over(rpc):
                rpc._engine.abandon()
                self._complaints.append(
                    f'{rpc!r} was not stopped before its event loop was closed: make it '
                    'in a coroutine, or await its stop() there'
                )
        for thread in reversed(self._threads):
            if not thread.stop(PATIENCE):
                self._complaints.append(
                    f'{thread.server!r} does not stop: one of its functions blocks'
                )
        for relay in self._relays:
            relay.close()
        if not self._complaints:
            return
        text = f'left over: {"; ".join(self._complaints)}'
        self._complaints = []
        if error is None:
            raise AssertionError(text)
        error.add_note(text)


def _loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def _finish(task: 'asyncio.Task[None]') -> None:
    task.cancel()
    await asyncio.wait([task])


def _end_pause(pause: Any) -> None:
    if not pause.done():
        pause.set_result(None)


def _is_over(rpc: Any) -> bool:
    """It was stopped, or can not be any more."""
    engine = rpc._engine
    loop = getattr(getattr(engine, 'backend', None), 'loop', None)
    dead = isinstance(loop, asyncio.AbstractEventLoop) and loop.is_closed()
    return engine.closed or dead


def _left(rpc: Any) -> list[str]:
    """What is still under way, in words."""
    if isinstance(rpc, SyncClient):
        return []  # whoever calls it is waiting
    core = rpc._engine.core
    waits = {entry[3] for entry in core.pending.values()}
    runs = {call.name for peer in core.peers.values() for call in peer.inbound.values()}
    found = []
    if waits:
        found.append(f'{rpc!r} waits for {_list(waits)}: get the result, or cancel it')
    if runs:
        found.append(f'{rpc!r} runs {_list(runs)}')
    return found


def _list(names: set[str]) -> str:
    text = ', '.join(f'{name}()' for name in sorted(names)[:LISTED])
    return text if len(names) <= LISTED else f'{text} and others'
