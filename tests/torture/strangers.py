"""Peers that mean harm: bytes that are no ZMTP, and messages that are no pseud."""

import contextlib
import pathlib
import socket

import msgpack
import zmq
from config import LIMITS, STRANGER
from mutate import mutate
from targets import split

from pseud._core import wire

__all__ = ['Strangers']

CORPUS = pathlib.Path(__file__).resolve().parent.parent / 'fuzz' / 'corpus'
GREETING = b'\xff' + bytes(8) + b'\x7f\x03\x01PLAIN' + bytes(48)
KINDS = (zmq.DEALER, zmq.DEALER, zmq.REQ, zmq.ROUTER, zmq.PUSH, zmq.SUB)
MOST = 20  # connections at a time, of either sort
RATE = 20  # deeds a second


class Strangers:
    """Raw sockets; see `LoopRole`."""

    def __init__(self, process):
        self.rng = process.rng
        self.config = process.config
        self.servers = list(self.config['servers'].values())
        self.inputs = {
            version: [
                path.read_bytes()
                for path in sorted((CORPUS / name).iterdir())
                if not path.name.startswith('open-')
            ]
            for version, name in ((2, 'head_v2'), (1, 'payload_v1'))
        }
        self.plain = []
        self.zmtp = []

    def tasks(self):
        return 0

    def open(self):
        self.context = zmq.Context()
        yield None

    def act(self):
        rng = self.rng
        server = rng.choice(self.servers)
        deed = rng.choice((self.noise, self.meet, self.talk, self.talk, self.talk))
        deed(server)
        for sockets in (self.plain, self.zmtp):
            if len(sockets) > rng.randrange(1, MOST):
                sockets.pop(rng.randrange(len(sockets))).close()
        return rng.expovariate(RATE)

    def noise(self, server):
        """A TCP connection that begins with anything."""
        rng = self.rng
        host, _, port = server['address'].removeprefix('tcp://').rpartition(':')
        with contextlib.suppress(OSError):
            connection = socket.create_connection((host, int(port)), 1)
            connection.settimeout(0.1)
            self.plain.append(connection)
            connection.sendall(
                rng.choice((b'', GREETING, b'GET / HTTP/1.1\r\n\r\n', GREETING[:11]))
                + rng.randbytes(rng.choice((0, 1, 30, 300, 100_000)))
            )

    def meet(self, server):
        """An ØMQ connection, let in or not."""
        rng, mine = self.rng, self.config['stranger']
        connection = self.context.socket(rng.choice(KINDS))
        self.zmtp.append(connection)
        connection.linger = 0
        connection.sndhwm = 10
        if rng.random() < 0.3:
            connection.routing_id = rng.choice((b'plain', b'u1', rng.randbytes(5)))
        honest = rng.random() < 0.8
        if server['plugin'] == 'plain' and honest:
            connection.plain_username = STRANGER.encode()
            connection.plain_password = mine['password'].encode()
        elif honest:
            connection.curve_serverkey = server['public'].encode()
            connection.curve_publickey = mine['public'].encode()
            connection.curve_secretkey = mine['secret'].encode()
        with contextlib.suppress(zmq.ZMQError):  # a routing id that is not allowed
            connection.connect(server['address'])
            self.talk(server)

    def talk(self, server):
        """Messages over one of the connections."""
        if not self.zmtp:
            return
        connection = self.rng.choice(self.zmtp)
        for _ in range(self.rng.choice((1, 1, 5, 50))):
            make = self.rng.choice((self.broken, self.broken, self.forged, self.whole))
            try:
                connection.send_multipart([b'', *make()], zmq.NOBLOCK)
            except zmq.ZMQError:
                return

    def broken(self):
        """Something that was a message, with a few bytes changed."""
        version, inputs = self.rng.choice(list(self.inputs.items()))
        data = self.rng.choice(inputs)
        if self.rng.random() < 0.9:
            data = mutate(data, self.rng, inputs, framed=True)
        return [b'v1'] * (version == 1) + split(data)

    def forged(self):
        """Answers to the calls of others, and what else has an id."""
        rng = self.rng
        call_id = rng.randrange(2000)
        body = msgpack.packb(['a lie'])
        return [
            wire.encode(
                [
                    (wire.RESULT, call_id, 0, body),
                    (
                        wire.ERROR,
                        call_id + 2,
                        0,
                        wire.error_body('ValueError', 'a lie'),
                    ),
                    (wire.CANCEL, call_id + 4),
                    (wire.CANCEL, call_id + 5),
                    rng.choice(
                        (
                            (wire.GOAWAY, 0, 0, {'reason': 'a lie'}),
                            (wire.REJECT, 0, 0, {'reason': 'a lie'}),
                            (wire.WELCOME, 0, 0, {'max_calls': rng.randrange(9)}),
                            (wire.PING, call_id),
                            (99, 'unknown'),
                        )
                    ),
                ]
            )
        ]

    def whole(self):
        """Sound messages, with arguments that are none."""
        rng = self.rng
        names = ('echo', 'nap', 'nest', 'forbidden', 'spin', 'no.such', 'x' * 3000)
        args = rng.choice((['x-1', 'u1', 'plain', 1], [], [None] * 9, [{}, {}, {}, 0]))
        body = msgpack.packb([args, {}])
        calls = [
            (wire.CALL, rng.randrange(1, 4000), 0, body, rng.choice(names), 60000)
            for _ in range(rng.choice((1, 3, 2 * LIMITS['max_calls_per_peer'])))
        ]
        hello = {
            'versions': [rng.choice((1, 2, 3, 'x'))],
            'name': rng.choice(('plain', 'curve', 'another', 7)),
            'user_id': rng.choice((STRANGER, 'u1', '')),
            'password': rng.choice((self.config['stranger']['password'], 'x', None)),
        }
        if rng.random() < 0.5:
            calls.insert(0, (wire.HELLO, 0, 0, hello))
        return [wire.encode(calls)]

    def unsettled(self):
        """Leave."""
        while self.plain or self.zmtp:
            (self.plain or self.zmtp).pop().close()
        return []

    def final(self):
        yield None
        return []

    def close(self):
        self.unsettled()
        self.context.term()
        yield None
