"""Programs as users of each backend write them, and those of README.md."""

import re
from pathlib import Path

__all__ = ['ADDRESS', 'EXAMPLES', 'SERVER', 'of_readme']

README = Path(__file__).resolve().parent.parent.parent / 'README.md'
ADDRESS = 'tcp://127.0.0.1:5555'

SERVER = """
from pseud import Server
server = Server('service')
server.bind('tcp://127.0.0.1:5555')

@server.register_rpc
def hello(name):
    return 'Hello {0}'.format(name)

server.serve_forever()
"""

TORNADO_SERVER = """
from pseud import Server
server = Server('service')
server.bind('tcp://127.0.0.1:5555')

@server.register_rpc
def hello(name):
    return 'Hello {0}'.format(name)

server.start()                      # blocks: no loop is running in this thread
"""

TORNADO_CLIENT = """
import asyncio
from pseud import Client

async def main():
    client = Client('service', io_loop=asyncio.get_running_loop())
    client.connect('tcp://127.0.0.1:5555')
    print(await client.hello('Charly'))
    await client.stop()

asyncio.run(main())
"""

COROUTINE_CLIENT = """
from tornado import gen, ioloop
from pseud import Client

@gen.coroutine
def main():
    client = Client('service', io_loop=ioloop.IOLoop.current())
    client.connect('tcp://127.0.0.1:5555')
    print((yield client.hello('Charly')))
    yield client.stop()

ioloop.IOLoop.current().run_sync(main)
"""

GEVENT_SERVER = """
import gevent.event
from pseud import Server
server = Server('service')
server.bind('tcp://127.0.0.1:5555')

@server.register_rpc
def hello(name):
    return 'Hello {0}'.format(name)

server.start()                      # returns at once
gevent.event.Event().wait()
"""

GEVENT_CLIENT = """
from pseud import Client
client = Client('service')
client.connect('tcp://127.0.0.1:5555')
print(client.hello('Charly').get())
client.stop()
"""

SYNC_CLIENT = """
from pseud import SyncClient
client = SyncClient()
client.connect('tcp://127.0.0.1:5555')
print(client.hello('Charly'))
"""

TORNADO_CALLS_CLIENT = """
from pseud import Server
server = Server('service', security_plugin='trusted_peer')
server.bind('tcp://127.0.0.1:5555')

@server.register_rpc
async def order():
    return await server.send_to('alice').draw.me.a.sheep()

server.serve_forever()
"""

TORNADO_CALLED_CLIENT = """
import asyncio
from pseud import Client

async def main():
    client = Client('service', security_plugin='plain', user_id='alice', password='')
    client.connect('tcp://127.0.0.1:5555')

    @client.register_rpc(name='draw.me.a.sheep')
    def sheep(): return 'beeeh'

    print(await client.order())
    await client.stop()

asyncio.run(main())
"""

GEVENT_CALLS_CLIENT = """
from pseud import Server
server = Server('service', security_plugin='trusted_peer')
server.bind('tcp://127.0.0.1:5555')

@server.register_rpc
def order():
    return server.send_to('alice').draw.me.a.sheep().get()

server.serve_forever()
"""

GEVENT_CALLED_CLIENT = """
from pseud import Client
client = Client('service', security_plugin='plain', user_id='alice', password='')
client.connect('tcp://127.0.0.1:5555')

@client.register_rpc(name='draw.me.a.sheep')
def sheep(): return 'beeeh'

print(client.order().get())
client.stop()
"""

# name: (server, client, what the client prints)
EXAMPLES = {
    'tornado': (TORNADO_SERVER, TORNADO_CLIENT, 'Hello Charly\n'),
    'coroutine': (TORNADO_SERVER, COROUTINE_CLIENT, 'Hello Charly\n'),
    'tornado calls back': (TORNADO_CALLS_CLIENT, TORNADO_CALLED_CLIENT, 'beeeh\n'),
    'gevent': (GEVENT_SERVER, GEVENT_CLIENT, 'Hello Charly\n'),
    'gevent calls back': (GEVENT_CALLS_CLIENT, GEVENT_CALLED_CLIENT, 'beeeh\n'),
    'blocking': (SERVER, SYNC_CLIENT, 'Hello Charly\n'),
}


def of_readme(backend):
    """The examples of README.md for 'tornado', 'gevent', or 'none' with SyncClient.

    The ``python`` blocks before a ``text`` block are server.py and client.py, and the
    text is what the client prints.  ``# client.py (NO_TORNADO=1)`` is for gevent.
    """
    server = client = None
    for language, content in re.findall(
        r'^```(\w+)\n(.*?)^```$', README.read_text(), re.MULTILINE | re.DOTALL
    ):
        if content.startswith('# server.py'):
            server = content
        elif content.startswith('# client.py'):
            client = content
        elif language == 'text':
            if _backend(client) == backend:
                yield server, client, content
            server = client = None


def _backend(client):
    if re.search(r'import .*\bSyncClient\b', client):
        return 'none'
    return 'gevent' if 'NO_TORNADO=1' in client.partition('\n')[0] else 'tornado'
