"""Raw zmq.asyncio, no serialisation."""

import zmq
import zmq.asyncio

from harness import ANSWER, WINDOW, AsyncioPeer, clock

CALL = b'\x93\xa5hello\x91\xa6Charly\x80'
HEAD = [b'', b'\x01', b'0123456789abcdef']


class ZmqAsyncio(AsyncioPeer):
    name = 'zmq-asyncio'
    note = 'zmq.asyncio DEALER/ROUTER, a call is 1 frame'
    packages = ('pyzmq',)
    transports = default = ('tcp', 'ipc')
    head = []

    async def serve_async(self, endpoint, ready):
        socket = zmq.asyncio.Context().socket(zmq.ROUTER)
        socket.bind(endpoint.zmq)
        ready()
        while True:
            await socket.send_multipart(await socket.recv_multipart())

    def prepare(self):
        self.context = zmq.asyncio.Context()
        self.context.set(zmq.MAX_SOCKETS, 4096)

    async def connect(self, endpoint):
        socket = self.context.socket(zmq.DEALER)
        socket.linger = 0
        socket.connect(endpoint.zmq)
        return socket

    async def hello(self, socket, name):
        await socket.send_multipart([*self.head, CALL])
        await socket.recv_multipart()
        return ANSWER

    async def echo(self, socket, data):
        await socket.send_multipart([*self.head, data])
        return (await socket.recv_multipart())[-1]

    async def pipe(self, socket, seconds):
        message = [*self.head, CALL]
        end = clock() + seconds
        for _ in range(WINDOW):
            await socket.send_multipart(message)
        calls = 0
        while clock() < end:
            await socket.recv_multipart()
            await socket.send_multipart(message)
            calls += 1
        for _ in range(WINDOW):
            await socket.recv_multipart()
        return calls + WINDOW


class FourFrames(ZmqAsyncio):
    name = 'zmq-asyncio-4f'
    note = 'zmq.asyncio DEALER/ROUTER, a call is 4 frames'
    default = ('tcp',)
    loads = ('seq', 'pipe', 'fan')
    head = HEAD


PEERS = [ZmqAsyncio, FourFrames]
