import Pyro5.api
import serpent

from harness import NAME, WINDOW, SyncPeer, clock, greet


@Pyro5.api.expose
class Service:
    def hello(self, name):
        return greet(name)

    def echo(self, data):
        return serpent.tobytes(data)  # serpent sends base64; msgpack bytes as they are


class Pyro(SyncPeer):
    packages = ('Pyro5', 'serpent', 'msgpack')
    transports = ('tcp', 'ipc')
    loads = ('seq', 'pipe', 'fan', 'bulk1', 'bulk16')
    serializer = None
    server_type = 'thread'

    def configure(self):
        Pyro5.config.SERIALIZER = self.serializer
        Pyro5.config.SERVERTYPE = self.server_type
        Pyro5.config.SOCK_NODELAY = True

    def serve(self, endpoint, ready):
        self.configure()
        if endpoint.transport == 'ipc':
            daemon = Pyro5.api.Daemon(unixsocket=endpoint.path)
        else:
            daemon = Pyro5.api.Daemon(host=endpoint.host, port=endpoint.port)
        daemon.register(Service(), 'echo')
        ready()
        daemon.requestLoop()

    def prepare(self):
        self.configure()

    def connect(self, endpoint):
        if endpoint.transport == 'ipc':
            return Pyro5.api.Proxy(f'PYRO:echo@./u:{endpoint.path}')
        return Pyro5.api.Proxy(f'PYRO:echo@{endpoint.host}:{endpoint.port}')

    def close(self, client):
        client._pyroRelease()

    def hello(self, client, name):
        return client.hello(name)

    def echo(self, client, data):
        return serpent.tobytes(client.echo(data))

    def pipe(self, client, seconds):
        # the nearest thing: WINDOW calls in one message, answered in one message
        batch = Pyro5.api.BatchProxy(client)
        end = clock() + seconds
        calls = 0
        while clock() < end:
            for _ in range(WINDOW):
                batch.hello(NAME)
            for _ in batch():
                calls += 1
        return calls


class Serpent(Pyro):
    name = 'pyro5-serpent'
    note = 'thread server; pipe: BatchProxy'
    serializer = 'serpent'


class Msgpack(Pyro):
    name = 'pyro5-msgpack'
    note = 'thread server; pipe: BatchProxy'
    serializer = 'msgpack'


class Multiplex(Pyro):
    name = 'pyro5-multiplex'
    note = 'msgpack, multiplex (select loop) server'
    transports = ('tcp',)
    loads = ('seq', 'fan', 'idle')
    serializer = 'msgpack'
    server_type = 'multiplex'


PEERS = [Serpent, Msgpack, Multiplex]
