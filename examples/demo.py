"""Two programs call each other: starts demo_server.py and demo_client.py.

Run by `make demo`. The client checks what it gets; this ends with 0 if all was right.
"""

import socket
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def start(program, endpoint):
    say(f'starts {program}')
    return subprocess.Popen([sys.executable, str(HERE / program), endpoint])


def say(text):
    print(f'[demo]   {text}', flush=True)


def main():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        endpoint = f'tcp://127.0.0.1:{probe.getsockname()[1]}'  # a free port
    server = client = None
    try:
        server = start('demo_server.py', endpoint)
        client = start('demo_client.py', endpoint)
        client.wait(timeout=60)
        say('stops the server with SIGTERM')
        server.terminate()
        server.wait(timeout=20)
    finally:
        for process in (client, server):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
    if client.returncode or server.returncode:
        say(
            f'FAILED: the client ended with {client.returncode}, '
            f'the server with {server.returncode}'
        )
        return 1
    say('all as it should be')
    return 0


if __name__ == '__main__':
    sys.exit(main())
