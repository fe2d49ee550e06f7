import asyncio

import aiozmq.rpc
import zmq

from harness import AsyncioPeer, greet


class Handler(aiozmq.rpc.AttrHandler):
    @aiozmq.rpc.method
    def hello(self, name: str) -> str:
        return greet(name)

    @aiozmq.rpc.method
    def echo(self, data: bytes) -> bytes:
        return data


class AioZmq(AsyncioPeer):
    name = 'aiozmq'
    note = 'aiozmq.rpc on plain asyncio'
    packages = ('aiozmq', 'pyzmq', 'msgpack')
    transports = ('tcp', 'ipc')

    async def serve_async(self, endpoint, ready):
        await aiozmq.rpc.serve_rpc(Handler(), bind=endpoint.zmq)
        ready()
        await asyncio.Event().wait()

    def prepare(self):
        zmq.Context.instance().set(zmq.MAX_SOCKETS, 4096)

    async def connect(self, endpoint):
        return await aiozmq.rpc.connect_rpc(connect=endpoint.zmq)

    async def close(self, client):
        client.close()
        await client.wait_closed()

    async def hello(self, client, name):
        return await client.call.hello(name)

    async def echo(self, client, data):
        return await client.call.echo(data)


PEERS = [AioZmq]
