"""Calls that come in: find the function, check the caller, run it, answer."""

import logging
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from . import remote
from ._core.peer import InboundCall
from .current import CURRENT
from .errors import MessageTooLargeError, SerializationError, ServiceNotFoundError
from .interfaces import IJob
from .registry import find_callable

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ['Job', 'dispatch']

logger = logging.getLogger(__name__)


def dispatch(engine: 'Engine', call: InboundCall) -> None:
    """Run an inbound call, or answer why not.

    Nothing is unpacked before the caller is known to be allowed to make the call.
    """
    user_id = call.peer.user_id
    try:
        found = find_callable(
            engine.registry,
            call.name,
            lambda: engine.auth.get_predicate_arguments(user_id),
        )
        args, kwargs = engine.packers[call.protocol].unpack_call(
            call.body, call.buffers
        )
    except (ServiceNotFoundError, SerializationError) as error:
        engine.core.fail(call, f'pseud.{type(error).__name__}', str(error))
        return
    except Exception as error:
        logger.exception('asking whether %s() may be called failed', call.name)
        reason = f'{call.name}() did not run: asking whether it may failed'
        engine.core.fail(call, 'pseud.UnauthorizedError', f'{reason}: {error!r}')
        return
    call.body, call.buffers = (
        b'',
        (),
    )  # the arguments live as long as the function wants
    if found.with_identity:
        args = (user_id, *args)
    job = Job(engine, call, found.func, args, kwargs)
    call.job = job
    job.handle = engine.backend.spawn(job)


@implementer(IJob)
class Job:
    """One run of a function for a peer."""

    __slots__ = (
        'args',
        'call',
        'context',
        'engine',
        'func',
        'handle',
        'kwargs',
    )

    def __init__(
        self, engine: 'Engine', call: InboundCall, func: Any, args: Any, kwargs: Any
    ) -> None:
        self.engine = engine
        self.call = call
        self.func = func
        self.args = args
        self.kwargs = kwargs
        self.context = engine.call_context.copy()
        self.handle: Any = None

    def __repr__(self) -> str:
        return f'<Job {self.call.name!r} for {self.call.peer.label}>'

    def invoke(self) -> Any:
        return self.context.run(self._invoke)

    def _invoke(self) -> Any:
        CURRENT.set(self)
        return self.func(*self.args, **self.kwargs)

    def succeeded(self, value: Any) -> None:
        call, engine = self.call, self.engine
        if call.done:  # cancelled, expired, or the caller is gone
            return
        try:
            engine.core.reply(call, engine.packers[call.protocol].pack(value))
        except (SerializationError, MessageTooLargeError) as error:
            reason = f'{call.name}() ran, but {error}'
            engine.core.fail(call, f'pseud.{type(error).__name__}', reason)
        except Exception as error:  # a user type's own pack function
            self.failed(error)
            return
        engine.flush_soon()

    def failed(self, error: BaseException) -> None:
        call, engine = self.call, self.engine
        if call.done:
            return
        if not isinstance(error, Exception):  # cancelled from within, or worse
            logger.warning('%s() ended with %r', call.name, error)
        else:
            logger.debug('%s() raised %s', call.name, type(error).__name__)
        body = remote.dump(
            error,
            engine.packers[call.protocol],
            call.protocol,
            show=engine.settings.show_tracebacks,
        )
        engine.core.reply_error(call, body)
        engine.flush_soon()

    def abort(self) -> None:
        """Nobody waits for the answer any more: stop what can be stopped."""
        if self.handle is not None:
            self.handle.cancel()
