"""What can be called in a torture run, at servers and at clients alike.

Every function is given the id of the call, who makes it and whom it is for, and returns
the id, who ran it and a value: so that no call can be taken for another's unnoticed.
These are tuples: by protocol 1, lists become such.
"""

import contextlib
import functools
import inspect
import time

from config import STRANGER
from journal import BEGAN, ENDED, VIOLATION
from zope.interface import implementer

from pseud.interfaces import IPredicate, IRPCCallable
from pseud.plugins import adapter
from pseud.utils import current_call, register_predicate

__all__ = ['TOO_LARGE', 'Functions']

TOO_LARGE = 5 << 20  # bytes


@register_predicate
@implementer(IPredicate)
@adapter(IRPCCallable)
class Nobody:
    """The predicate of a domain where nobody may call anything."""

    name = 'nobody'

    def __init__(self, rpc_call):
        pass

    def test(self, *args, **kwargs):
        return False


class Unknown(Exception):
    """Peers have no such class."""


class Functions:
    """The functions of one client or server.

    Args:
        calls: makes the calls of this side, a `calls.Calls`.
        server: which side it is.
    """

    def __init__(self, calls, *, server):
        self.calls = calls
        self.journal = calls.journal
        self.me = calls.me
        self.server = server

    def register(self, rpc):
        """Let peers of a client or server call them."""
        for name in ('echo', 'each', 'fail', 'spin', 'odd', 'swell', 'nap', 'nest'):
            rpc.register_rpc(self._watched(getattr(self, name)), name=name)
        rpc.register_rpc(self._watched(self.echo), name='forbidden', domain='nobody')

    # ------------------------------------------------------ functions

    def echo(self, call_id, value):
        return value

    def each(self, call_id, value):
        """The same; many are called by one call."""
        return value

    def fail(self, call_id, known):
        raise (ValueError if known else Unknown)(call_id)

    def spin(self, call_id, seconds):
        """Let nobody else run."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass

    def odd(self, call_id):
        """What can not be packed."""
        return object()

    def swell(self, call_id):
        return bytes(TOO_LARGE)

    def nap(self, call_id, seconds):
        yield self.calls.driver.sleep(seconds)

    def nest(self, call_id, depth):
        """Call back whoever calls, who does the same."""
        if depth:
            call = current_call()
            to = call.user_id if self.server else self.calls.service
            outcome = yield from self.calls.call(
                call.caller, 'nest', to, depth - 1, expected=depth - 1
            )
            if outcome != 'result':
                raise RuntimeError(call_id)
        return depth

    # ------------------------------------------------------ watching them

    def _watched(self, function):
        """The function as peers call it."""
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def watched(call_id, who, to, *args):
                with self._run(function, call_id, who, to):
                    value = yield from function(call_id, *args)
                return call_id, self.me, value

            return self.calls.driver.handler(watched)

        @functools.wraps(function)
        def watched(call_id, who, to, *args):
            with self._run(function, call_id, who, to):
                value = function(call_id, *args)
            return call_id, self.me, value

        return watched

    @contextlib.contextmanager
    def _run(self, function, call_id, who, to):
        user_id = current_call().user_id
        if user_id == STRANGER:
            raise PermissionError('nobody answers a stranger')
        if function.__name__ == 'each':
            call_id = f'{call_id}/{self.me}'
        write = self.journal.write
        write(BEGAN, call_id)
        known_as = user_id if self.server else self.calls.service
        if who != known_as:
            write(VIOLATION, call_id, f'{who} made it, and it came from {known_as}')
        if to not in (self.me, None):
            write(VIOLATION, call_id, f'it was made to {to}, and came to {self.me}')
        try:
            yield
        except Exception:
            write(ENDED, call_id, 'raised')
            raise
        except BaseException:
            write(ENDED, call_id, 'cancelled')
            raise
        else:
            write(ENDED, call_id, 'returned')
