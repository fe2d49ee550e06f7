#!/usr/bin/env python3
"""What clients that ask for too much, do not read, or come and go cost the others.

overload.py --backend tornado                 both tables
overload.py --backend gevent latency --reps 5
overload.py --backend tornado cycles --cycles 1000

latency   a polite client makes one call at a time; beside it, by turns, nobody, a greedy
          client with thousands of calls under way, one that asks for 1 MiB again and again
          and reads nothing, and both.  A server of its own each time, A B C, A B C.
cycles    what a server is left with after so many clients have come and gone.
"""

import argparse
import asyncio
import collections
import ctypes
import gc
import json
import logging
import os
import statistics
import subprocess
import sys
import threading
import time

import msgpack
import zmq

from harness import MIB, Endpoint, ServerProcess, clock, own_rss

KINDS = ('raw', 'pseud', 'killed', 'password', 'wrong', 'curve')
PHASES = ((), ('greedy',), ('frozen',), ('greedy', 'frozen'))
HANDLERS = ('compute', 'wait', 'thread', 'semaphore')
AT_ONCE = 8  # functions that wait for something
WINDOW = 4000  # calls that the greedy client has under way
WORK = 0.001, 0.01  # seconds: of `compute`, and of the others

ARGS = msgpack.packb([[], {}])
CALL, HELLO = 1, 10


# ------------------------------------------------------------------ the server


def serve(backend, endpoint, settings):
    """Until stdin ends; says how it is when asked."""
    endpoint, settings = Endpoint.loads(endpoint), json.loads(settings)
    if backend == 'zmq':
        serve_raw(endpoint.zmq)
    if backend == 'gevent':
        os.environ['NO_TORNADO'] = '1'
    import pseud

    logging.disable(logging.WARNING)
    limits = pseud.Limits(**settings.pop('limits', {}))
    server = pseud.Server('service', limits=limits, **settings)
    server.register_rpc(lambda: None, name='null')
    server.register_rpc(compute, name='compute')
    server.register_rpc(lambda: b'x' * MIB, name='big')
    server.on_join(lambda peer: None)
    server.on_leave(lambda peer, reason: None)

    def run():
        server.bind(endpoint.zmq)
        ask(lambda: inside(server))
        return server.serve_forever()

    if backend == 'gevent':
        register_gevent(server)
        run()
    else:

        async def main():
            register_asyncio(server)
            await run()

        asyncio.run(main())


def compute():
    until = clock() + WORK[0]
    while clock() < until:
        pass


def register_gevent(server):
    import gevent.lock

    free, pool = gevent.lock.BoundedSemaphore(AT_ONCE), gevent.get_hub().threadpool

    def semaphore():
        with free:
            gevent.sleep(WORK[1])

    server.register_rpc(lambda: gevent.sleep(WORK[1]), name='wait')
    server.register_rpc(lambda: pool.apply(time.sleep, WORK[1:]), name='thread')
    server.register_rpc(semaphore)


def register_asyncio(server):
    free = asyncio.Semaphore(AT_ONCE)

    async def semaphore():
        async with free:
            await asyncio.sleep(WORK[1])

    server.register_rpc(lambda: asyncio.sleep(WORK[1]), name='wait')
    server.register_rpc(lambda: asyncio.to_thread(time.sleep, WORK[1]), name='thread')
    server.register_rpc(semaphore)


def serve_raw(endpoint):
    """A ROUTER that echoes: what libzmq and the allocator keep by themselves."""
    socket = zmq.Context().socket(zmq.ROUTER)
    socket.bind(endpoint)
    ask(dict)
    while True:
        socket.send_multipart(socket.recv_multipart())


def inside(server):
    """What a server knows of its clients."""
    engine = server._engine
    link = engine.links['']
    return {
        'peers': len(engine.core.peers) + len(engine.roster.members),
        'descriptors known': len(link.by_fd) + len(link.leaving),
        'calls': engine.core.running,
    }


