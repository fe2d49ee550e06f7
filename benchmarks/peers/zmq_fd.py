"""Raw pyzmq on asyncio without zmq.asyncio: watch the socket's FD, drain, repeat."""

import asyncio
from collections import deque

import zmq

from harness import ANSWER, AsyncioPeer

CALL = b'\x93\xa5hello\x91\xa6Charly\x80'


class Reader:
    """Calls on_message(frames) for every message; sends without waiting.

    The FD is edge-triggered: it tells of a change once, and a send may swallow the
    news.  So drain until EAGAIN, and after a send from outside look again.
    """

    def __init__(self, context, kind, on_message):
        self.socket = context.socket(kind)
        self.socket.linger = 0
        self.on_message = on_message
        self.loop = asyncio.get_running_loop()
        self.draining = False

    def start(self):
        self.loop.add_reader(self.socket.FD, self.drain)

    def drain(self):
        socket, on_message = self.socket, self.on_message
        self.draining = True
        try:
            while True:
                on_message(socket.recv_multipart(zmq.NOBLOCK))
        except zmq.Again:
            pass
        finally:
            self.draining = False

    def send(self, frames):
        self.socket.send_multipart(frames, zmq.NOBLOCK)
        if not self.draining and self.socket.EVENTS & zmq.POLLIN:
            self.loop.call_soon(self.drain)

    def close(self):
        self.loop.remove_reader(self.socket.FD)
        self.socket.close()


class Client:
    """One answer per call, in order: enough for an echo."""

    def __init__(self, context, endpoint):
        self.waiting = deque()
        self.reader = Reader(context, zmq.DEALER, self.answered)
        self.reader.socket.connect(endpoint.zmq)
        self.reader.start()

    def answered(self, frames):
        self.waiting.popleft().set_result(frames)

    def call(self, frames):
        future = self.reader.loop.create_future()
        self.waiting.append(future)
        self.reader.send(frames)
        return future

    def close(self):
        self.reader.close()


class ZmqFd(AsyncioPeer):
    name = 'zmq-fd'
    note = 'asyncio add_reader on the zmq FD, future per call, 1 frame'
    packages = ('pyzmq',)

    async def serve_async(self, endpoint, ready):
        reader = Reader(zmq.Context(), zmq.ROUTER, lambda frames: reader.send(frames))
        reader.socket.bind(endpoint.zmq)
        reader.start()
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


class ZmqFdUvloop(ZmqFd):
    name = 'zmq-fd-uvloop'
    note = 'the same on uvloop'
    packages = ('pyzmq', 'uvloop')
    loads = ('seq', 'pipe', 'fan')
    uvloop = True


PEERS = [ZmqFd, ZmqFdUvloop]
