"""A pseud server in a process of its own, behind a gateway that is measured."""

import os
import subprocess
import sys
import threading


def start():
    """Start one, of this process's backend, which ends with it; returns its address."""
    process = subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return process.stdout.readline().strip()


def main():
    from harness import greet
    from pseud import Server

    server = Server('service')
    print(server.bind('tcp://127.0.0.1:*'), flush=True)
    server.register_rpc(name='hello')(greet)
    server.register_rpc(name='echo')(lambda data: data)
    threading.Thread(target=end_with_parent, daemon=True).start()
    server.serve_forever()


def end_with_parent():
    sys.stdin.read()
    os._exit(0)


if __name__ == '__main__':
    main()
