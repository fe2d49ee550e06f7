import socket
import sys
from collections import deque

import rpyc
from rpyc.core.channel import Channel
from rpyc.core.stream import SocketStream
from rpyc.utils.server import ThreadedServer

from harness import NAME, WINDOW, SyncPeer, clock, greet

Channel.COMPRESSION_THRESHOLD = sys.maxsize  # zlib would only slow random bytes down
CONFIG = {'sync_request_timeout': 60}


class Service(rpyc.Service):
    def exposed_hello(self, name):
        return greet(name)

    def exposed_echo(self, data):
        return data


class Client:
    def __init__(self, endpoint):
        if endpoint.transport == 'ipc':
            stream = SocketStream.unix_connect(endpoint.path)
        else:
            stream = SocketStream.connect(endpoint.host, endpoint.port, nodelay=True)
        self.connection = rpyc.connect_stream(stream, config=CONFIG)
        # looked up once: an attribute of root costs a round trip each time
        self.hello = self.connection.root.hello
        self.echo = self.connection.root.echo
        self.async_hello = rpyc.async_(self.hello)

    def close(self):
        self.connection.close()


class Rpyc(SyncPeer):
    name = 'rpyc'
    note = 'ThreadedServer, bound methods kept, no compression; pipe: async_'
    packages = ('rpyc',)
    transports = ('tcp', 'ipc')

    def serve(self, endpoint, ready):
        if endpoint.transport == 'ipc':
            server = ThreadedServer(
                Service(), socket_path=endpoint.path, protocol_config=CONFIG
            )
        else:
            server = ThreadedServer(
                Service(),
                hostname=endpoint.host,
                port=endpoint.port,
                backlog=1024,
                protocol_config=CONFIG,
            )
            # accepted sockets inherit it
            server.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.logger.disabled = True
        ready()
        server.start()

    def connect(self, endpoint):
        return Client(endpoint)

    def hello(self, client, name):
        return client.hello(name)

    def echo(self, client, data):
        return client.echo(data)

    def pipe(self, client, seconds):
        call = client.async_hello
        end = clock() + seconds
        pending = deque(call(NAME) for _ in range(WINDOW))
        calls = 0
        while clock() < end:
            pending.popleft().value
            pending.append(call(NAME))
            calls += 1
        for result in pending:
            result.value
        return calls + WINDOW


PEERS = [Rpyc]