def ask(look):
    """Answer on stdout, from a thread, when asked on stdin."""

    def answer():
        for _ in sys.stdin:
            gc.collect()
            # what glibc keeps for later is nobody's; others have no such call
            getattr(ctypes.CDLL(None), 'malloc_trim', lambda _: None)(0)
            usage = {
                'rss': own_rss() / MIB,
                'fds': len(os.listdir('/proc/self/fd')),
                'threads': len(os.listdir('/proc/self/task')),
                'objects': len(gc.get_objects()),
                **look(),
            }
            print(json.dumps(usage), flush=True)
        os._exit(0)

    threading.Thread(target=answer, daemon=True).start()
    print('READY', flush=True)


class Server:
    """One of these, in a process of its own."""

    def __init__(self, backend, **settings):
        self.endpoint = Endpoint.fresh('tcp')
        argv = ['serve', backend, self.endpoint.dumps(), json.dumps(settings)]
        self.process = ServerProcess([sys.executable, __file__, *argv])

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.stop()


# ------------------------------------------------------------------ the others


def greedy(endpoint, name):
    """Has `WINDOW` calls under way, always."""
    from pseud import Client

    async def main():
        client = Client('service', timeout=None)
        client.connect(endpoint)
        await client.null()

        def again(done=None):
            if done is None or not done.exception():
                client.call(name).add_done_callback(again)

        for _ in range(WINDOW):
            again()
        print('READY', flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())


def frozen(endpoint, _):
    """Asks for 1 MiB 3000 times, and reads nothing."""
    socket = zmq.Context().socket(zmq.DEALER)
    socket.sndhwm, socket.rcvhwm = 0, 1
    socket.connect(endpoint)
    for number in range(1, 6001, 2):
        call = (CALL, number, 0, ARGS, 'big', None)
        socket.send_multipart([b'', msgpack.packb([call])])
    print('READY', flush=True)
    threading.Event().wait()


def start(role, endpoint, name):
    argv = [sys.executable, __file__, role, endpoint, name]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE)
    process.stdout.readline()
    return process


def polite(backend, name, others, seconds):
    """Latencies of one call at a time, and the most memory that the server had."""
    from pseud import SyncClient

    limits = {} if name == 'semaphore' else {'max_handlers': AT_ONCE}
    with Server(backend, limits=limits) as server:
        endpoint = server.endpoint.zmq
        processes = []
        latencies = []
        try:
            with SyncClient('service', timeout=60) as client:
                client.connect(endpoint)
                client.null()
                processes += [start(role, endpoint, name) for role in others]
                time.sleep(0.5)  # they have their way
                until = clock() + seconds
                while clock() < until or not latencies:
                    began = clock()
                    client.call(name)
                    latencies.append(clock() - began)
            with open(f'/proc/{server.process.process.pid}/status') as file:
                lines = dict(line.split(':', 1) for line in file)
            return latencies, int(lines['VmHWM'].split()[0]) / 1024
        finally:
            for process in processes:
                process.kill()
                process.wait()


