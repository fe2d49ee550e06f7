"""Peers written by hand with raw ØMQ sockets: they send what pseud never would."""

import msgpack
import zmq

# protocol v2, message types
CALL, RESULT, ERROR, CANCEL = 1, 2, 3, 4
HELLO, WELCOME = 10, 11


class RawServer:
    """A v2 server that answers by hand; its methods block, so they run in a thread."""

    def __init__(self, net, **options):
        self.socket = net.raw(zmq.ROUTER, **options)
        self.socket.bind('tcp://127.0.0.1:*')
        self.address = self.socket.last_endpoint.decode()

    def receive(self):
        """The next message: (routing id, what its head holds)."""
        client, delimiter, head, *_ = self.socket.recv_multipart()
        assert delimiter == b''
        return client, msgpack.unpackb(head)

    def call(self):
        """The next call: (routing id, call id, name); whoever says hello is welcome."""
        while True:
            client, messages = self.receive()
            for message in messages:
                if message[0] == HELLO:
                    self.welcome(client, message[3])
                if message[0] == CALL:
                    return client, message[1], message[4]

    def welcome(self, client, hello):
        if not hello.get('lockstep'):  # it takes nothing but answers
            self.send(client, [WELCOME, 0, 0, {}])

    def send(self, client, *messages):
        self.socket.send_multipart([client, b'', msgpack.packb(messages)])

    def answer(self, make):
        """Answer one call with ``make(call id, name)``, a v2 message."""
        client, call_id, name = self.call()
        self.send(client, make(call_id, name))

    def answer_error(self, **fields):
        """Answer one call with an error that says this."""
        self.answer(lambda call_id, _: [ERROR, call_id, 0, msgpack.packb(fields)])
