"""tornado's gen.coroutine on both sides: `yield` waits for a call.

Run it: python tornado_coroutine.py
"""

from tornado import gen
from tornado.ioloop import IOLoop

from pseud import Client, Server


@gen.coroutine
def main():
    server = Server('service', io_loop=IOLoop.current())
    endpoint = server.bind('tcp://127.0.0.1:*')  # any free port

    @server.register_rpc
    @gen.coroutine
    def slow_double(number):
        yield gen.sleep(0.01)
        raise gen.Return(number * 2)

    client = Client('service', io_loop=IOLoop.current())
    client.connect(endpoint)

    number = yield client.slow_double(21)
    print(number)

    numbers = yield [client.slow_double(number) for number in range(5)]
    print(numbers)

    yield client.stop()
    yield server.stop()


if __name__ == '__main__':
    IOLoop.current().run_sync(main)
