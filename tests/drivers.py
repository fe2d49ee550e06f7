"""Drivers that run scenarios: one small class for each backend.

How to wait is the driver's business: tornado's awaits inside a running asyncio loop,
gevent's calls ``.get()``; None is nothing to wait for.  A new backend is a new `Driver`,
put into `DRIVERS`.
"""

import asyncio
import concurrent.futures
import contextvars
import functools
import inspect

from pseud.caller import Caller
from pseud.sync import SyncClient

# Calls of one scenario that may wait at the same time, each in a thread.
THREADS = 128


class Driver:
    """How scenarios run on a backend.

    Attributes:
        name: of the backend.
        requires: what must be installed for it.
        abilities: what scenarios may ask for with ``@scenario(needs=...)``:
            'results' (calls give something to wait for or to cancel), 'callable' (its
            clients can be called by the server), 'loop' (clients live on an event loop:
            in its thread, and calls wait there for a connection).
        cancelled: what is raised in a handler that is cancelled.
        result_cancelled: what waiting for a cancelled call raises.
        Client, Server: its classes.
    """

    name = ''
    requires = ''
    abilities = frozenset({'results', 'callable', 'loop'})
    cancelled: type[BaseException]
    result_cancelled: type[BaseException]

    def run(self, generator, close):
        """Run a scenario to its end, then the generator ``close``."""
        raise NotImplementedError

    def handler(self, function):
        """Make a generator function a handler; other functions are one already."""
        raise NotImplementedError

    def event(self):
        """Something with ``set()``, ``is_set()`` and a ``wait()`` to yield."""
        raise NotImplementedError

    def sleep(self, seconds):
        """To yield: let others run for so long."""
        raise NotImplementedError

    def spawn(self, generator):
        """Run a generator beside the scenario; what is returned may be yielded."""
        raise NotImplementedError

    def thread(self, function, *args):
        """To yield: the result of a blocking function, run in a thread."""
        raise NotImplementedError

    def left_over(self):
        """Names of what still runs and should not."""
        raise NotImplementedError


class Tornado(Driver):
    """asyncio's loop, which is tornado's."""

    name = 'tornado'
    requires = 'tornado'
    cancelled = asyncio.CancelledError
    result_cancelled = asyncio.CancelledError

    def __init__(self):
        from pseud._tornado import Client, Server

        self.Client, self.Server = Client, Server

    def run(self, generator, close):
        async def main():
            try:
                await _drive(generator)
            finally:
                await _drive(close)

        asyncio.run(main())

    def handler(self, function):
        if not inspect.isgeneratorfunction(function):
            return function

        @functools.wraps(function)
        async def handle(*args, **kwargs):
            return await _drive(function(*args, **kwargs))

        return handle

    def event(self):
        return asyncio.Event()

    def sleep(self, seconds):
        return asyncio.sleep(seconds)

    def spawn(self, generator):
        return asyncio.ensure_future(_drive(generator))

    def thread(self, function, *args):
        return asyncio.to_thread(function, *args)

    def left_over(self):
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        return [f'task {task}' for task in tasks if not task.done()]


async def _drive(generator):
    """Await what a generator yields, and throw into it what that raises."""
    step = functools.partial(generator.send, None)
    while True:
        try:
            wanted = step()
        except StopIteration as stop:
            return stop.value
        try:
            value = None if wanted is None else await wanted
        except BaseException as error:
            step = functools.partial(generator.throw, error)
        else:
            step = functools.partial(generator.send, value)


class Gevent(Driver):
    """gevent's hub."""

    name = 'gevent'
    requires = 'gevent'

    def __init__(self):
        import gevent
        import gevent.event
        import greenlet

        from pseud._gevent import Client, Server

        self.Client, self.Server = Client, Server
        self.gevent = gevent
        self.cancelled = greenlet.GreenletExit
        self.result_cancelled = concurrent.futures.CancelledError

        class Event(gevent.event.AsyncResult):
            is_set = gevent.event.AsyncResult.ready

            def set(self):
                super().set(None)

            def wait(self):
                return self

        class Spawned(gevent.Greenlet):
            done = gevent.Greenlet.ready

        self.event = Event
        self.spawned = Spawned

    def run(self, generator, close):
        try:
            _pull(generator)
        finally:
            _pull(close)

    def handler(self, function):
        if not inspect.isgeneratorfunction(function):
            return function

        @functools.wraps(function)
        def handle(*args, **kwargs):
            return _pull(function(*args, **kwargs))

        return handle

    def sleep(self, seconds):
        return self.spawned.spawn(self.gevent.sleep, seconds)

    def spawn(self, generator):
        return self.spawned.spawn(_pull, generator)

    def thread(self, function, *args):
        return self.gevent.get_hub().threadpool.spawn(function, *args)

    def left_over(self):
        return []


def _pull(generator):
    """The same by ``get()``."""
    step = functools.partial(generator.send, None)
    while True:
        try:
            wanted = step()
        except StopIteration as stop:
            return stop.value
        try:
            value = None if wanted is None else wanted.get()
        except BaseException as error:
            step = functools.partial(generator.throw, error)
        else:
            step = functools.partial(generator.send, value)


class ThreadedCalls:
    """A `SyncClient`'s engine whose calls run in threads, so that scenarios go on."""

    def __init__(self, driver, engine):
        self.driver = driver
        self.engine = engine

    def call(self, *call):
        # as contextvars say in which handler a call is made
        context = contextvars.copy_context()
        return self.driver.thread(context.run, self.engine.call, *call)


class Sync:
    """What `SyncClient` makes of another driver, whose loop runs server and scenario.

    The client is called from threads; what a scenario waits for is a thread's end.
    """

    abilities = frozenset()

    def __init__(self):
        super().__init__()
        driver = self

        class Client(SyncClient):
            def __init__(self, name='', **settings):
                super().__init__(name, **settings)
                calls = ThreadedCalls(driver, self._engine)
                self._caller = Caller(calls, self.settings.timeout)

        self.Client = Client


class SyncTornado(Sync, Tornado):
    """SyncClient to a server on tornado."""

    name = 'sync'

    def run(self, generator, close):
        # one that waits must not keep another from starting
        with concurrent.futures.ThreadPoolExecutor(THREADS) as self.executor:
            super().run(generator, close)

    def thread(self, function, *args):
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self.executor, function, *args)


class SyncGevent(Sync, Gevent):
    """SyncClient to a server on gevent."""

    name = 'sync-gevent'

    def run(self, generator, close):
        self.executor = self.gevent.get_hub().threadpool_class(THREADS)
        try:
            super().run(generator, close)
        finally:
            self.executor.kill()

    def thread(self, function, *args):
        return self.executor.spawn(function, *args)


DRIVERS = {driver.name: driver for driver in (Tornado, Gevent, SyncTornado, SyncGevent)}
