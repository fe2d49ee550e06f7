"""Raw pyzmq, blocking, no serialisation: what no RPC on pyzmq can beat."""

import zmq

from harness import ANSWER, FAN, LOADS, WINDOW, SyncPeer, clock

CALL = b'\x93\xa5hello\x91\xa6Charly\x80'  # what msgpack makes of the call
HEAD = [b'', b'\x01', b'0123456789abcdef']  # as an RPC would send: three short frames


class Blocking(SyncPeer):
    packages = ('pyzmq',)
    transports = ('tcp', 'ipc')
    default = ('tcp', 'ipc')
    ceiling = True
    server_type = zmq.ROUTER
    client_type = zmq.DEALER
    head = []
    copy = True

    def serve(self, endpoint, ready):
        socket = zmq.Context().socket(self.server_type)
        socket.bind(endpoint.zmq)
        ready()
        copy = self.copy
        while True:
            socket.send_multipart(socket.recv_multipart(copy=copy), copy=copy)

    def prepare(self):
        self.context = zmq.Context()
        self.context.set(zmq.MAX_SOCKETS, 4096)

    def connect(self, endpoint):
        socket = self.context.socket(self.client_type)
        socket.linger = 0
        socket.connect(endpoint.zmq)
        return socket

    def hello(self, socket, name):
        socket.send_multipart([*self.head, CALL])
        socket.recv_multipart()
        return ANSWER

    def echo(self, socket, data):
        socket.send_multipart([*self.head, data], copy=self.copy)
        answer = socket.recv_multipart(copy=self.copy)[-1]
        return answer if self.copy else answer.buffer

    def pipe(self, socket, seconds):
        message = [*self.head, CALL]
        end = clock() + seconds
        for _ in range(WINDOW):
            socket.send_multipart(message)
        calls = 0
        while clock() < end:
            socket.recv_multipart()
            socket.send_multipart(message)
            calls += 1
        for _ in range(WINDOW):
            socket.recv_multipart()
        return calls + WINDOW

    def load_fan(self, bench, load):
        # one thread and a poller, not FAN threads
        message = [*self.head, CALL]
        sockets = [self.first(bench) for _ in range(FAN)]
        poller = zmq.Poller()
        for socket in sockets:
            poller.register(socket, zmq.POLLIN)

        def go(seconds):
            end = clock() + seconds
            for socket in sockets:
                socket.send_multipart(message)
            calls = 0
            while clock() < end:
                for socket, _ in poller.poll():
                    socket.recv_multipart()
                    socket.send_multipart(message)
                    calls += 1
            for socket in sockets:
                socket.recv_multipart()
            return calls + FAN

        go(bench.warmup)
        bench.start()
        calls = go(bench.seconds)
        bench.stop(load, calls)
        for socket in sockets:
            socket.close()


class ReqRep(Blocking):
    name = 'zmq-reqrep'
    note = 'REQ/REP, blocking'
    loads = tuple(load for load in LOADS if load != 'pipe')
    server_type = zmq.REP
    client_type = zmq.REQ


class OneFrame(Blocking):
    name = 'zmq-1f'
    note = 'DEALER/ROUTER, blocking, a call is 1 frame'


class FourFrames(Blocking):
    name = 'zmq-4f'
    note = 'DEALER/ROUTER, blocking, a call is 4 frames'
    head = HEAD


class NoCopy(Blocking):
    name = 'zmq-nocopy'
    note = 'DEALER/ROUTER, blocking, 1 frame, copy=False'
    loads = ('seq', 'bulk1', 'bulk16')
    copy = False


PEERS = [ReqRep, OneFrame, FourFrames, NoCopy]
