"""The pseud that is installed in the venv that runs this, on gevent."""

import os

os.environ['NO_TORNADO'] = '1'

import behind
import gevent.event
import zmq

from harness import GeventPeer, greet
from pseud import Client, Server


class PseudGevent(GeventPeer):
    name = 'pseud-gevent'
    note = 'Server and Client on gevent, protocol 2, no authentication'
    packages = ('pseud', 'pyzmq', 'msgpack', 'gevent')
    transports = ('tcp', 'ipc')

    def serve(self, endpoint, ready):
        server = self.server()
        server.bind(endpoint.zmq)
        server.start()
        ready()
        gevent.event.Event().wait()

    def server(self):
        server = Server('service')
        server.register_rpc(name='hello')(greet)
        server.register_rpc(name='echo')(lambda data: data)
        return server

    def prepare(self):
        # a client opens two sockets: its own and the monitor of it
        zmq.Context.instance().set(zmq.MAX_SOCKETS, 4096)

    def connect(self, endpoint):
        client = Client('service', timeout=60)
        client.connect(endpoint.zmq)
        return client

    def close(self, client):
        client.stop()

    def hello(self, client, name):
        return client.hello(name).get()

    def echo(self, client, data):
        return client.echo(data).get()


class PseudGeventGateway(PseudGevent):
    name = 'pseud-gevent-gateway'
    note = 'the same, passed on to a server in a third process'

    def server(self):
        client = Client('service')
        client.connect(behind.start())
        return Server('service', proxy_to=client)


PEERS = [PseudGevent, PseudGeventGateway]