def latency(args):
    found = collections.defaultdict(list)
    most = collections.Counter()
    for _ in range(args.reps):
        for name in args.handlers.split(','):
            for others in PHASES:
                times, memory = polite(args.backend, name, others, args.seconds)
                found[name, others] += times
                most[name, others] = max(most[name, others], memory)
    print(f'{args.backend}: ms of one call, p50 and p99; MiB of the server at its most')
    header = [' + '.join(others) or 'alone' for others in PHASES]
    print(f'{"":10}', *(f'{text:>28}' for text in header))
    for name in args.handlers.split(','):
        cells = []
        for others in PHASES:
            times = sorted(found[name, others])
            p50, p99 = statistics.median(times), times[len(times) * 99 // 100]
            memory = most[name, others]
            cells.append(f'{p50 * 1e3:10.1f} {p99 * 1e3:8.1f} {memory:8.0f}')
        print(f'{name:10}', *cells, flush=True)


# ------------------------------------------------------------------ come and go


def settings_of(kind, keys):
    """Those of the server, and the options of the sockets that connect to it."""
    if kind == 'curve':
        public, secret = keys
        server = {'security_plugin': 'untrusted_curve', 'passwords': {'alice': 'x'}}
        server |= {'public_key': public, 'secret_key': secret}
        mine, own = (key.decode() for key in zmq.curve_keypair())
        options = {'curve_serverkey': public, 'curve_publickey': mine}
        return server, {**options, 'curve_secretkey': own}
    if kind in ('password', 'wrong'):
        server = {'security_plugin': 'plain', 'passwords': {'alice': 'x'}}
        password = 'x' if kind == 'password' else 'y'
        return server, {'plain_username': 'alice', 'plain_password': password}
    return {}, {}


def come_and_go(kind, endpoint, options, cycles):
    """In a process of its own, so that the server sees real connections."""
    context, options = zmq.Context(), json.loads(options)
    if kind == 'pseud':
        asyncio.run(clients(context, endpoint, int(cycles)))
    hello = (HELLO, 0, 0, {'versions': [2], 'user_id': 'alice', 'password': 'x'})
    call = (CALL, 1, 0, ARGS, 'null', None)
    first = msgpack.packb([hello, call])
    second = msgpack.packb([(CALL, 3, 0, ARGS, 'wait', None), (8, 0)])
    for _ in range(int(cycles) if kind != 'pseud' else 0):
        socket = context.socket(zmq.DEALER)
        socket.linger = 0
        for name, value in options.items():
            setattr(socket, name, value.encode())
        if kind == 'wrong':
            monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
            socket.connect(endpoint)
            monitor.recv_multipart()
            socket.disable_monitor()
            monitor.close()
        else:
            socket.connect(endpoint)
            socket.send_multipart([b'', first])
            socket.recv_multipart()
        if kind == 'killed':
            socket.send_multipart([b'', second])
            socket.recv_multipart()  # after the call, it has answered the ping
        socket.close()


async def clients(context, endpoint, cycles):
    from pseud import Client

    for _ in range(cycles):
        async with Client('service', context=context) as client:
            client.connect(endpoint)
            await client.null()


def cycles(args):
    keys = [key.decode() for key in zmq.curve_keypair()]
    print(f'{args.backend}: a server before and after {args.cycles} connections')
    columns = ('RSS, MiB', 'descriptors', 'threads', 'objects', 'clients', 'calls')
    print(f'{"":12}', *(f'{text:>18}' for text in columns), f'{"seconds":>8}')
    for backend, kind in [('zmq', 'raw'), *((args.backend, kind) for kind in KINDS)]:
        settings, options = settings_of(kind, keys)
        with Server(backend, **settings) as server:

            def run(count):
                argv = [kind, server.endpoint.zmq, json.dumps(options), str(count)]
                argv = [sys.executable, __file__, 'come_and_go', *argv]
                subprocess.run(argv, check=True)
                time.sleep(3)  # the last ones are noticed, and timers run out
                return server.process.usage()

            before = run(100)  # what is made once is made now
            began = clock()
            after = run(args.cycles)
            seconds = clock() - began - 3
        cells = [f'{before["rss"]:8.2f} -> {after["rss"]:6.2f}']
        for name in ('fds', 'threads', 'objects', 'peers', 'calls'):
            cells.append(f'{before.get(name, "-"):>8} -> {after.get(name, "-"):>6}')
        label = 'pyzmq' if backend == 'zmq' else kind
        print(f'{label:12}', *(f'{cell:>18}' for cell in cells), f'{seconds:8.1f}')
        sys.stdout.flush()


# ------------------------------------------------------------------ main

ROLES = {role.__name__: role for role in (serve, greedy, frozen, come_and_go)}


def main():
    if sys.argv[1:] and sys.argv[1] in ROLES:
        ROLES[sys.argv[1]](*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--backend', default='tornado', choices=('tornado', 'gevent'))
    parser.add_argument('tables', nargs='*', metavar='table')
    parser.add_argument(
        '--handlers', default='compute,wait,thread', help=f'of {HANDLERS}'
    )
    parser.add_argument('--seconds', type=float, default=2, help='per phase')
    parser.add_argument('--reps', type=int, default=3)
    parser.add_argument('--cycles', type=int, default=10_000)
    args = parser.parse_args()
    for table in args.tables or ('latency', 'cycles'):
        {'latency': latency, 'cycles': cycles}[table](args)


if __name__ == '__main__':
    main()
