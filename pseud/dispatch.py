"""Calls that come in: find the function, check the caller, run it, answer."""

import logging
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from . import remote
from ._core.peer import InboundCall
from .current import CURRENT
from .describe import class_name, text_of
from .errors import (
    MessageTooLargeError,
    NotSentError,
    SerializationError,
    ServiceNotFoundError,
)
from .interfaces import IJob
from .proxy import Forward, find_home
from .registry import find_callable

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ['Job']

logger = logging.getLogger(__name__)


class _Refused(Exception):
    """The call is not run; args: type name of the error for its caller, and its text."""


@implementer(IJob)
class Job(InboundCall):
    """An inbound call, and the one run of its function.

    Finding the function and asking its predicate is part of the run: on gevent that may
    block, as the function may.
    """

    __slots__ = ('context', 'engine', 'home')

    engine: 'Engine'
    home: 'Engine'  # whose function it is: the same, or one that it delegates to
    context: Context

    @property
    def user_id(self) -> str | None:
        """Who made the call; a proxy's word counts if this server trusts it."""
        user_id, route = self.peer.user_id, self.route
        if user_id in self.engine.settings.trusted_proxies:
            if route is not None and route.came:
                return route.user_id
            if self.protocol == 1:  # it can not say for whom it calls
                return None
        return user_id

    def invoke(self) -> Any:
        return self.context.run(self._invoke)

    def _invoke(self) -> Any:
        func, args, kwargs = self._prepare()
        CURRENT.set(self)
        return func(*args, **kwargs)

    def _prepare(self) -> tuple[Callable[..., Any], Sequence[Any], dict[str, Any]]:
        """The function and its arguments.

        Nothing is unpacked before the caller is known to be allowed to make the call.
        """
        home, user_id = self.engine, self.peer.user_id
        try:
            if home.settings.trusted_proxies:
                user_id = self.user_id
            route = self.route
            if home.proxy is not None or (route is not None and route.to):
                elsewhere = find_home(self)
                if isinstance(elsewhere, Forward):
                    return elsewhere.start, (), {}
                home = self.home = elsewhere
            found = find_callable(home.registry, self.name, home.auth, user_id)
            packer = home.packers[self.protocol]
            args, kwargs = packer.unpack_call(self.body, self.buffers)
        except (ServiceNotFoundError, NotSentError) as error:
            raise _Refused(f'pseud.{class_name(error)}', str(error)) from None
        except SerializationError as error:
            text = f'{self.name}() did not run: {error}'
            raise _Refused('pseud.SerializationError', text) from None
        except Exception:
            logger.exception('asking whether %s() may be called failed', self.name)
            text = f'{self.name}() did not run: asking whether it may failed'
            raise _Refused('pseud.UnauthorizedError', text) from None
        # the arguments live as long as the function wants
        self.body, self.buffers = b'', ()
        if found.with_identity:
            args = (user_id, *args)
        return found.func, args, kwargs

    def succeeded(self, value: Any) -> None:
        if self.done:  # cancelled, expired, or the caller is gone
            return
        if type(value) is Forward:  # the answer is to come
            self.handle = value
            return
        engine = self.engine
        try:
            engine.core.reply(self, *self.home.packers[self.protocol].pack(value))
        except (SerializationError, MessageTooLargeError) as error:
            reason = f'{self.name}() ran, but {error}'
            engine.core.fail(self, f'pseud.{type(error).__name__}', reason)
        engine.sender.flush_soon()

    def failed(self, error: BaseException) -> None:
        if self.done:
            return
        engine = self.engine
        if isinstance(error, _Refused):
            engine.core.fail(self, *error.args)
            engine.sender.flush_soon()
            return
        if not isinstance(error, Exception):  # cancelled from within, or worse
            name, text = class_name(error), text_of(error)
            logger.warning('%s() ended with %s: %s', self.name, name, text)
        else:
            logger.debug('%s() raised %s', self.name, class_name(error))
        body = remote.dump(
            error,
            self.home.packers[self.protocol],
            self.protocol,
            show=self.home.settings.show_tracebacks,
        )
        engine.core.reply_error(self, body)
        engine.sender.flush_soon()

    def abort(self) -> None:
        """Nobody waits for the answer any more: stop what can be stopped."""
        if self.handle is not None:
            self.handle.cancel()
