"""The contracts: what a backend, a plugin and a client or server promise each other.

Whatever the engine calls on a plugin or a backend stands here, and nothing else may be
called.  Methods are written without ``self``, as zope.interface has it.
"""

from zope.interface import Attribute, Interface

from .errors import (
    ForkedError,
    LocalProtocolError,
    MessageTooLargeError,
    NotSentError,
    NotSentTimeoutError,
    OverloadedError,
    PeerLostError,
    ProtocolError,
    PseudError,
    RemoteError,
    RemoteProtocolError,
    RemoteTraceback,
    SerializationError,
    ServiceNotFoundError,
    TimeoutError,
    UnauthorizedError,
    UnknownPluginError,
    UsageError,
    WrongThreadError,
)

__all__ = [
    'ForkedError',
    'IAuthenticationBackend',
    'IBackend',
    'IBaseRPC',
    'IClient',
    'IHandle',
    'IHeartbeatBackend',
    'IJob',
    'IPredicate',
    'IRPCCallable',
    'IRPCRoute',
    'IResult',
    'IServer',
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
]


class IHandle(Interface):
    """Something scheduled that can be called off."""

    def cancel():
        """Call it off; harmless when it has happened or was called off already."""


class IResult(Interface):
    """The outcome of a call, to come: what the backend's users wait for."""

    call_id = Attribute('id of the call in the protocol core, for cancelling it')

    def done():
        """Whether an outcome is there (a value, an exception, or cancelled)."""

    def set_result(value):
        """It returned ``value``."""

    def set_exception(error):
        """It failed with ``error``."""

    def cancel():
        """The user waits no more: calls what `IBackend.result` was given."""


class IJob(Interface):
    """One run of a registered function, as the engine hands it to a backend."""

    name = Attribute('the dotted name that it was called by')
    peer = Attribute(
        'whose it is: those of one peer begin in order, and the peers take turns; None '
        'for what waits for nobody'
    )
    deadline = Attribute('from when on it need not begin, or None')

    def invoke():
        """Run the function in this job's context; returns what it returns."""

    def succeeded(value):
        """It returned ``value``; called once, unless `failed` is."""

    def failed(error):
        """It raised ``error`` (any BaseException); called once, unless `succeeded` is."""


class IBackend(Interface):
    """What an event loop supplies: futures, timers, socket polling; nothing else.

    Every method but `call_soon_threadsafe` is called in the loop's thread.
    """

    name = Attribute("'tornado' or 'gevent'")
    loop = Attribute('the event loop that it is about; two may be about one')
    cooperative = Attribute('whether a function that waits lets others run meanwhile')

    def running():
        """Whether the loop runs in this thread now, so that nothing needs to block."""

    def now():
        """The loop's clock, in seconds; the one that `call_at` takes."""

    def call_soon(callback):
        """Run ``callback()`` in the next turn of the loop, in order."""

    def call_soon_threadsafe(callback):
        """The same from any thread or from a signal handler; wakes the loop."""

    def call_at(when, callback):
        """Run ``callback()`` once the clock says ``when``; returns an `IHandle`."""

    def watch(fd, callback):
        """Run ``callback()`` whenever ``fd`` is readable; returns an `IHandle`."""

    def result(on_cancel):
        """A new `IResult`; ``on_cancel(result)`` is called when its user cancels it."""

    def new_turn():
        """We begin with what may take time; returns when the loop is to get on."""

    def spawn(job):
        """Run an `IJob` when it is its turn: at once, unless others wait.

        Returns:
            An `IHandle` that stops it, or None if it has ended.
        """

    def run_until(result):
        """Run the loop, which does not run, until the `IResult` is there; return it."""


class IBaseRPC(Interface):
    """What clients and servers have in common, and plugins may rely on."""

    settings = Attribute('the constructor arguments, a `pseud.settings.Settings`')
    registry = Attribute('where this object looks up functions and plugins')

    def connect(endpoint):
        """Connect to an ØMQ address, now or as soon as it is there."""

    def bind(endpoint):
        """Listen at an ØMQ address."""

    def disconnect(endpoint):
        """Undo `connect`."""

    def register_rpc(func, name, domain, with_identity):
        """Make a function callable by peers; also a decorator."""

    def on_join(function):
        """Call ``function(peer)`` when a peer is here; also a decorator."""

    def on_leave(function):
        """Call ``function(peer, reason)`` when it is gone; also a decorator."""

    def on_unresponsive(function):
        """Call ``function(peer)`` when it does not answer; also a decorator."""

    def on_responsive(function):
        """Call ``function(peer)`` when it answers again; also a decorator."""

    def start():
        """Begin to work."""

    def stop(grace):
        """Finish what runs, then end."""


