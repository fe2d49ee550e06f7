"""What happens to each call, written down by who makes it and by who runs it.

Each process appends lines to files of its own, a line by one ``write``, so that nothing is
lost when it is killed::

    M 5210 c3.2-77 u40 > plain nap 5.0   made, 5210 ms after the beginning
    O 5523 c3.2-77 result                its outcome
    B 5215 c3.2-77                       its function began to run
    E 5520 c3.2-77 returned              and ended
    V 5215 c3.2-77 it came from u41      something that must not be

The id of a call begins with the name of the process that made it.
"""

import os
import pathlib
import threading
import time

__all__ = [
    'BEGAN',
    'ENDED',
    'MADE',
    'OUTCOME',
    'VIOLATION',
    'Journal',
    'Reader',
    'maker',
]

MADE, OUTCOME, BEGAN, ENDED, VIOLATION = 'MOBEV'

# Lines of one file; those that have been read are deleted.
LINES = 20000
READ = 1 << 20  # bytes at once


def maker(call_id):
    """The process that made a call."""
    return call_id.partition('-')[0]


class Journal:
    """The lines of one process.

    Args:
        directory: of all journals.
        process: its name, with the number of its start.
        epoch: what `time.monotonic` said at the beginning of the run.
    """

    def __init__(self, directory, process, epoch):
        self.directory = pathlib.Path(directory)
        self.process = process
        self.epoch = epoch
        self.lines = self.files = self.calls = 0
        self.file = None
        self.lock = threading.Lock()  # SyncClients are called from threads

    def new_id(self):
        """An id that no other call has."""
        with self.lock:
            self.calls += 1
            return f'{self.process}-{self.calls}'

    def made(self, call_id, who, to, function, timeout):
        """A call is about to be made."""
        self.write(MADE, call_id, f'{who} > {to} {function} {timeout}')

    def write(self, what, call_id, text=''):
        """Append one line."""
        now = int((time.monotonic() - self.epoch) * 1000)
        line = f'{what} {now} {call_id} {" ".join(text.split())}\n'.encode()
        with self.lock:
            if self.lines % LINES == 0:
                self._next_file()
            self.lines += 1
            os.write(self.file, line)

    def _next_file(self):
        before = self.file
        path = self.directory / f'{self.process},{self.files}'
        self.files += 1
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        if before is not None:
            os.close(before)


class Reader:
    """Reads all journals of a directory while they grow, each line once."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.at = {}  # file: (bytes read, the line that is not complete yet)

    def read(self):
        """Yield (process, fields of a line) for what is new."""
        files = {}
        for path in self.directory.iterdir():
            process, _, number = path.name.partition(',')
            files.setdefault(process, []).append(int(number))
        for process, numbers in files.items():
            for number in sorted(numbers):
                path = self.directory / f'{process},{number}'
                for line in self._read_file(path):
                    yield process, line.split(' ', 3)
                if number < max(numbers):  # there will be no more in it
                    path.unlink()
                    del self.at[path]

    def _read_file(self, path):
        offset, rest = self.at.get(path, (0, b''))
        with path.open('rb', buffering=0) as file:
            file.seek(offset)
            while data := file.read(READ):
                offset += len(data)
                *lines, rest = (rest + data).split(b'\n')
                for line in lines:
                    yield line.decode()
        self.at[path] = offset, rest
