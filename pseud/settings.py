"""What a client or server was told when it was made, checked once."""

import dataclasses
import math
from typing import Any

from ._core.limits import Limits

__all__ = ['DEFAULT_TIMEOUT', 'Settings', 'check_timeout', 'is_number']

DEFAULT_TIMEOUT = 5.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The constructor arguments of `Client` and `Server`; secrets stay out of the repr.

    Args:
        name: of the service.
        user_id: who this side is, for plugins that log in.
        password: to that user id.
        public_key, secret_key: this side's CURVE keys, Z85 text or bytes.
        peer_public_key: the server's CURVE key, known to clients.
        security_plugin: name of an authentication plugin, or one.
        heartbeat_plugin: name of a heartbeat plugin, or one; ``'presence'`` finds out who
            does not answer.
        passwords: ``{user id: password}``, the path of a file of hashed passwords, or a
            function of user id and password that says whether they are right; for
            servers with the plugin ``plain``.
        authorized_keys: ``{user id: public key}``, or the path of a directory of
            certificates ``USER.key``; for servers with the plugin ``trusted_curve``.
        allow, deny: IP addresses and networks (``'192.0.2.0/24'``) that may connect to a
            server, and that may not; ``deny`` wins.
        proxy_to: a `Server` of this process, or a `Client`, that calls of functions which
            are not registered here are passed on to.
        proxy_domain: name of the predicate that decides who may have them passed on.
        trusted_proxies: user ids of those whose word is taken for who made the calls that
            they pass on; for servers whose plugin identifies clients.
        timeout: seconds a call may take, None for ever.
        translation_table: ``{code: (class, pack, unpack)}``, codes 0-63.
        protocol: 1 to speak as pseud 1.x does, to servers that know no better.
        limits: see `pseud.Limits`.
        show_tracebacks: whether callers see the tracebacks of what fails here.  Without,
            they see no ``__cause__`` and ``__context__`` either, as these tell how this
            side is made; messages, arguments, notes and the members of groups stay.
        heartbeat_interval: seconds between the transport's signs of life, 0 for none; a
            peer that is silent for four times as long is lost.
        linger: seconds that what was sent last may take to leave after closing.
    """

    name: str = ''
    user_id: str | None = None
    password: str | None = dataclasses.field(default=None, repr=False)
    public_key: str | bytes | None = None
    secret_key: str | bytes | None = dataclasses.field(default=None, repr=False)
    peer_public_key: str | bytes | None = None
    security_plugin: Any = 'noop_auth_backend'
    heartbeat_plugin: Any = 'noop_heartbeat_backend'
    passwords: Any = dataclasses.field(default=None, repr=False)
    authorized_keys: Any = None
    allow: Any = None
    deny: Any = None
    proxy_to: Any = None
    proxy_domain: str = 'default'
    trusted_proxies: Any = ()
    timeout: float | None = DEFAULT_TIMEOUT
    translation_table: Any = None
    protocol: int = 2
    limits: Limits = dataclasses.field(default_factory=Limits)
    show_tracebacks: bool = True
    heartbeat_interval: float = 2.5
    linger: float = 1.0

    def __post_init__(self) -> None:
        for field in ('name', 'user_id', 'password'):
            value = getattr(self, field)
            if isinstance(value, bytes):  # pseud 1.x took bytes
                object.__setattr__(self, field, value.decode())
            elif value is not None and not isinstance(value, str):
                raise TypeError(f'{field} must be a str, not {type(value).__name__}')
        if len(self.name.encode()) > 255:
            raise ValueError('name must be at most 255 bytes, it is a routing id')
        check_timeout(self.timeout)
        self._check_proxies()
        if self.protocol not in (1, 2):
            raise ValueError(f'protocol must be 1 or 2, not {self.protocol!r}')
        if not isinstance(self.limits, Limits):
            raise TypeError(f'limits must be a pseud.Limits, not {self.limits!r}')
        for field in ('heartbeat_interval', 'linger'):
            value = getattr(self, field)
            if not is_number(value) or not 0 <= value < 1e6:
                raise ValueError(f'{field} must be seconds, 0 or more, not {value!r}')

    def _check_proxies(self) -> None:
        to = getattr(self.proxy_to, '_engine', None)
        if self.proxy_to is not None and not hasattr(to, 'roster'):
            raise TypeError(
                'proxy_to must be a Server or a Client (a SyncClient would block '
                f'everybody), not {self.proxy_to!r}'
            )
        trusted = self.trusted_proxies
        if isinstance(trusted, str | bytes) or not all(
            isinstance(user_id, str) for user_id in trusted
        ):
            raise TypeError(
                f"trusted_proxies must be user ids, ['gateway'], not {trusted!r}"
            )
        object.__setattr__(self, 'trusted_proxies', frozenset(trusted))

    def check_client(self) -> None:
        """See that these are settings of a client.

        Raises:
            ValueError: they say who may connect, and nobody connects to a client.
        """
        if self.allow is not None or self.deny is not None:
            raise ValueError('allow and deny are for servers: clients connect to them')
        if self.trusted_proxies:
            raise ValueError('trusted_proxies are for servers: clients connect to them')

    def check_server(self, auth: Any) -> None:
        """See that these are settings of a server.

        Args:
            auth: its authentication plugin.

        Raises:
            ValueError: they choose a protocol, or trust peers that have no name.
        """
        if self.protocol != 2:
            raise ValueError(
                'a Server speaks every protocol version with whoever speaks it; '
                'protocol= is for clients'
            )
        if self.trusted_proxies and not auth.identifies:
            raise ValueError(
                f'security_plugin {auth.name!r} gives clients no user id, so '
                "that trusted_proxies can not be told from others: take 'trusted_curve', "
                'for instance'
            )


def is_number(value: Any) -> bool:
    """Whether it is an int or a float; True and False are neither."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_timeout(timeout: Any) -> float | None:
    """Return a timeout if it is one.

    Raises:
        ValueError: it is not a positive number of seconds, nor None.
    """
    if timeout is None:
        return None
    if not is_number(timeout) or not 0 < timeout < math.inf:
        raise ValueError(
            f'timeout must be a positive number of seconds, or None for no limit, '
            f'not {timeout!r}'
        )
    return float(timeout)
