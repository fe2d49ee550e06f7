"""The pseud that is installed here: on asyncio, SyncClient, and with a gateway."""

import asyncio

import behind
import zmq

from harness import LOADS, AsyncioPeer, SyncPeer, greet
from pseud import Client, Server, SyncClient


class PseudTornado(AsyncioPeer):
    name = 'pseud-tornado'
    note = 'Server and Client on asyncio, protocol 2, no authentication'
    packages = ('pseud', 'pyzmq', 'msgpack', 'tornado')
    transports = ('tcp', 'ipc')

    async def serve_async(self, endpoint, ready):
        server = self.server()
        server.bind(endpoint.zmq)
        await server.start()
        ready()
        await asyncio.Event().wait()

    def server(self):
        server = Server('service')
        server.register_rpc(name='hello')(greet)
        server.register_rpc(name='echo')(lambda data: data)
        return server

    def prepare(self):
        # a client opens two sockets: its own and the monitor of it
        zmq.Context.instance().set(zmq.MAX_SOCKETS, 4096)

    async def connect(self, endpoint):
        client = Client('service', timeout=60)
        client.connect(endpoint.zmq)
        return client

    async def close(self, client):
        await client.stop()

    async def hello(self, client, name):
        return await client.hello(name)

    async def echo(self, client, data):
        return await client.echo(data)


class PseudGateway(PseudTornado):
    name = 'pseud-gateway'
    note = 'the same, passed on to a server in a third process'

    def server(self):
        client = Client('service')
        client.connect(behind.start())
        return Server('service', proxy_to=client)


class PseudSync(SyncPeer):
    name = 'pseud-sync'
    note = 'SyncClient against the asyncio Server; fan is threads'
    packages = PseudTornado.packages
    transports = ('tcp', 'ipc')
    loads = tuple(load for load in LOADS if load != 'pipe')

    def serve(self, endpoint, ready):
        PseudTornado().serve(endpoint, ready)

    def prepare(self):
        # a connection opens two sockets: its own and the monitor of it
        zmq.Context.instance().set(zmq.MAX_SOCKETS, 4096)

    def connect(self, endpoint):
        client = SyncClient('service', timeout=60)
        client.connect(endpoint.zmq)
        return client

    def hello(self, client, name):
        return client.hello(name)

    def echo(self, client, data):
        return client.echo(data)


PEERS = [PseudTornado, PseudGateway, PseudSync]
