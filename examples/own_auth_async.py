"""A plugin of one's own that asks a service on the network, on asyncio.

Run it: python own_auth_async.py
"""

import asyncio
import json

import zmq
from zope.interface import implementer

from pseud import Client, Server, UnauthorizedError
from pseud.auth import AuthenticationBackend
from pseud.interfaces import IAuthenticationBackend


@implementer(IAuthenticationBackend)
class Directory(AuthenticationBackend):
    """Asks a directory service; clients use 'untrusted_curve'."""

    name = 'directory'
    needs_zap = identifies = True
    encrypted = challenges = True  # user id and password come once nobody can read them

    def __init__(self, secret_key, port):
        self.secret_key = secret_key
        self.port = port

    def socket_options(self):
        return {zmq.CURVE_SERVER: 1, zmq.CURVE_SECRETKEY: self.secret_key}

    async def authenticate(self, credentials):  # runs on the server's loop
        if credentials.mechanism == 'CURVE':  # whose key it is, the login says
            return credentials.public_key.decode()
        if credentials.mechanism != 'LOGIN':
            raise UnauthorizedError('an encrypted connection is needed')
        async with asyncio.timeout(5):  # what it raises refuses, and is logged
            question = [credentials.username, credentials.password]
            if not await ask(self.port, question):
                raise UnauthorizedError('the directory says no')
        return credentials.username


async def ask(port, question):
    """One line of JSON there, one back; in earnest encrypted, or on this machine."""
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    try:
        writer.write(json.dumps(question).encode() + b'\n')
        return json.loads(await reader.readline())
    finally:
        writer.close()
        await writer.wait_closed()


async def directory_service(reader, writer):
    """Somebody else's, elsewhere."""
    name, password = json.loads(await reader.readline())
    await asyncio.sleep(0.05)  # it takes its time
    right = {'alice': 'wonderland', 'bob': 'builder'}.get(name) == password
    writer.write(json.dumps(right).encode() + b'\n')
    writer.close()
    await writer.wait_closed()


async def log_in(endpoint, server_key, name, password):
    async with Client(
        'service',
        security_plugin='untrusted_curve',
        peer_public_key=server_key,
        user_id=name,
        password=password,
    ) as client:
        client.connect(endpoint)
        try:
            return f'Hello {await client.who_am_i()}'
        except UnauthorizedError:
            return f'{name} was refused'


async def main():
    public_key, secret_key = zmq.curve_keypair()
    async with await asyncio.start_server(directory_service, '127.0.0.1') as service:
        port = service.sockets[0].getsockname()[1]
        plugin = Directory(secret_key, port)
        async with Server('service', security_plugin=plugin) as server:
            server.register_rpc(
                lambda user_id: user_id, name='who_am_i', with_identity=True
            )
            endpoint = server.bind('tcp://127.0.0.1:*')
            for answer in await asyncio.gather(
                log_in(endpoint, public_key, 'alice', 'wonderland'),
                log_in(endpoint, public_key, 'bob', 'builder'),
                log_in(endpoint, public_key, 'bob', 'guess'),
            ):
                print(answer)


if __name__ == '__main__':
    asyncio.run(main())
