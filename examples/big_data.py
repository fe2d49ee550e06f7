"""Large arrays and bytes: in frames of their own, without a copy on the way out.

Run it: python big_data.py
"""

import asyncio

import numpy

from pseud import Client, Limits, MessageTooLargeError, Server

# The receiver's limit counts, so both sides have one; 64 MiB is the default.
LIMITS = Limits(max_message=4 << 20)


def scale(array, factor):
    array *= factor  # what arrived is the function's own, and can be written to
    return array


class Camera:
    """Has one buffer, and writes to it again and again."""

    def __init__(self):
        self.buffer = numpy.zeros((480, 640), 'u1')

    def picture(self):
        self.buffer += 1
        return self.buffer.copy()  # the buffer itself may change before it has left


async def main():
    async with (
        Server('lab', limits=LIMITS) as server,
        Client('lab', limits=LIMITS) as client,
    ):
        server.register_rpc(scale)
        server.register_rpc(Camera().picture, name='picture')
        server.register_rpc(len, name='length')
        client.connect(server.bind('tcp://127.0.0.1:*'))

        readings = numpy.arange(250_000.0).reshape(500, 500)  # 2 MB
        scaled = await client.scale(readings, 2)
        print(scaled.dtype, scaled.shape, scaled.max(), readings.max())

        first, second = await asyncio.gather(client.picture(), client.picture())
        print(sorted([int(first.max()), int(second.max())]))

        # In parts, what is too large for one message.
        film = memoryview(bytes(6 << 20))
        try:
            await client.length(film)
        except MessageTooLargeError:
            parts = [film[at : at + (2 << 20)] for at in range(0, len(film), 2 << 20)]
            print(sum([await client.length(part) for part in parts]))


if __name__ == '__main__':
    asyncio.run(main())
