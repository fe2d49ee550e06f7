"""Testing on gevent, in memory and by a virtual clock.

Run it: python testing_gevent.py
"""

import os

os.environ['NO_TORNADO'] = '1'  # take gevent, even if tornado is installed

import gevent

import pseud
from pseud.testing import pair


def test_the_third_attempt():
    """What is tested waits a minute between its attempts to reach a client."""

    def remind(server, user, sleep):
        for attempt in (1, 2, 3):
            try:
                return attempt, server.send_to(user).remind().get()
            except pseud.NotSentError:
                sleep(60)
        return None

    with pair('alice') as (server, client, network):
        client.register_rpc(lambda: 'thanks', name='remind')
        network.cut(client)
        reminding = gevent.spawn(remind, server, 'alice', network.clock.sleep)
        network.clock.advance(61)  # returns when all has happened that is due by then
        network.reconnect(client)
        network.clock.advance(60)
        assert reminding.get() == (3, 'thanks')


if __name__ == '__main__':
    test_the_third_attempt()
    print('passed')
