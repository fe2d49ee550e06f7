"""A server as a program of its own, the same on both backends, and how to start it."""

import json

from programs import Program

__all__ = ['BACKENDS', 'Service']

# environment in which `pseud.Server` is of that backend
BACKENDS = {'tornado': {'NO_TORNADO': None}, 'gevent': {'NO_TORNADO': '1'}}

SERVICE = """
import json, os

if os.environ.get('PATCHED'):
    from gevent import monkey
    monkey.patch_all()

from pseud import Server, current_call

server = Server('service', **json.loads(os.environ['SETTINGS']))
together = []

if os.environ.get('NO_TORNADO'):
    import gevent, gevent.event

    def wait():
        say('waiting')
        gevent.event.Event().wait()

    def after(seconds, value):
        gevent.sleep(seconds)
        return value

    def meet(count):
        together.append(gevent.event.Event())
        if len(together) == count:
            for event in together:
                event.set()
            together.clear()
        else:
            together[-1].wait()
        return count

    def call_back(user_id, name, *args):
        return server.send_to(user_id).call(name, *args).get()

    def ask(name, *args):
        return current_call().caller.call(name, *args).get()
else:
    import asyncio

    async def wait():
        say('waiting')
        await asyncio.Event().wait()

    async def after(seconds, value):
        await asyncio.sleep(seconds)
        return value

    async def meet(count):
        together.append(asyncio.Event())
        if len(together) == count:
            for event in together:
                event.set()
            together.clear()
        else:
            await together[-1].wait()
        return count

    async def call_back(user_id, name, *args):
        return await server.send_to(user_id).call(name, *args)

    async def ask(name, *args):
        return await current_call().caller.call(name, *args)

for function in (wait, after, meet, ask):
    server.register_rpc(function)
server.register_rpc(call_back, with_identity=True)
server.register_rpc(os.getpid, name='pid')

@server.register_rpc
def same(value):
    return value

@server.register_rpc
def fail(text):
    raise ValueError(text)

@server.register_rpc
def peers():
    return len(server._engine.core.peers)

@server.register_rpc
def run(key):
    descriptor = os.open(os.environ['RUNS'], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f'{key}\\n'.encode())
    os.close(descriptor)
    return key

say(server.bind(os.environ.get('ADDRESS') or 'tcp://127.0.0.1:*'))
server.serve_forever()
say('end')
"""


class Service(Program):
    """The server.

    Functions: same, fail, wait, after, meet, run, pid, peers, call_back, ask.

    Args:
        backend: its name.
        address: to bind to; a free port by default.
        runs: file that gets a line for each run of ``run(key)``.
        settings: of the `Server`.

    Attributes:
        address: where it listens.
    """

    def __init__(self, backend='tornado', address='', runs='', env=None, **settings):
        super().__init__(
            SERVICE,
            env={
                **BACKENDS[backend],
                'ADDRESS': address,
                'RUNS': str(runs),
                'SETTINGS': json.dumps(settings),
                **(env or {}),
            },
        )
        self.address = self.line()
