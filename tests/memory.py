"""Scenarios in memory: a `backends.Net` without sockets, by a virtual clock.

``yield memory.clock.advance(3)`` waits on any backend: gevent's has advanced then, and
gives nothing to wait for.
"""

from backends import Net

from pseud.testing import Network

__all__ = ['MemoryNet']


class MemoryNet(Net):
    """A `Net` whose clients and servers are in a `pseud.testing.Network`.

    There can not be a socket: their context is terminated.

    Attributes:
        network, clock: as users have them.
    """

    def __init__(self, driver):
        super().__init__(driver, None)
        self.context.term()
        self.network = Network(driver.name)
        self.clock = self.network.clock

    def keep(self, rpc):
        return self.network.adopt(super().keep(rpc))

    def run(self, generator):
        network, asynchronous = self.network, self.driver.name == 'tornado'

        def around():
            if asynchronous:
                assert (yield network.__aenter__()) is network
            else:
                assert network.__enter__() is network
            yield from generator

        def close():
            yield (network.__aexit__ if asynchronous else network.__exit__)(*[None] * 3)
            yield from self._close()

        self.driver.run(around(), close())
