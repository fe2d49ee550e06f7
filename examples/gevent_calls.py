"""A server and a client on gevent: results, handlers that block, threads, cancellation.

Run it: python gevent_calls.py
"""

import os
import time
from concurrent.futures import CancelledError

os.environ['NO_TORNADO'] = '1'  # take gevent, even if tornado is installed

import gevent
from gevent.pool import Pool

from pseud import Client, Server, TimeoutError

server = Server('service', security_plugin='trusted_peer')


@server.register_rpc
def nap(seconds):
    """Each call runs in a greenlet: while it waits, others run."""
    try:
        gevent.sleep(seconds)
    except gevent.GreenletExit:
        print('a nap is over before its time')
        raise
    return seconds


@server.register_rpc
def count(numbers):
    """What gevent can not wait for (C code, disks, computation) goes to a thread."""
    return gevent.get_hub().threadpool.apply(slow_sum, (numbers,))


def slow_sum(numbers):
    time.sleep(0.05)  # not gevent's: it blocks its thread
    return sum(numbers)


@server.register_rpc(with_identity=True)
def ask(user_id):
    return server.send_to(user_id).favourite.colour().get()


def main():
    endpoint = server.bind('tcp://127.0.0.1:*')  # any free port
    server.start()  # returns at once; serve_forever() would block
    client = Client('service', security_plugin='plain', user_id='alice', password='')
    client.connect(endpoint)

    print(client.nap(0.01).get())

    # A call is sent at once; its result goes with gevent's own tools.
    calls = [client.nap(0.03), client.nap(0.02), client.nap(0.01)]
    print([call.get() for call in gevent.iwait(calls)])  # as they come
    gevent.joinall(calls)
    print(Pool(2).map(lambda number: client.count([number, 1]).get(), range(4)))

    # The server calls the client.
    client.register_rpc(lambda: 'green', name='favourite.colour')
    print(client.ask().get())

    # A timeout of the call ends it at the server, too. That of get() does not: it only
    # ends the waiting, and raises gevent.Timeout.
    try:
        client.with_options(timeout=0.05).nap(60).get()
    except TimeoutError:
        print('TimeoutError')

    call = client.nap(60)
    gevent.sleep(0.05)
    call.cancel()
    try:
        call.get()
    except CancelledError:
        print('CancelledError')

    client.stop()
    server.stop()


if __name__ == '__main__':
    main()
