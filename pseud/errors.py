"""Every exception pseud raises, and what each says about the call it ended.

::

    Exception
    └── PseudError
        ├── NotSentError                 the call certainly did not run
        │   ├── OverloadedError          a bound was reached, here or at the peer
        │   └── NotSentTimeoutError      due before it could leave (also a TimeoutError)
        ├── TimeoutError                 no answer in time; it may have run
        ├── PeerLostError                connection gone meanwhile; it may have run
        ├── ServiceNotFoundError         the peer has no such function (for this caller)
        ├── UnauthorizedError            the peer refused who we are
        ├── SerializationError           a value could not be packed or unpacked
        ├── MessageTooLargeError         larger than the peer accepts
        ├── RemoteError                  the function raised something unknown here
        ├── RemoteTraceback              text of the remote traceback, as a ``__cause__``
        ├── ProtocolError
        │   ├── LocalProtocolError       pseud was used in a way the protocol forbids
        │   └── RemoteProtocolError      the peer sent what it may not
        └── UsageError                   a mistake in the calling program
            ├── WrongThreadError         used from a thread it does not belong to
            ├── ForkedError              used in a forked child
            └── UnknownPluginError       no plugin has that name

``TimeoutError`` is a subclass of the builtin of that name.  An exception that a remote
function raised arrives as itself when it is a builtin, a `PseudError` or registered as
safe to raise, else as a `RemoteError`.
"""

import builtins
import functools

__all__ = [
    'ForkedError',
    'LocalProtocolError',
    'MessageTooLargeError',
    'NotSentError',
    'NotSentTimeoutError',
    'OverloadedError',
    'PeerLostError',
    'ProtocolError',
    'PseudError',
    'RemoteError',
    'RemoteProtocolError',
    'RemoteTraceback',
    'SerializationError',
    'ServiceNotFoundError',
    'TimeoutError',
    'UnauthorizedError',
    'UnknownPluginError',
    'UsageError',
    'WrongThreadError',
    'make_remote_error',
]


class PseudError(Exception):
    """Base of everything that pseud raises on its own account."""


class NotSentError(PseudError):
    """The call was not made: it never left, or was refused before it ran."""


class OverloadedError(NotSentError):
    """A bound on calls under way or on queued bytes was reached; the call did not run."""


class TimeoutError(PseudError, builtins.TimeoutError):
    """No answer within the call's timeout.  The function may have run, or still run."""


class NotSentTimeoutError(NotSentError, TimeoutError):
    """The timeout passed before the call could be sent; it certainly did not run."""


class PeerLostError(PseudError):
    """The connection went away while the call was under way; it may have run."""


class ServiceNotFoundError(PseudError):
    """The peer has no function of that name that this caller may call."""


class UnauthorizedError(PseudError):
    """The peer refused our credentials, or the call."""


class SerializationError(PseudError):
    """A value can not be packed, or what arrived can not be unpacked."""


class MessageTooLargeError(PseudError):
    """The message is larger than the peer accepts.

    Raised where the call is made, the function did not run; raised by the remote side,
    it ran and its result was too large.
    """


class RemoteError(PseudError):
    """A remote function raised an exception whose class is not known here.

    What is raised is a subclass that bears the remote class's name.

    Attributes:
        type_name: dotted name of the remote class.
        message: ``str()`` of the remote exception.
    """

    def __init__(
        self, message: str = '', *args: object, type_name: str = 'RemoteError'
    ) -> None:
        super().__init__(*args)
        self.type_name = type_name
        self.message = message

    def __str__(self) -> str:
        return self.message

    def __repr__(self) -> str:
        message = str(self.message)
        if len(message) > 200:
            message = message[:199] + '…'
        return f'<RemoteError {self.type_name}: {message}>'

    def __reduce__(self) -> tuple[object, ...]:
        # notes, and what else it was given, are in its state
        made_of = (self.type_name, self.message, self.args)
        return make_remote_error, made_of, vars(self)


@functools.lru_cache(maxsize=256)
def _remote_error_class(type_name: str) -> type[RemoteError]:
    module, _, name = type_name.rpartition('.')
    if not name.isidentifier():
        return RemoteError
    return type(name, (RemoteError,), {'__module__': module or 'builtins'})


def make_remote_error(
    type_name: str, message: str, args: tuple[object, ...] = ()
) -> RemoteError:
    """A `RemoteError` of a class named after the remote one.

    Args:
        type_name: dotted name of the remote class.
        message: its ``str()``.
        args: its arguments, as far as they could travel.
    """
    return _remote_error_class(type_name)(message, *args, type_name=type_name)


class RemoteTraceback(PseudError):
    """Carries the traceback of the remote side, so that the local one shows it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return '\n\n' + self.text.rstrip()


class ProtocolError(PseudError):
    """The wire protocol was broken; which side did it, the subclass says."""


class LocalProtocolError(ProtocolError):
    """This side attempted what the protocol forbids."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something the protocol forbids; it is dropped, nothing else."""


class UsageError(PseudError):
    """The calling program made a mistake; the message names it and the way out."""


class WrongThreadError(UsageError):
    """A client or server was used from another thread than its event loop's."""


class ForkedError(UsageError):
    """A client or server made before ``os.fork()`` was used in the child."""


class UnknownPluginError(UsageError, LookupError):
    """No plugin is registered under that name."""
