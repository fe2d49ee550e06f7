"""A plugin of one's own that asks a service on the network, on gevent.

Run it: python own_auth_gevent.py
"""

import json
import os

os.environ['NO_TORNADO'] = '1'  # take gevent, even if tornado is installed

import gevent
import zmq
from gevent.server import StreamServer
from gevent.socket import create_connection
from zope.interface import implementer

from pseud import Client, Server, UnauthorizedError
from pseud.auth import AuthenticationBackend
from pseud.interfaces import IAuthenticationBackend


@implementer(IAuthenticationBackend)
class Directory(AuthenticationBackend):
    """Asks a directory service; clients use 'plain'."""

    name = 'directory'
    needs_zap = identifies = True

    def __init__(self, port):
        self.port = port

    def socket_options(self):
        return {zmq.PLAIN_SERVER: 1}

    def authenticate(self, credentials):  # runs in a greenlet: it may wait
        question = [credentials.username, credentials.password]
        with create_connection(('127.0.0.1', self.port), timeout=5) as service:
            service.sendall(json.dumps(question).encode() + b'\n')
            if not json.loads(service.makefile('r').readline()):
                raise UnauthorizedError('the directory says no')
        return credentials.username


def directory_service(connection, address):
    """Somebody else's, elsewhere."""
    name, password = json.loads(connection.makefile('r').readline())
    gevent.sleep(0.05)  # it takes its time
    right = {'alice': 'wonderland', 'bob': 'builder'}.get(name) == password
    connection.sendall(json.dumps(right).encode() + b'\n')


def log_in(endpoint, name, password):
    with Client(
        'service', security_plugin='plain', user_id=name, password=password
    ) as client:
        client.connect(endpoint)
        try:
            return f'Hello {client.who_am_i().get()}'
        except UnauthorizedError:
            return f'{name} was refused'


def main():
    service = StreamServer(('127.0.0.1', 0), directory_service)
    service.start()
    with Server('service', security_plugin=Directory(service.server_port)) as server:
        server.register_rpc(
            lambda user_id: user_id, name='who_am_i', with_identity=True
        )
        endpoint = server.bind('tcp://127.0.0.1:*')
        server.start()
        logins = [
            gevent.spawn(log_in, endpoint, 'alice', 'wonderland'),
            gevent.spawn(log_in, endpoint, 'bob', 'builder'),
            gevent.spawn(log_in, endpoint, 'bob', 'guess'),
        ]
        for login in logins:
            print(login.get())
    service.stop()


if __name__ == '__main__':
    main()
