"""Programs of their own: real processes that tests talk to, kill and freeze."""

import os
import queue
import signal
import subprocess
import sys
import textwrap
import threading

from backends import PATIENCE

__all__ = ['SERVER', 'Program']

# what every program may want
PRELUDE = """
import sys
def say(*words):
    print(*words, flush=True)
"""

# A server at ADDRESS or at a free one, on the backend that is there; says where.
SERVER = """
import os
from pseud import Server

server = Server('service')
notes = []

@server.register_rpc
def note(text):
    notes.append(text)
    return notes

server.register_rpc(os.getpid, name='pid')

def serve():
    say(server.bind(os.environ.get('ADDRESS', 'tcp://127.0.0.1:*')))
    return server.serve_forever()

if 'gevent' in Server.__module__:
    import gevent.event

    @server.register_rpc
    def wait():
        say('waiting')
        gevent.event.Event().wait()

    serve()
else:
    import asyncio

    @server.register_rpc
    async def wait():
        say('waiting')
        await asyncio.Event().wait()

    async def main():
        await serve()

    asyncio.run(main())
"""


class Program:
    """A Python process; every way to wait for it blocks, and has an end.

    Args:
        source: text of the program, or a list of arguments for Python.
        env: additions to the environment; None as a value takes one away.
        python: how Python is called.
    """

    def __init__(
        self, source, *, env=None, cwd=None, python=(sys.executable, '-W', 'error')
    ):
        arguments = source
        if isinstance(source, str):
            arguments = ['-c', PRELUDE + textwrap.dedent(source)]
        environment = {**os.environ, 'PYTHONUNBUFFERED': '1', **(env or {})}
        self.process = subprocess.Popen(
            [*python, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env={k: v for k, v in environment.items() if v is not None},
        )
        self.lines = queue.SimpleQueue()
        self.errors = []
        self.readers = [
            threading.Thread(target=self._read_lines, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for reader in self.readers:
            reader.start()

    def _read_lines(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip('\n'))
        self.lines.put(None)

    def _read_errors(self):
        self.errors.extend(self.process.stderr)

    @property
    def stderr(self):
        """What it has written to stderr."""
        return ''.join(self.errors)

    def line(self):
        """Its next line."""
        line = self.lines.get(timeout=PATIENCE)
        if line is None:
            self.wait()
            raise AssertionError(f'the program has ended:\n{self.stderr}')
        return line

    def rest(self):
        """What it says until it ends, as a list of lines."""
        return list(iter(lambda: self.lines.get(timeout=PATIENCE), None))

    def tell(self, line):
        """Write a line to its stdin."""
        self.process.stdin.write(line + '\n')
        self.process.stdin.flush()

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        """Wait for its end; its exit status."""
        status = self.process.wait(PATIENCE)
        for reader in self.readers:
            reader.join(PATIENCE)
        return status

    def kill(self):
        """End it without a chance to say a word."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.wait()

    def close(self):
        self.kill()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.stderr.close()
