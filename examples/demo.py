"""Programs call each other: a server, and a client of each kind, one after the other.

The server and the first client run on asyncio, the second client on gevent; the third is
a plain program that blocks. Run by `make demo`; the clients check what they get, and
this ends with 0 if all was right.
"""

import importlib.util
import socket
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
CLIENTS = {
    'demo_client.py': 'a client on asyncio',
    'demo_gevent.py': 'a client on gevent',
    'demo_sync.py': 'a client without an event loop',
}


def start(program, what, endpoint):
    say(f'starts {program}, {what}')
    return subprocess.Popen([sys.executable, str(HERE / program), endpoint])


def say(text):
    print(f'[demo]    {text}', flush=True)


def main():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        endpoint = f'tcp://127.0.0.1:{probe.getsockname()[1]}'  # a free port
    if importlib.util.find_spec('gevent') is None:
        say('leaves out demo_gevent.py: gevent is not installed')
        del CLIENTS['demo_gevent.py']
    server = client = None
    failed = []
    try:
        server = start('demo_server.py', 'the server, on asyncio', endpoint)
        for program, what in CLIENTS.items():
            client = start(program, what, endpoint)
            if client.wait(timeout=60):
                failed.append(program)
        say('stops the server with SIGTERM')
        server.terminate()
        if server.wait(timeout=20):
            failed.append('demo_server.py')
    finally:
        for process in (client, server):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
    if failed:
        say(f'FAILED: {", ".join(failed)}')
        return 1
    say('all as it should be')
    return 0


if __name__ == '__main__':
    sys.exit(main())