class IClient(IBaseRPC):
    """Connects to servers and calls them; they may call it."""


class IServer(IBaseRPC):
    """Is connected to by clients; they call it, and it may call them."""

    peers = Attribute('who is connected: a list of `pseud.RemotePeer`')

    def send_to(user):
        """Something whose attributes are the functions of a user's or peer's client."""

    def send_to_many(users):
        """The same for many; a call results in {user: value or exception}."""

    def expel(user, reason):
        """End the connections of a user or a peer; returns how many."""


class IAuthenticationBackend(Interface):
    """Who may connect, and as whom.

    A plugin is a named adapter of `IClient` or `IServer`, registered with
    `pseud.utils.register_auth_backend`, or an object that provides this.
    """

    name = Attribute('what ``security_plugin=`` calls it')
    needs_zap = Attribute('whether `authenticate` is to be asked about connections')
    identifies = Attribute('whether connections have a user id when this is used')
    challenges = Attribute(
        'whether clients log in over the connection, with a user id and a password'
    )
    encrypted = Attribute('whether nobody on the way can read what is sent')
    blocking = Attribute(
        'whether `authenticate` runs in a thread, as it may block; None: on tornado it '
        "does unless it is a coroutine function, on gevent the server's hub runs it"
    )
    recheck = Attribute('seconds between calls of `revoked`; 0 for none')

    def socket_options():
        """Options for each socket before it connects or binds: {ØMQ option: value}."""

    def credentials():
        """User id and password to log in with where the server challenges, or None."""

    def authenticate(credentials):
        """The user id of who connects or logs in, a `pseud.zap.Credentials`; servers only.

        A function or a coroutine function.  Raises `UnauthorizedError` to refuse; any
        other exception refuses and is logged.  There are 10 seconds to decide.
        """

    def revoked(user_ids):
        """Which of these connected users may not stay: their connections are ended."""

    def get_predicate_arguments(user_id):
        """Keyword arguments for the predicates of a call by this user: a mapping."""

    def stop():
        """Its client or server has stopped."""


class IHeartbeatBackend(Interface):
    """Watches over peers, beyond what the transport does by itself.

    A plugin is a named adapter of `IClient`, `IServer` or `IBaseRPC`, registered with
    `pseud.utils.register_heartbeat_backend`, or an object that provides this.  It says
    how often peers are asked for a sign of life, and is told what comes of it; the
    asking is not its business.  The two functions that take a peer may be what
    `on_join` takes: they may wait, and an exception is logged.
    """

    name = Attribute('what ``heartbeat_plugin=`` calls it')
    interval = Attribute('seconds between two pings of one peer; 0 for none at all')
    patience = Attribute('seconds that a peer has for an answer')
    gone_after = Attribute(
        'seconds without an answer after which a peer is gone whose loss the transport '
        'does not tell, as it is behind a device or inproc; None: never'
    )

    def configure():
        """Its client or server starts to work."""

    def handle_heartbeat(user_id, peer):
        """A `pseud.RemotePeer` answered a ping, pinged us, or sent a heartbeat of v1."""

    def handle_timeout(user_id, peer):
        """A `pseud.RemotePeer` did not answer in time; for each ping that it did not."""

    def stop():
        """Its client or server has stopped."""


class IRPCCallable(Interface):
    """A registered function."""

    func = Attribute('the function')
    name = Attribute('the dotted name peers call it by')
    domain = Attribute('name of the predicate that decides who may call it')
    with_identity = Attribute('whether the user id comes before the arguments')

    def __call__(*args, **kw):
        """Run it."""

    def test(*args, **kw):
        """Ask the predicate of its domain; a bool."""


class IRPCRoute(Interface):
    """What one name leads to in one registry: its functions by domain."""

    callables = Attribute('{domain: IRPCCallable}')

    def candidates():
        """Its functions and those of the registries below, in order of precedence."""


class IPredicate(Interface):
    """Decides who may call the functions of a domain.

    A named adapter of `IRPCCallable`; its name is the domain's.
    """

    def test(*args, **kw):
        """Whether the call may be made; gets the authentication plugin's arguments."""
