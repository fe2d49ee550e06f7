"""The asyncio version of pseud, with its noop security plugin (its default)."""

import asyncio
from importlib.metadata import version

import zmq
import zmq.asyncio

from harness import AsyncioPeer, SyncPeer, greet
from pseud import Client, Server, SyncClient

if not version('pseud').startswith('1.'):
    # this venv holds the pseud of this repository, which has the same name
    raise ImportError(
        'set BENCH_PYTHON_UPSTREAM_PSEUD to a Python that has pseud 1.0.1'
    )


class Upstream(AsyncioPeer):
    name = 'upstream-pseud'
    note = 'Server and Client; heartbeat and security off'
    packages = ('pseud', 'pyzmq', 'msgpack', 'zope.component')
    transports = ('tcp', 'ipc')

    async def serve_async(self, endpoint, ready):
        server = Server(b'service')
        server.bind(endpoint.zmq)
        server.register_rpc(name='hello')(greet)
        server.register_rpc(name='echo')(lambda data: data)
        await server.start()
        ready()
        await asyncio.Event().wait()

    def prepare(self):
        zmq.asyncio.Context.instance().set(zmq.MAX_SOCKETS, 4096)

    async def connect(self, endpoint):
        client = Client(b'service', timeout=60)
        client.connect(endpoint.zmq)
        await client.start()
        return client

    async def close(self, client):
        await client.stop()

    async def hello(self, client, name):
        return await client.hello(name)

    async def echo(self, client, data):
        return await client.echo(data)


class UpstreamSync(SyncPeer):
    name = 'upstream-pseud-sync'
    note = 'SyncClient against the same server'
    packages = Upstream.packages
    transports = ('tcp', 'ipc')
    loads = ('seq', 'bulk1', 'bulk16')

    def serve(self, endpoint, ready):
        Upstream().serve(endpoint, ready)

    def connect(self, endpoint):
        client = SyncClient(timeout=60)
        client.connect(endpoint.zmq)
        return client

    def close(self, client):
        client.stop()

    def hello(self, client, name):
        return client.hello(name)

    def echo(self, client, data):
        return client.echo(data)


PEERS = [Upstream, UpstreamSync]
