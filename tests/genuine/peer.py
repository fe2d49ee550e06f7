"""A program of pseud 1.0.1, run by a Python that has that one: it does what it is told.

Each line of stdin is an expression; its value, awaited if need be, is the answer, as text.
What it raises is answered with ``! class: its text``.  With the argument ``sync`` there is
no event loop, for its SyncClient.
"""

import asyncio
import datetime
import inspect
import sys
import traceback

import zmq
import zmq.auth.asyncio
import zope.component
import zope.interface

import pseud
from pseud.interfaces import (
    AUTHENTICATED,
    EMPTY_DELIMITER,
    HELLO,
    UNAUTHORIZED,
    VERSION,
    IAuthenticationBackend,
    IClient,
    IHeartbeatBackend,
    IServer,
)
from pseud.interfaces import HEARTBEAT as HEARTBEAT_MESSAGE
from pseud.utils import register_auth_backend, register_heartbeat_backend

# ---------------------------------------------------------------- plugins

# 1.0.1 brings none but those that do nothing: each user wrote his own, as here.


class Auth:
    """What the plugins share; those of servers know who is where."""

    def __init__(self, rpc):
        self.rpc = rpc
        self.places = {}

    def configure(self):
        pass

    async def stop(self):
        pass

    async def handle_hello(self, *args):
        pass

    async def handle_authenticated(self, message):
        pass

    async def handle_authentication(self, *args):
        pass

    def is_authenticated(self, user_id):
        return True

    def save_last_work(self, message):
        pass

    def get_predicate_arguments(self, user_id):
        return {}

    def get_routing_id(self, user_id):
        return self.places.get(user_id, user_id)

    def register_routing_id(self, user_id, routing_id):
        self.places[user_id] = routing_id


class ServerAuth(Auth):
    """With a ZAP handler."""

    def configure(self):
        self.zap = zmq.auth.asyncio.AsyncioAuthenticator(self.rpc.context)
        self.zap.start()
        self.configure_zap()

    async def stop(self):
        self.zap.stop()


def plugin(side):
    """A class decorator: a plugin for clients or for servers."""

    def register(cls):
        cls = zope.interface.implementer(IAuthenticationBackend)(cls)
        return register_auth_backend(zope.component.adapter(side)(cls))

    return register


@plugin(IClient)
class PlainClient(Auth):
    name = 'plain'

    def configure(self):
        self.rpc.socket.plain_username = self.rpc.user_id
        self.rpc.socket.plain_password = self.rpc.password


@plugin(IServer)
class PlainServer(ServerAuth):
    name = 'plain'

    def configure_zap(self):
        self.rpc.socket.plain_server = True
        self.zap.configure_plain(domain='*', passwords={'alice': 'secret'})


@plugin(IClient)
class CurveClient(Auth):
    name = 'curve'

    def configure(self):
        socket, rpc = self.rpc.socket, self.rpc
        socket.curve_publickey = rpc.public_key
        socket.curve_secretkey = rpc.secret_key
        socket.curve_serverkey = rpc.peer_public_key


@plugin(IServer)
class CurveServer(ServerAuth):
    name = 'curve'

    def configure_zap(self):
        self.rpc.socket.curve_server = True
        self.rpc.socket.curve_secretkey = self.rpc.secret_key
        self.zap.configure_curve(domain='*', location=zmq.auth.CURVE_ALLOW_ANY)


@plugin(IClient)
class LoginClient(CurveClient):
    """Is challenged, and logs in."""

    name = 'login'
    work = None
    attempts = 0

    async def handle_authentication(self, user_id, routing_id, uid):
        self.attempts += 1
        if self.attempts > 1:
            future = self.rpc.future_pool.pop(self.work[3])
            future.set_exception(PermissionError('refused'))
            return
        login = self.rpc.packer.packb((self.rpc.user_id, self.rpc.password))
        server = self.rpc.peer_routing_id
        await self.rpc.send_message(
            [server, EMPTY_DELIMITER, VERSION, uid, HELLO, login]
        )

    async def handle_authenticated(self, message):
        await self.rpc.send_message(self.work)

    def save_last_work(self, message):
        self.work = message


