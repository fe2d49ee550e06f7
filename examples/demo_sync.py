"""The demo's client without an event loop: a call blocks, and returns the result.

`make demo` runs it together with demo_server.py. By itself, beside a running
demo_server.py: python demo_sync.py
"""

import sys

from pseud import SyncClient


def say(text):
    print(f'[sync]    {text}', flush=True)


def main(endpoint):
    # 'plain', as this server wants to know who calls
    client = SyncClient(security_plugin='plain', user_id='carol', password='')
    client.connect(endpoint)

    say("8. SyncClient just returns: hello('Barbara')")
    result = client.hello('Barbara')
    say(f'   returned {result!r}')
    assert result == 'Hello Barbara'

    say('9. and raises: divide(1, 0)')
    try:
        client.divide(1, 0)
    except ZeroDivisionError as error:
        say(f'   raised {error!r}')
    else:
        raise AssertionError('divide(1, 0) raised nothing')

    client.stop()


if __name__ == '__main__':
    main(sys.argv[1] if len(sys.argv) > 1 else 'tcp://127.0.0.1:5555')
