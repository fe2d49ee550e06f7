import asyncio
import os

import capnp

from harness import AsyncioPeer, greet

schema = capnp.load(os.path.join(os.path.dirname(__file__), 'echo.capnp'))
WORDS = 1 << 26  # let a message be this long


class Service(schema.Echo.Server):
    async def hello(self, name, **context):
        return greet(name)

    async def echo(self, data, **context):
        return data


class Client:
    def __init__(self, stream):
        self.stream = stream
        self.client = capnp.TwoPartyClient(stream, traversal_limit_in_words=WORDS)
        self.stub = self.client.bootstrap().cast_as(schema.Echo)

    def close(self):
        self.client.close()


class Capnp(AsyncioPeer):
    name = 'capnp'
    note = 'pycapnp RPC on asyncio'
    packages = ('pycapnp',)
    transports = ('tcp', 'ipc')

    def run_async(self, main):
        return asyncio.run(capnp.run(main))

    async def serve_async(self, endpoint, ready):
        async def connected(stream):
            server = capnp.TwoPartyServer(
                stream, bootstrap=Service(), traversal_limit_in_words=WORDS
            )
            await server.on_disconnect()

        if endpoint.transport == 'ipc':
            server = await capnp.AsyncIoStream.create_unix_server(
                connected, endpoint.path
            )
        else:
            server = await capnp.AsyncIoStream.create_server(
                connected, endpoint.host, endpoint.port, backlog=1024
            )
        ready()
        async with server:
            await server.serve_forever()

    async def connect(self, endpoint):
        if endpoint.transport == 'ipc':
            stream = await capnp.AsyncIoStream.create_unix_connection(endpoint.path)
        else:
            stream = await capnp.AsyncIoStream.create_connection(
                endpoint.host, endpoint.port
            )
        return Client(stream)

    async def hello(self, client, name):
        return (await client.stub.hello(name)).text

    async def echo(self, client, data):
        return (await client.stub.echo(data)).data


PEERS = [Capnp]
