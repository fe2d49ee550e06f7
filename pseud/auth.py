"""The authentication plugins that come with pseud.

``noop_auth_backend`` asks nobody, for closed networks and tests; ``plain`` checks
passwords; ``trusted_peer`` believes the user id a client states, for closed networks.
Both of the latter use ZMTP's PLAIN mechanism (RFC 24): clear text on the wire.
"""

import hmac
from collections.abc import Mapping
from typing import Any

import zmq
from zope.interface import implementer

from .errors import UnauthorizedError
from .interfaces import IAuthenticationBackend, IClient, IServer
from .plugins import adapter, register_auth_backend
from .zap import Credentials

__all__ = [
    'NoAuthentication',
    'PlainClient',
    'PlainServer',
    'TrustedPeerClient',
    'TrustedPeerServer',
]


class _Base:
    needs_zap = False
    identifies = False

    def __init__(self, rpc: Any) -> None:
        self.settings = rpc.settings

    def socket_options(self) -> dict[int, Any]:
        return {}

    def authenticate(self, credentials: Credentials) -> str:
        raise UnauthorizedError('this side admits nobody')

    def get_predicate_arguments(self, user_id: str | None) -> Mapping[str, Any]:
        return {'user_id': user_id}

    def stop(self) -> None:
        """Nothing was started."""


@register_auth_backend
@implementer(IAuthenticationBackend)
@adapter(IClient)
class NoAuthentication(_Base):
    """Client side: states nothing."""

    name = 'noop_auth_backend'


@register_auth_backend
@implementer(IAuthenticationBackend)
@adapter(IServer)
class NoAuthenticationServer(_Base):
    """Server side: admits everybody, and knows nobody's name."""

    name = 'noop_auth_backend'


@register_auth_backend
@implementer(IAuthenticationBackend)
@adapter(IClient)
class PlainClient(_Base):
    """Client side: states a user id and a password."""

    name = 'plain'

    def __init__(self, rpc: Any) -> None:
        super().__init__(rpc)
        if not self.settings.user_id:
            raise ValueError(
                f'security_plugin={self.name!r} needs a user_id that is not empty'
            )

    def socket_options(self) -> dict[int, Any]:
        options = {int(zmq.PLAIN_USERNAME): self.settings.user_id.encode()}
        if self.settings.password:  # libzmq refuses to be told the empty one
            options[int(zmq.PLAIN_PASSWORD)] = self.settings.password.encode()
        return options


@register_auth_backend
@implementer(IAuthenticationBackend)
@adapter(IClient)
class TrustedPeerClient(PlainClient):
    """Client side: states a user id that the server believes."""

    name = 'trusted_peer'


@register_auth_backend
@implementer(IAuthenticationBackend)
@adapter(IServer)
class TrustedPeerServer(_Base):
    """Server side: believes the user id, whatever the password."""

    name = 'trusted_peer'
    needs_zap = True
    identifies = True

    def socket_options(self) -> dict[int, Any]:
        return {int(zmq.PLAIN_SERVER): 1}

    def authenticate(self, credentials: Credentials) -> str:
        if credentials.mechanism != 'PLAIN' or not credentials.username:
            raise UnauthorizedError('a user id is needed')
        return credentials.username


@register_auth_backend
@implementer(IAuthenticationBackend)
@adapter(IServer)
class PlainServer(TrustedPeerServer):
    """Server side: checks the password."""

    name = 'plain'

    def __init__(self, rpc: Any) -> None:
        super().__init__(rpc)
        passwords = self.settings.passwords
        if not callable(passwords) and not isinstance(passwords, Mapping):
            raise ValueError(
                "security_plugin='plain' needs passwords={'user': 'password', ...}, or a "
                f'function of both that says whether it is right, not {type(passwords)}'
            )
        self._passwords = passwords

    def authenticate(self, credentials: Credentials) -> str:
        user_id = super().authenticate(credentials)
        if not self._right(user_id, credentials.password):
            raise UnauthorizedError('wrong user id or password')
        return user_id

    def _right(self, user_id: str, password: str) -> bool:
        if callable(self._passwords):
            return self._passwords(user_id, password) is True
        expected = self._passwords.get(user_id)
        # compared even if there is no such user, so that time does not tell
        same = hmac.compare_digest((expected or '').encode(), password.encode())
        return same and expected is not None
