"""A server with one function; hello_client.py calls it.

Run it: python hello_server.py [endpoint]
"""

import sys

from pseud import Server

server = Server('service')


@server.register_rpc
def hello(name):
    return f'Hello {name}'


if __name__ == '__main__':
    endpoint = server.bind(sys.argv[1] if len(sys.argv) > 1 else 'tcp://127.0.0.1:5555')
    print(f'listens at {endpoint}', flush=True)
    server.serve_forever()  # until SIGTERM or Ctrl-C
