"""What the processes with an event loop have in common."""

import asyncio
import gc
import sys
import threading

import zmq

__all__ = ['LoopRole', 'left_by']

PATIENCE = 30  # seconds
NARROW = 4096  # bytes


class LoopRole:
    """What a process does; `process.Process` says when.

    Subclasses have ``open``, ``act`` (one thing of many; returns seconds until the next),
    ``unsettled`` (what is not yet as it should be in silence), ``final``, ``close_all``
    and ``remains`` (what is not as it should be afterwards).
    """

    def __init__(self, process):
        self.driver = process.driver
        self.journal = process.journal
        self.rng = process.rng
        self.context = zmq.Context()
        if process.name in process.config['narrow']:  # pipes are full soon
            self.context.sndhwm = 2
            self.context.sndbuf = self.context.rcvbuf = NARROW

    def tasks(self):
        """How many tasks or greenlets there are."""
        if self.driver.name == 'tornado':
            return len(asyncio.all_tasks())
        from greenlet import greenlet

        pool = sys.modules['pseud._gevent.handlers']
        return sum(
            isinstance(each, greenlet)
            and not each.dead
            and not (type(each) is pool._Worker and each in each.pool.idle)
            for each in gc.get_objects()
        )

    def close(self):
        """Stop everything; an ØMQ socket that stays open would keep the context."""
        yield from self.close_all()
        for problem in self.remains():
            print(f'left over: {problem}', file=sys.stderr)
        closing = threading.Thread(target=self.context.term, daemon=True)
        closing.start()
        for _ in range(int(PATIENCE / 0.01)):
            if not closing.is_alive():
                return
            yield self.driver.sleep(0.01)
        print('left over: an ØMQ socket', file=sys.stderr)


def left_by(rpc):
    """What a client or server keeps though nothing is under way, as texts."""
    engine = rpc._engine
    core = engine.core
    found = [f'{rpc!r} waits for {entry[3]}()' for entry in core.pending.values()]
    counts = {
        'calls that run': core.running,
        'calls that wait for a connection': len(core.waiting.calls),
        'bytes that wait for a connection': core.waiting.size,
        'bytes that wait for peers who do not read': core.stuck,
        'bytes that wait for logins': core.held_bytes,
        'peers that are blocked': len(engine.sender.blocked),
        'callbacks that run': len(engine.hooks._running),
    }
    for peer in core.peers.values():
        counts[f'messages for {peer.label}'] = len(peer.outbox)
        counts[f'bytes for {peer.label}'] = peer.queued
        counts[f'calls of {peer.label}'] = len(peer.inbound)
        counts[f'calls in flight to {peer.label}'] = peer.in_flight
    found += [f'{rpc!r} has {count} {what}' for what, count in counts.items() if count]
    return found
