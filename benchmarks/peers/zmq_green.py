"""Raw zmq.green (gevent), no serialisation."""

import zmq.green as zmq

from harness import ANSWER, WINDOW, GeventPeer, clock

CALL = b'\x93\xa5hello\x91\xa6Charly\x80'


class ZmqGreen(GeventPeer):
    name = 'zmq-green'
    note = 'zmq.green (gevent) DEALER/ROUTER, a call is 1 frame'
    packages = ('pyzmq', 'gevent')

    def serve(self, endpoint, ready):
        socket = zmq.Context().socket(zmq.ROUTER)
        socket.bind(endpoint.zmq)
        ready()
        while True:
            socket.send_multipart(socket.recv_multipart())

    def prepare(self):
        self.context = zmq.Context()
        self.context.set(zmq.MAX_SOCKETS, 4096)

    def connect(self, endpoint):
        socket = self.context.socket(zmq.DEALER)
        socket.linger = 0
        socket.connect(endpoint.zmq)
        return socket

    def hello(self, socket, name):
        socket.send_multipart([CALL])
        socket.recv_multipart()
        return ANSWER

    def echo(self, socket, data):
        socket.send_multipart([data])
        return socket.recv_multipart()[-1]

    def pipe(self, socket, seconds):
        end = clock() + seconds
        for _ in range(WINDOW):
            socket.send_multipart([CALL])
        calls = 0
        while clock() < end:
            socket.recv_multipart()
            socket.send_multipart([CALL])
            calls += 1
        for _ in range(WINDOW):
            socket.recv_multipart()
        return calls + WINDOW


PEERS = [ZmqGreen]
