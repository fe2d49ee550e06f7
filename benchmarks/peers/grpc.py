import asyncio
import os
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import grpc
import grpc.aio

from harness import NAME, WINDOW, AsyncioPeer, SyncPeer, clock, greet

sys.path.append(os.path.dirname(__file__))  # where the next line looks for it
pb, rpc = grpc.protos_and_services('echo.proto')

OPTIONS = [
    ('grpc.max_receive_message_length', -1),
    ('grpc.max_send_message_length', -1),
    # every channel its own connection, or FAN clients would share one
    ('grpc.use_local_subchannel_pool', 1),
]


def target(endpoint):
    if endpoint.transport == 'ipc':
        return 'unix:' + endpoint.path
    return f'{endpoint.host}:{endpoint.port}'


class Servicer(rpc.EchoServicer):
    def Hello(self, request, context):
        return pb.Greeting(text=greet(request.name))

    def Echo(self, request, context):
        return request

    def Stream(self, requests, context):
        for request in requests:
            yield pb.Greeting(text=greet(request.name))


class AioServicer(rpc.EchoServicer):
    async def Hello(self, request, context):
        return pb.Greeting(text=greet(request.name))

    async def Echo(self, request, context):
        return request

    async def Stream(self, requests, context):
        async for request in requests:
            yield pb.Greeting(text=greet(request.name))


class Client:
    def __init__(self, channel):
        self.channel = channel
        self.stub = rpc.EchoStub(channel)


class Grpc(SyncPeer):
    name = 'grpc'
    note = '10 server threads; pipe: unary futures'
    packages = ('grpcio', 'protobuf')
    transports = ('tcp', 'ipc')

    def serve(self, endpoint, ready):
        server = grpc.server(ThreadPoolExecutor(10), options=OPTIONS)
        rpc.add_EchoServicer_to_server(Servicer(), server)
        server.add_insecure_port(target(endpoint))
        server.start()
        ready()
        server.wait_for_termination()

    def connect(self, endpoint):
        return Client(grpc.insecure_channel(target(endpoint), options=OPTIONS))

    def close(self, client):
        client.channel.close()

    def hello(self, client, name):
        return client.stub.Hello(pb.Name(name=name)).text

    def echo(self, client, data):
        return client.stub.Echo(pb.Blob(data=data)).data

    def pipe(self, client, seconds):
        call = client.stub.Hello.future
        end = clock() + seconds
        pending = deque(call(pb.Name(name=NAME)) for _ in range(WINDOW))
        calls = 0
        while clock() < end:
            pending.popleft().result().text
            pending.append(call(pb.Name(name=NAME)))
            calls += 1
        for future in pending:
            future.result()
        return calls + WINDOW


class GrpcStream(Grpc):
    name = 'grpc-stream'
    note = 'one bidirectional stream, blocking'
    transports = ('tcp',)
    loads = ('seq', 'pipe')

    def connect(self, endpoint):
        client = super().connect(endpoint)
        client.requests = SimpleQueue()
        client.answers = client.stub.Stream(iter(client.requests.get, None))
        return client

    def close(self, client):
        client.requests.put(None)
        client.channel.close()

    def hello(self, client, name):
        client.requests.put(pb.Name(name=name))
        return next(client.answers).text

    def pipe(self, client, seconds):
        end = clock() + seconds
        for _ in range(WINDOW):
            client.requests.put(pb.Name(name=NAME))
        calls = 0
        while clock() < end:
            next(client.answers).text
            client.requests.put(pb.Name(name=NAME))
            calls += 1
        for _ in range(WINDOW):
            next(client.answers)
        return calls + WINDOW


class GrpcAio(AsyncioPeer):
    name = 'grpc-aio'
    note = 'grpc.aio, unary'
    packages = ('grpcio', 'protobuf')
    transports = ('tcp', 'ipc')

    async def serve_async(self, endpoint, ready):
        server = grpc.aio.server(options=OPTIONS)
        rpc.add_EchoServicer_to_server(AioServicer(), server)
        server.add_insecure_port(target(endpoint))
        await server.start()
        ready()
        await server.wait_for_termination()

    async def connect(self, endpoint):
        return Client(grpc.aio.insecure_channel(target(endpoint), options=OPTIONS))

    async def close(self, client):
        await client.channel.close()

    async def hello(self, client, name):
        return (await client.stub.Hello(pb.Name(name=name))).text

    async def echo(self, client, data):
        return (await client.stub.Echo(pb.Blob(data=data))).data


class GrpcAioStream(GrpcAio):
    name = 'grpc-aio-stream'
    note = 'grpc.aio, one bidirectional stream'
    transports = ('tcp',)
    loads = ('seq', 'pipe')

    async def connect(self, endpoint):
        client = await super().connect(endpoint)
        client.call = client.stub.Stream()
        return client

    async def hello(self, client, name):
        await client.call.write(pb.Name(name=name))
        return (await client.call.read()).text

    async def pipe(self, client, seconds):
        end = clock() + seconds
        room = asyncio.Semaphore(WINDOW)
        sent = read = 0
        done = False

        async def write():
            nonlocal sent, done
            while clock() < end:
                await room.acquire()
                await client.call.write(pb.Name(name=NAME))
                sent += 1
            done = True

        writer = asyncio.create_task(write())
        while not done or read < sent:
            (await client.call.read()).text
            read += 1
            room.release()
        await writer
        return read


PEERS = [Grpc, GrpcStream, GrpcAio, GrpcAioStream]
