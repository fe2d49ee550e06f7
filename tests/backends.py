"""Scenarios, what they are given, and what they must not leave behind.

A scenario is a generator function that yields what it waits for::

    @scenario
    def test_hello(net):
        server, client = net.pair()
        server.register_rpc(lambda name: f'Hello {name}', name='hello')
        assert (yield client.hello('x')) == 'Hello x'

How to wait is the business of a driver, see `drivers`; None is nothing to wait for.
Handlers that wait are generator functions too, made handlers with `Net.handler`.
"""

import functools
import inspect
import itertools
import threading
import time

import pytest
import zmq

from pseud import SyncClient
from pseud.testing import Relay

# Seconds after which something that must happen has not; the suite's timeout is longer.
PATIENCE = 30

_numbers = itertools.count()


def scenario(function=None, *, needs=()):
    """A test that is a generator function of ``net`` and of other fixtures.

    ``net`` is a fixture that makes clients and servers; ``memory`` is another.

    Args:
        needs: abilities of the driver without which there is no such test.
    """
    if function is None:
        return functools.partial(scenario, needs=needs)

    place = next(iter(inspect.signature(function).parameters))

    @functools.wraps(function)
    def test(**fixtures):
        net = fixtures.pop(place)
        net.run(function(net, **fixtures))

    test.needs = frozenset(needs)
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
        self.relays = []
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

    def relay(self, address):
        """A relay in front of a server, to make its connections fail."""
        self.relays.append(Relay(address))
        return self.relays[-1]

    def keep(self, rpc):
        """Stop this client or server at the end of the test."""
        self.made.append(rpc)
        return rpc

    def raw(self, kind, **options):
        """An ØMQ socket without pseud, in the test's context; for use in a thread."""
        socket = self.context.socket(kind)
        self.sockets.append(socket)
        options = {'linger': 0, 'rcvtimeo': PATIENCE * 1000, **options}
        for option, value in options.items():
            setattr(socket, option, value)
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
        for rpc in reversed(self.made):
            yield rpc.stop(grace=0)
        # not earlier: last words to them would linger
        for socket in self.sockets:
            socket.close()
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
        for relay in self.relays:
            relay.close()
        closing = threading.Thread(target=self.context.term, daemon=True)
        closing.start()
        closing.join(PATIENCE)
        assert not closing.is_alive(), 'an ØMQ socket was left open'


def failing(net, *, with_='raise_', **settings):
    """A client of a server whose function raises what it is told to."""
    server, client = net.pair(**settings)
    errors = []

    def raise_():
        raise errors.pop()

    server.register_rpc(raise_, name=with_)

    def fail(error):
        errors.append(error)
        return client.call(with_)

    return fail


def left_over(rpc):
    """What a client or server that was stopped still keeps: names of it."""
    if isinstance(rpc, SyncClient):
        return [f'{rpc!r} keeps {link}' for link in rpc._engine.idle]
    core = rpc._engine.core
    found = [f'{rpc!r} waits for {entry[3]}()' for entry in core.pending.values()]
    if core.running:
        found.append(f'{rpc!r} runs {core.running} calls')
    if core.peers:
        found.append(f'{rpc!r} keeps {list(core.peers)}')
    return found
