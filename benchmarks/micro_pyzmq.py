"""Where the time goes in pyzmq: frames, messages, copies, small socket operations.

One process, one thread that talks to itself over inproc (no I/O thread takes part, so
what is timed is the Python and API cost alone), then the same over tcp in bursts.
CPU times are of this thread (thread) or of thread and I/O thread together (process).
"""

import itertools
import os
import resource
import time

import zmq
from zmq.backend import Socket as Bare

SNDMORE, NOBLOCK = int(zmq.SNDMORE), int(zmq.NOBLOCK)


CONTEXT = zmq.Context()
LAST = []
NUMBER = itertools.count()


def pair(kind='inproc'):
    """Two fresh sockets that talk to each other; the ones before them are closed."""
    while LAST:
        LAST.pop().close()
    a, b = CONTEXT.socket(zmq.DEALER), CONTEXT.socket(zmq.DEALER)
    LAST.extend((a, b))
    for socket in (a, b):
        socket.linger = 0
        socket.set_hwm(0)
    if kind == 'inproc':
        name = f'inproc://{next(NUMBER)}'
        b.bind(name)
        a.connect(name)
    else:
        port = b.bind_to_random_port('tcp://127.0.0.1')
        a.connect(f'tcp://127.0.0.1:{port}')
    a.send(b'')
    b.recv_multipart()
    return a, b


def best(function, number, repeat=5):
    """Microseconds of thread CPU per call, the best of some repetitions."""
    times = []
    for _ in range(repeat):
        began = time.thread_time()
        for _ in range(number):
            function()
        times.append((time.thread_time() - began) / number * 1e6)
    return min(times)


def send_bare(socket, frames, send=Bare.send):
    for frame in frames[:-1]:
        send(socket, frame, SNDMORE)
    send(socket, frames[-1], 0)


def recv_bare(socket, recv=Bare.recv, RCVMORE=int(zmq.RCVMORE)):
    frames = [recv(socket, 0)]
    while socket.get(RCVMORE):
        frames.append(recv(socket, 0))
    return frames


def recv_frames(socket):
    """Received without a copy: the frame itself knows whether more follow."""
    frame = socket.recv(copy=False)
    frames = [frame.bytes]
    while frame.more:
        frame = socket.recv(copy=False)
        frames.append(frame.bytes)
    return frames


def per_frame():
    print('\nsend + receive one message over inproc, us of CPU')
    print(
        'frames of 16 B                1      2      3      4      5      6  per frame'
    )
    ways = {
        'multipart, copy': lambda a, b, m: (a.send_multipart(m), b.recv_multipart()),
        'multipart, copy=False': lambda a, b, m: (
            a.send_multipart(m, copy=False),
            b.recv_multipart(copy=False),
        ),
        'send multipart only': None,
        'recv multipart only': None,
        'bare Cython send/recv': lambda a, b, m: (send_bare(a, m), recv_bare(b)),
        'recv by Frame.more': lambda a, b, m: (send_bare(a, m), recv_frames(b)),
    }
    for title, way in ways.items():
        costs = []
        for count in range(1, 7):
            a, b = pair()
            message = [b'0123456789abcdef'] * count
            if way:
                costs.append(best(lambda: way(a, b, message), 20000))
            else:
                best_send = best_recv = 1e9
                for _ in range(5):
                    t0 = time.thread_time()
                    for _ in range(5000):
                        a.send_multipart(message)
                    t1 = time.thread_time()
                    for _ in range(5000):
                        b.recv_multipart()
                    t2 = time.thread_time()
                    best_send = min(best_send, (t1 - t0) / 5000 * 1e6)
                    best_recv = min(best_recv, (t2 - t1) / 5000 * 1e6)
                costs.append(best_send if title.startswith('send') else best_recv)
        slope = (costs[-1] - costs[0]) / 5
        print(f'{title:24}' + ''.join(f'{c:7.2f}' for c in costs) + f'{slope:11.2f}')


def per_frame_tcp():
    print('\nbursts of 500 over tcp, us of CPU per message, own thread / whole process')
    for copy in (True, False):
        row = []
        for count in range(1, 7):
            a, b = pair('tcp')
            message = [b'0123456789abcdef'] * count
            samples = []
            for _ in range(20):
                t0, p0 = time.thread_time(), time.process_time()
                for _ in range(500):
                    a.send_multipart(message, copy=copy)
                for _ in range(500):
                    b.recv_multipart(copy=copy)
                t1, p1 = time.thread_time(), time.process_time()
                samples.append(((t1 - t0) / 500 * 1e6, (p1 - p0) / 500 * 1e6))
            samples.sort()
            row.append('{:5.1f}/{:5.1f}'.format(*samples[len(samples) // 2]))
        print(f'{"copy" if copy else "copy=False":12}' + '  '.join(row))


def copies():
    print('\none frame over inproc, us of CPU for send + receive (and read)')
    print(
        'size          copy  send copy=False  recv copy=False  neither copied  faults'
    )
    for size in (16, 1024, 16384, 65536, 262144, 1 << 20, 16 << 20):
        data = os.urandom(size)
        number = max(20, min(5000, (64 << 20) // size))
        row = []
        faults = []  # pages touched for the first time, per message, if both are copied
        for copy_send, copy_recv in ((1, 1), (0, 1), (1, 0), (0, 0)):
            a, b = pair()
            a.copy_threshold = 0

            def once():
                a.send(data, copy=bool(copy_send))
                got = b.recv(copy=bool(copy_recv))
                if not copy_recv:
                    got.buffer

            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            row.append(best(once, number, 3))
            after = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            faults.append((after - before) / number / 3)
        figures = ''.join(f'{cost:14.2f}' for cost in row)
        print(f'{size:<10}{figures}{faults[0]:10.0f}')


def operations():
    print('\nsmall operations on an idle socket, us of CPU each')
    _, b = pair('tcp')
    poller = zmq.Poller()
    poller.register(b, zmq.POLLIN)
    pollin = int(zmq.POLLIN)

    def again():
        try:
            b.recv(NOBLOCK)
        except zmq.Again:
            pass

    def bare_again():
        try:
            Bare.recv(b, NOBLOCK)
        except zmq.Again:
            pass

    EVENTS, RCVMORE = int(zmq.EVENTS), int(zmq.RCVMORE)
    for title, function in {
        'socket.getsockopt(zmq.EVENTS)': lambda: b.getsockopt(zmq.EVENTS),
        'socket.EVENTS': lambda: b.EVENTS,
        'socket.EVENTS & zmq.POLLIN': lambda: b.EVENTS & zmq.POLLIN,
        'socket.get(int EVENTS)': lambda: b.get(EVENTS),
        'socket.get(int EVENTS) & int': lambda: b.get(EVENTS) & pollin,
        'socket.getsockopt(zmq.RCVMORE)': lambda: b.getsockopt(zmq.RCVMORE),
        'socket.get(int RCVMORE)': lambda: b.get(RCVMORE),
        'recv(NOBLOCK) -> zmq.Again': again,
        'bare recv(NOBLOCK) -> Again': bare_again,
        'socket.poll(0)': lambda: b.poll(0),
        'poller.poll(0)': lambda: poller.poll(0),
        'zmq.NOBLOCK | 0': lambda: zmq.NOBLOCK | 0,
        'lambda: None': lambda: None,
    }.items():
        print(f'{title:34}{best(function, 50000):8.3f}')


if __name__ == '__main__':
    print(f'pyzmq {zmq.__version__}, libzmq {zmq.zmq_version()}', flush=True)
    operations()
    per_frame()
    per_frame_tcp()
    copies()
