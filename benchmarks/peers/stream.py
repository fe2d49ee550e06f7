"""What one could write by hand: asyncio.Protocol, length-prefixed msgpack."""

import asyncio
from struct import Struct

import msgpack

from harness import AsyncioPeer, greet

LENGTH = Struct('>I')


class Framed(asyncio.BufferedProtocol):
    """Splits what arrives into objects; the first write of a turn of the loop goes out
    at once, further ones together at its end."""

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.inbox = bytearray(16384)
        self.used = 0
        self.outbox = []
        self.flushing = False
        self.pack = msgpack.Packer(autoreset=True).pack

    def connection_made(self, transport):
        self.transport = transport

    def get_buffer(self, sizehint):
        return memoryview(self.inbox)[self.used :]

    def buffer_updated(self, count):
        inbox = self.inbox
        view = memoryview(inbox)
        used = self.used + count
        start = 0
        while used - start >= 4:
            (length,) = LENGTH.unpack_from(inbox, start)
            end = start + 4 + length
            if end > used:
                if 4 + length > len(inbox):  # will never fit: make room once
                    self.inbox = bytearray(4 + length)
                    self.inbox[: used - start] = view[start:used]
                    self.used = used - start
                    return
                break
            self.received(msgpack.unpackb(view[start + 4 : end]))
            start = end
        if start and start < used:
            inbox[: used - start] = inbox[start:used]
        self.used = used - start

    def send(self, message):
        body = self.pack(message)
        if len(body) > 65536:
            self.flush()
            self.transport.write(LENGTH.pack(len(body)))
            self.transport.write(body)
        elif self.flushing:
            self.outbox.append(LENGTH.pack(len(body)) + body)
        else:
            self.transport.write(LENGTH.pack(len(body)) + body)
            self.flushing = True
            self.loop.call_soon(self.flush)

    def flush(self):
        self.flushing = False
        if self.outbox:
            self.transport.write(b''.join(self.outbox))
            self.outbox.clear()


class ServerSide(Framed):
    methods = {'hello': greet, 'echo': lambda data: data}

    def received(self, message):
        number, name, args = message
        self.send([number, self.methods[name](*args)])


class ClientSide(Framed):
    def __init__(self):
        super().__init__()
        self.calls = {}
        self.number = 0

    def call(self, name, *args):
        self.number = number = self.number + 1
        self.calls[number] = future = self.loop.create_future()
        self.send([number, name, args])
        return future

    def received(self, message):
        number, result = message
        self.calls.pop(number).set_result(result)


class Stream(AsyncioPeer):
    name = 'stream-asyncio'
    note = 'hand-rolled Protocol + msgpack, plain asyncio'
    packages = ('msgpack',)
    transports = ('tcp', 'ipc')

    async def serve_async(self, endpoint, ready):
        loop = asyncio.get_running_loop()
        if endpoint.transport == 'ipc':
            server = await loop.create_unix_server(ServerSide, endpoint.path)
        else:
            server = await loop.create_server(
                ServerSide, endpoint.host, endpoint.port, backlog=1024
            )
        ready()
        await server.serve_forever()

    async def connect(self, endpoint):
        loop = asyncio.get_running_loop()
        if endpoint.transport == 'ipc':
            _, client = await loop.create_unix_connection(ClientSide, endpoint.path)
        else:
            _, client = await loop.create_connection(
                ClientSide, endpoint.host, endpoint.port
            )
        return client

    async def close(self, client):
        client.transport.close()

    async def hello(self, client, name):
        return await client.call('hello', name)

    async def echo(self, client, data):
        return await client.call('echo', data)


class StreamUvloop(Stream):
    name = 'stream-uvloop'
    note = 'hand-rolled Protocol + msgpack, uvloop'
    packages = ('msgpack', 'uvloop')
    uvloop = True


PEERS = [Stream, StreamUvloop]
