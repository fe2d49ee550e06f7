"""A standard ØMQ device, between clients and the servers that connect to it."""

import contextlib
import threading

import zmq

__all__ = ['device']


@contextlib.contextmanager
def device(net):
    """``zmq.proxy`` of a ROUTER and a DEALER: the addresses for clients and for servers."""
    front, back = net.raw(zmq.ROUTER, rcvtimeo=-1), net.raw(zmq.DEALER, rcvtimeo=-1)
    end, stopper = net.raw(zmq.PAIR, rcvtimeo=-1), net.raw(zmq.PAIR)
    for socket in (front, back):
        socket.bind('tcp://127.0.0.1:*')
    end.bind('inproc://end')
    stopper.connect('inproc://end')
    thread = threading.Thread(target=zmq.proxy_steerable, args=(front, back, None, end))
    thread.start()
    try:
        yield front.last_endpoint.decode(), back.last_endpoint.decode()
    finally:
        stopper.send(b'TERMINATE')
        thread.join()
