"""Where a call that proxies pass on comes from, and where one goes back to.

Field 6 of CALL: ``[came, user_id, to]``.  A *hop* is 16 bytes that a proxy makes: 8 of its
own, and 8 of the peer that it passes calls on for.  ``came`` are the hops to the original
caller, the nearest last; a call back states them in ``to``, and each proxy takes off the
last, which is its own.
"""

from typing import Any, NamedTuple

from ..errors import RemoteProtocolError

__all__ = ['HOP', 'MAX_HOPS', 'SELF', 'Route', 'read_route']

HOP = 16  # bytes of a hop
SELF = 8  # and of those, the ones that stand for the proxy itself
# Proxies on the way of one call: beyond, it is taken for a loop.
MAX_HOPS = 16
MAX_USER_ID = 1024  # characters

_NO_HOPS = f'a route is not an array of at most {MAX_HOPS} hops of {HOP} bytes'


class Route(NamedTuple):
    """What a proxy states about a call.

    Attributes:
        came: hops to who made it; empty for a call that no proxy passed on.
        user_id: who made it, as the proxy knows; None: nobody it knows.
        to: hops to whom it is for; empty for the peer itself.
    """

    came: tuple[bytes, ...] = ()
    user_id: str | None = None
    to: tuple[bytes, ...] = ()

    @property
    def size(self) -> int:
        """Bytes that it takes in a head, or fewer."""
        return (HOP + 2) * (len(self.came) + len(self.to)) + 4 * len(self.user_id or '')


def read_route(value: Any) -> Route | None:
    """The route that a message states.

    Raises:
        RemoteProtocolError: it is none.
    """
    if value is None:
        return None
    if type(value) is not tuple or len(value) < 3:
        raise RemoteProtocolError('the route of a call is not an array of three')
    came, user_id, to = value[:3]
    for hops in (came, to):
        if type(hops) is not tuple or len(hops) > MAX_HOPS:
            raise RemoteProtocolError(_NO_HOPS)
        for hop in hops:
            if type(hop) is not bytes or len(hop) != HOP:
                raise RemoteProtocolError(_NO_HOPS)
    if user_id is not None and (type(user_id) is not str or len(user_id) > MAX_USER_ID):
        raise RemoteProtocolError('the user id of a route is not a str, or too long')
    return Route(came, user_id, to)
