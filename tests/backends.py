"""Scenarios, and the drivers that run them: one small class for each backend.

A scenario is a generator function that yields what it waits for::

    @scenario
    def test_hello(net):
        server, client = net.pair()
        server.register_rpc(lambda name: f'Hello {name}', name='hello')
        assert (yield client.hello('x')) == 'Hello x'

How to wait is the driver's business: tornado's awaits inside a running asyncio loop,
gevent's calls ``.get()``; None is nothing to wait for.  Handlers that wait are generator
functions too, made handlers with `Net.handler`.  A new backend is a new `Driver`, put
into `DRIVERS`.
"""

import asyncio
import concurrent.futures
import functools
import inspect
import itertools
import threading
import time

import pytest
import zmq

# Seconds after which something that must happen has not; the suite's timeout is longer.
PATIENCE = 30

_numbers = itertools.count()


class Driver:
    """How scenarios run on a backend.

    Attributes:
        name: of the backend.
        requires: what must be installed for it.
        abilities: what scenarios may ask for with ``@scenario(needs=...)``:
            'results' (calls give something to wait for or to cancel), 'callable' (its
            clients can be called by the server).
        cancelled: what is raised in a handler that is cancelled.
        result_cancelled: what waiting for a cancelled call raises.
        Client, Server: its classes.
    """

    name = ''
    requires = ''
    abilities = frozenset({'results', 'callable'})
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


DRIVERS = {driver.name: driver for driver in (Tornado, Gevent)}


def scenario(function=None, *, needs=()):
    """A test that is a generator function of ``net`` and of other fixtures.

    Args:
        needs: abilities of the driver without which it is skipped.
    """
    if function is None:
        return functools.partial(scenario, needs=needs)

    @functools.wraps(function)
    def test(net, **fixtures):
        missing = set(needs) - net.driver.abilities
        if missing:
            pytest.skip(f'{net.driver.name} has no {", ".join(missing)}')
        net.run(function(net, **fixtures))

    return test


class Net:
    """Makes servers and clients for a test, and sees that nothing of them is left.

    They live in an ØMQ context of their own.
    """

    def __init__(self, driver, directory):
        self.driver = driver
        self.directory = directory
        self.context = zmq.Context()
        self.made = []
        self.sockets = []
        self.handler = driver.handler
        self.event = driver.event
        self.sleep = driver.sleep
        self.spawn = driver.spawn
        self.thread = driver.thread

    # ---------------------------------------------------------------- for scenarios

    def address(self, transport='tcp'):
        """A free address to bind to."""
        if transport == 'tcp':
            return 'tcp://127.0.0.1:*'
        if transport == 'ipc':
            return f'ipc://{self.directory}/{next(_numbers)}'
        return f'inproc://pseud-test-{next(_numbers)}'

    def server(self, name='service', **settings):
        """A server that does not listen yet."""
        return self.keep(self.driver.Server(name, context=self.context, **settings))

    def serve(self, name='service', transport='tcp', **settings):
        """A server and the address it listens at."""
        server = self.server(name, **settings)
        return server, server.bind(self.address(transport))

    def client(self, *addresses, name='service', **settings):
        """A client, connected to addresses."""
        made = self.driver.Client(name, context=self.context, **settings)
        self.keep(made)
        for address in addresses:
            made.connect(address)
        return made

    def pair(self, transport='tcp', **settings):
        """A server and a client of it, who both have these settings."""
        server, address = self.serve(transport=transport, **settings)
        return server, self.client(address, **settings)

    def users(self, *names, **settings):
        """A server that knows its clients' names, and a client for each."""
        server, address = self.serve(security_plugin='trusted_peer', **settings)
        return server, *(self.user(address, name, **settings) for name in names)

    def user(self, address, user_id, password='', **settings):
        """A client with a name."""
        return self.client(
            address,
            security_plugin='plain',
            user_id=user_id,
            password=password,
            **settings,
        )

    def keep(self, rpc):
        """Stop this client or server at the end of the test."""
        self.made.append(rpc)
        return rpc

    def raw(self, kind, **options):
        """An ØMQ socket without pseud, in the test's context; for use in a thread."""
        socket = self.context.socket(kind)
        options = {'linger': 0, 'rcvtimeo': PATIENCE * 1000, **options}
        for option, value in options.items():
            setattr(socket, option, value)
        self.sockets.append(socket)
        return socket

    def until(self, condition):
        """``yield from`` this until ``condition()`` holds."""
        give_up = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < give_up, (
                f'in vain: {inspect.getsource(condition)}'
            )
            yield self.sleep(0.002)

    def all(self, results):
        """``yield from`` this: what calls return, as a list."""
        values = []
        for result in results:
            values += [(yield result)]
        return values

    def outcome(self, result):
        """``yield from`` this: what a call returned, or the exception it raised."""
        try:
            return (yield result)
        except (Exception, self.driver.result_cancelled) as error:
            return error

    def raises(self, expected, result, match=None):
        """``yield from`` this: the exception that waiting for ``result`` raises."""
        with pytest.raises(expected, match=match) as caught:
            yield result
        return caught.value

    # ---------------------------------------------------------------- for the fixture

    def run(self, generator):
        """Run a scenario; whatever it leaves behind fails it."""
        self.driver.run(generator, self._close())

    def _close(self):
        for socket in self.sockets:
            socket.close()
        for rpc in reversed(self.made):
            yield rpc.stop(grace=0)
        # a cancelled handler has its last words
        give_up = time.monotonic() + PATIENCE
        while self.driver.left_over() and time.monotonic() < give_up:
            yield self.sleep(0.002)
        found = self.driver.left_over()
        for rpc in self.made:
            found += left_over(rpc)
        assert not found, f'left over: {found}'

    def close(self):
        """Nothing may hold the context any more: a socket left open would."""
        for socket in self.sockets:
            socket.close()
        closing = threading.Thread(target=self.context.term, daemon=True)
        closing.start()
        closing.join(PATIENCE)
        assert not closing.is_alive(), 'an ØMQ socket was left open'


def left_over(rpc):
    """What a client or server that was stopped still keeps: names of it."""
    core = rpc._engine.core
    found = [f'{rpc!r} waits for {entry[3]}()' for entry in core.pending.values()]
    if core.running:
        found.append(f'{rpc!r} runs {core.running} calls')
    if core.peers:
        found.append(f'{rpc!r} keeps {list(core.peers)}')
    return found
