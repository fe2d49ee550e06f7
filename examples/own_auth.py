"""A plugin of one's own: users, hashed passwords and roles in a database.

Run it: python own_auth.py
"""

import asyncio
import contextlib
import hashlib
import hmac
import pathlib
import secrets
import sqlite3
import tempfile

import zmq
from zope.interface import implementer

from pseud import Client, Server, ServiceNotFoundError, UnauthorizedError
from pseud.auth import AuthenticationBackend
from pseud.interfaces import IAuthenticationBackend, IPredicate, IRPCCallable
from pseud.plugins import adapter
from pseud.utils import register_predicate


@implementer(IAuthenticationBackend)
class Staff(AuthenticationBackend):
    """Asks a database; clients use 'plain'."""

    name = 'staff'
    needs_zap = identifies = True
    blocking = True  # authenticate() waits for a disk: it runs in a thread
    recheck = 0.2  # seconds

    def __init__(self, path):
        self.path = path
        self.roles = {}  # of those who are connected, so that calls wait for no disk

    def socket_options(self):
        return {zmq.PLAIN_SERVER: 1}

    def authenticate(self, credentials):
        salt, right, role = self.look_up(credentials.username) or (b'', b'', None)
        given = hash_of(credentials.password, salt)  # takes as long for a stranger
        if not hmac.compare_digest(given, right):
            raise UnauthorizedError('wrong user id or password')
        self.roles[credentials.username] = role
        return credentials.username

    def get_predicate_arguments(self, user_id):
        return {'role': self.roles[user_id]}

    def revoked(self, user_ids):
        return [user_id for user_id in user_ids if self.look_up(user_id) is None]

    def look_up(self, user_id):
        with contextlib.closing(sqlite3.connect(self.path)) as database:
            found = 'SELECT salt, hash, role FROM staff WHERE name = ?'
            return database.execute(found, (user_id,)).fetchone()


def hash_of(password, salt):
    return hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1)


@register_predicate
@implementer(IPredicate)
@adapter(IRPCCallable)
class Ward:
    """Who may call the functions of the domain 'ward'."""

    name = 'ward'

    def __init__(self, function):
        self.function = function

    def test(self, role):
        return role == 'nurse'


def write(path, statement, values=()):
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute(statement, values)


def make_staff(path):
    write(path, 'CREATE TABLE staff (name, salt, hash, role)')
    for name, password, role in [
        ('alice', 'wonderland', 'nurse'),
        ('bob', 'builder', 'visitor'),
    ]:
        salt = secrets.token_bytes(16)
        row = (name, salt, hash_of(password, salt), role)
        write(path, 'INSERT INTO staff VALUES (?, ?, ?, ?)', row)


def connect(endpoint, name, password):
    client = Client('ward', security_plugin='plain', user_id=name, password=password)
    client.connect(endpoint)
    return client


async def main(path):
    make_staff(path)
    left = asyncio.Queue()
    async with Server('ward', security_plugin=Staff(path)) as server:
        server.on_leave(lambda peer, reason: left.put_nowait((peer, reason)))
        server.register_rpc(lambda: 36.8, name='temperature', domain='ward')
        endpoint = server.bind('tcp://127.0.0.1:*')

        async with connect(endpoint, 'bob', 'guess') as client:
            try:
                await client.temperature()
            except UnauthorizedError:
                print('bob was refused')
        async with connect(endpoint, 'bob', 'builder') as client:
            try:
                await client.temperature()
            except ServiceNotFoundError:
                print('bob may not read')
        await left.get()
        async with connect(endpoint, 'alice', 'wonderland') as client:
            print('alice reads', await client.temperature())
            write(path, 'DELETE FROM staff WHERE name = ?', ['alice'])
            peer, reason = await left.get()
            print(peer.user_id, 'has left:', reason)


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(main(pathlib.Path(directory, 'staff.db')))
