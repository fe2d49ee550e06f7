"""The demo's client on gevent: the same calls, with `get()` where asyncio has `await`.

`make demo` runs it together with demo_server.py. By itself, beside a running
demo_server.py: python demo_gevent.py
"""

import os
import sys

os.environ['NO_TORNADO'] = '1'  # take gevent, even if tornado is installed

import gevent

from pseud import Client


def say(text):
    print(f'[gevent]  {text}', flush=True)


def main(endpoint):
    client = Client('demo', security_plugin='plain', user_id='bob', password='')
    client.connect(endpoint)

    @client.register_rpc(name='draw.me.a.sheep')
    def sheep():
        say('   draw.me.a.sheep() runs in a greenlet, which may block')
        gevent.sleep(0.01)
        return 'maaah'

    say("6. a result of a call is waited for with get(): hello('Grace').get()")
    result = client.hello('Grace').get()
    say(f'   returned {result!r}')
    assert result == 'Hello Grace'

    say('7. both ways, too: the server calls this client')
    result = client.order_sheep().get()
    say(f'   returned {result!r}')
    assert result == 'here is your maaah'

    client.stop()


if __name__ == '__main__':
    main(sys.argv[1] if len(sys.argv) > 1 else 'tcp://127.0.0.1:5555')
