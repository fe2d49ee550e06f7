import zerorpc

from harness import GeventPeer, greet


class Service:
    def hello(self, name):
        return greet(name)

    def echo(self, data):
        return data


class ZeroRPC(GeventPeer):
    name = 'zerorpc'
    note = 'gevent; heartbeat as it comes (5 s)'
    packages = ('zerorpc', 'gevent', 'pyzmq', 'msgpack')
    transports = ('tcp', 'ipc')

    def serve(self, endpoint, ready):
        server = zerorpc.Server(Service())
        server.bind(endpoint.zmq)
        ready()
        server.run()

    def prepare(self):
        zerorpc.Context.get_instance().set(zerorpc.zmq.MAX_SOCKETS, 4096)

    def connect(self, endpoint):
        return zerorpc.Client(endpoint.zmq, timeout=60)

    def hello(self, client, name):
        return client.hello(name)

    def echo(self, client, data):
        return client.echo(data)


PEERS = [ZeroRPC]
