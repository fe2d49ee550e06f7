"""Raw pyzmq through tornado's ZMQStream, no serialisation."""

import asyncio
from collections import deque

import zmq
from zmq.eventloop.zmqstream import ZMQStream

from harness import ANSWER, AsyncioPeer

CALL = b'\x93\xa5hello\x91\xa6Charly\x80'


class Client:
    def __init__(self, context, endpoint):
        self.waiting = deque()
        socket = context.socket(zmq.DEALER)
        socket.linger = 0
        socket.connect(endpoint.zmq)
        self.stream = ZMQStream(socket)
        self.stream.on_recv(self.answered)
        self.loop = asyncio.get_running_loop()

    def answered(self, frames):
        self.waiting.popleft().set_result(frames)

    def call(self, frames):
        future = self.loop.create_future()
        self.waiting.append(future)
        self.stream.send_multipart(frames)
        return future

    def close(self):
        self.stream.close()


class ZmqStreamPeer(AsyncioPeer):
    name = 'zmq-zmqstream'
    note = 'tornado ZMQStream, future per call, 1 frame'
    packages = ('pyzmq', 'tornado')
    loads = ('seq', 'pipe', 'fan', 'bulk1', 'bulk16')

    async def serve_async(self, endpoint, ready):
        socket = zmq.Context().socket(zmq.ROUTER)
        socket.bind(endpoint.zmq)
        stream = ZMQStream(socket)
        stream.on_recv(stream.send_multipart)
        ready()
        await asyncio.Event().wait()

    def prepare(self):
        self.context = zmq.Context()
        self.context.set(zmq.MAX_SOCKETS, 4096)

    async def connect(self, endpoint):
        return Client(self.context, endpoint)

    async def hello(self, client, name):
        await client.call([CALL])
        return ANSWER

    async def echo(self, client, data):
        return (await client.call([data]))[-1]


PEERS = [ZmqStreamPeer]