@plugin(IServer)
class LoginServer(CurveServer):
    """Challenges."""

    name = 'login'

    def __init__(self, rpc):
        super().__init__(rpc)
        self.known = set()

    def is_authenticated(self, user_id):
        return user_id in self.known

    async def handle_authentication(self, user_id, routing_id, uid):
        await self.say(routing_id, uid, UNAUTHORIZED, b'who are you?')

    async def handle_hello(self, user_id, routing_id, uid, message):
        if self.rpc.packer.unpackb(message) in (
            ('alice', 'secret'),
            (b'alice', b'secret'),
        ):
            self.known.add(user_id)
            await self.say(routing_id, uid, AUTHENTICATED, b'Welcome')
        else:
            await self.say(routing_id, uid, UNAUTHORIZED, b'wrong')

    async def say(self, routing_id, uid, kind, text):
        await self.rpc.send_message(
            [routing_id, EMPTY_DELIMITER, VERSION, uid, kind, text]
        )


class Beats:
    """Clients say every now and then that they are there; servers count that."""

    def __init__(self, rpc):
        self.rpc = rpc
        self.heard = {}
        self.task = None

    def configure(self):
        if isinstance(self.rpc, pseud.Client):
            self.task = self.rpc.loop.create_task(self.beat())

    async def beat(self):
        server = self.rpc.peer_routing_id
        message = [server, EMPTY_DELIMITER, VERSION, b'', HEARTBEAT_MESSAGE, b'.']
        while True:
            try:
                await self.rpc.send_message(message)
            except zmq.ZMQError:  # not connected yet
                pass
            await asyncio.sleep(0.02)

    async def handle_heartbeat(self, user_id, routing_id):
        self.heard[user_id] = self.heard.get(user_id, 0) + 1

    async def handle_timeout(self, *args):
        pass

    async def stop(self):
        if self.task is not None:
            self.task.cancel()


for side in (IClient, IServer):

    @register_heartbeat_backend
    @zope.interface.implementer(IHeartbeatBackend)
    @zope.component.adapter(side)
    class BeatsOfSide(Beats):
        name = 'beats'


# ---------------------------------------------------------------- what is told


class OutOfMilk(Exception):
    """A class that others do not know."""


def register(rpc):
    """The functions of both sides."""

    def fail(known):
        raise LookupError('no such cow') if known else OutOfMilk('empty')

    async def nap(seconds):
        await asyncio.sleep(seconds)
        return seconds

    async def ask(user_id, name, *args):
        return await getattr(rpc.send_to(user_id), name)(*args)

    functions = {
        'same': lambda value: value,
        'add': lambda left, right=0: left + right,
        'fail': fail,
        'nap': nap,
        'ask': ask,
        'odd': lambda: object(),
    }
    for name, function in functions.items():
        rpc.register_rpc(function, name=name)


async def serve(**settings):
    """Start ``server``; its address."""
    server = pseud.Server(b'service', **settings)
    server.bind('tcp://127.0.0.1:*')
    register(server)
    await server.start()
    names['server'] = server
    return server.socket.last_endpoint.decode()


async def connect(endpoint, **settings):
    """Start ``client``."""
    client = pseud.Client(b'service', **settings)
    client.connect(endpoint)
    register(client)
    await client.start()
    names['client'] = client


def connect_sync(endpoint, **settings):
    """Make ``client``."""
    client = pseud.SyncClient(**settings)
    client.connect(endpoint)
    names['client'] = client


names = {
    'asyncio': asyncio,
    'connect': connect,
    'connect_sync': connect_sync,
    'datetime': datetime,
    'serve': serve,
    'tasks': [],
}


def say(error):
    lines = traceback.format_exception_only(error)
    return f'! {"".join(lines)!r}'


async def main():
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        try:
            value = eval(line, names)
            if inspect.isawaitable(value):
                value = await value
        except Exception as error:
            print(say(error), flush=True)
        else:
            print(repr(value), flush=True)


def main_sync():
    asyncio.set_event_loop(asyncio.new_event_loop())
    for line in sys.stdin:
        try:
            print(repr(eval(line, names)), flush=True)
        except Exception as error:
            print(say(error), flush=True)


if __name__ == '__main__':
    if 'sync' in sys.argv:
        main_sync()
    else:
        asyncio.run(main())
