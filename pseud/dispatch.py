"""Calls that come in: find the function, check the caller, run it, answer."""

import logging
from collections.abc import Callable, Sequence
from contextvars import Context
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


def dispatch(engine: 'Engine', job: 'Job') -> None:
    """Run an inbound call, or answer why not.

    Nothing is unpacked before the caller is known to be allowed to make the call.
    """
    user_id = job.peer.user_id
    try:
        found = find_callable(engine.registry, job.name, engine.auth, user_id)
        args, kwargs = engine.packers[job.protocol].unpack_call(job.body, job.buffers)
    except (ServiceNotFoundError, SerializationError) as error:
        engine.core.fail(job, f'pseud.{type(error).__name__}', str(error))
        return
    except Exception:
        logger.exception('asking whether %s() may be called failed', job.name)
        reason = f'{job.name}() did not run: asking whether it may failed'
        engine.core.fail(job, 'pseud.UnauthorizedError', reason)
        return
    job.body, job.buffers = b'', ()  # the arguments live as long as the function wants
    job.engine = engine
    job.func = found.func
    job.args = (user_id, *args) if found.with_identity else args
    job.kwargs = kwargs
    job.context = engine.call_context.copy()
    job.handle = engine.backend.spawn(job)


@implementer(IJob)
class Job(InboundCall):
    """An inbound call, and the one run of its function."""

    __slots__ = ('args', 'context', 'engine', 'func', 'kwargs')

    engine: 'Engine'
    func: Callable[..., Any]
    args: Sequence[Any]
    kwargs: dict[str, Any]
    context: Context

    def invoke(self) -> Any:
        return self.context.run(self._invoke)

    def _invoke(self) -> Any:
        CURRENT.set(self)
        return self.func(*self.args, **self.kwargs)

    def succeeded(self, value: Any) -> None:
        if self.done:  # cancelled, expired, or the caller is gone
            return
        engine = self.engine
        try:
            engine.core.reply(self, engine.packers[self.protocol].pack(value))
        except (SerializationError, MessageTooLargeError) as error:
            reason = f'{self.name}() ran, but {error}'
            engine.core.fail(self, f'pseud.{type(error).__name__}', reason)
        engine.sender.flush_soon()

    def failed(self, error: BaseException) -> None:
        if self.done:
            return
        engine = self.engine
        if not isinstance(error, Exception):  # cancelled from within, or worse
            logger.warning('%s() ended with %r', self.name, error)
        else:
            logger.debug('%s() raised %s', self.name, type(error).__name__)
        body = remote.dump(
            error,
            engine.packers[self.protocol],
            self.protocol,
            show=engine.settings.show_tracebacks,
        )
        engine.core.reply_error(self, body)
        engine.sender.flush_soon()

    def abort(self) -> None:
        """Nobody waits for the answer any more: stop what can be stopped."""
        if self.handle is not None:
            self.handle.cancel()
