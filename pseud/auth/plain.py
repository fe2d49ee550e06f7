"""User ids, with passwords or without, in clear text: ZMTP's PLAIN mechanism (RFC 24)."""

import hmac
import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import zmq
from zope.interface import implementer

from ..errors import UnauthorizedError
from ..interfaces import IAuthenticationBackend, IClient, IServer
from ..passwords import PasswordFile
from ..plugins import adapter, register_auth_backend
from ..zap import Credentials
from .base import RECHECK, AuthenticationBackend, Revocations

__all__ = [
    'ChecksPasswords',
    'PlainClient',
    'PlainServer',
    'TrustedPeerClient',
    'TrustedPeerServer',
]


@register_auth_backend
@implementer(IAuthenticationBackend)
@adapter(IClient)
class PlainClient(AuthenticationBackend):
    """Client side: states a user id and a password."""

    name = 'plain'

    def __init__(self, rpc: Any) -> None:
        super().__init__(rpc)
        if not self.settings.user_id:
            raise ValueError(
                f'security_plugin={self.name!r} needs a user_id that is not empty'
            )

    def socket_options(self) -> Mapping[int, Any]:
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
class TrustedPeerServer(AuthenticationBackend):
    """Server side: believes the user id, whatever the password."""

    name = 'trusted_peer'
    needs_zap = True
    identifies = True
    blocking: bool | None = True

    def socket_options(self) -> Mapping[int, Any]:
        return {int(zmq.PLAIN_SERVER): 1}

    def authenticate(self, credentials: Credentials) -> Any:
        if credentials.mechanism != 'PLAIN' or not credentials.username:
            raise UnauthorizedError('a user id is needed')
        return credentials.username


class ChecksPasswords(AuthenticationBackend):
    """Knows passwords: from a mapping, a function of both, or a file of hashes."""

    def __init__(self, rpc: Any) -> None:
        super().__init__(rpc)
        passwords = self.settings.passwords
        self._changes: Revocations | None = None
        if isinstance(passwords, str | os.PathLike):
            file = PasswordFile(passwords)
            self._entry: Callable[[str], Any] = file.entry
            self._right: Callable[[str, str], bool] = file.check
        elif isinstance(passwords, Mapping):
            self._entry = passwords.get
            self._right = self._in_mapping
        elif inspect.iscoroutinefunction(passwords):
            raise ValueError(
                'passwords must not be a coroutine function: write a plugin with '
                'async def authenticate, see pseud.auth.AuthenticationBackend'
            )
        elif callable(passwords):
            self._right = lambda user_id, password: passwords(user_id, password) is True
            return
        else:
            raise ValueError(
                f'security_plugin={self.name!r} needs passwords={{"user": "password"}}, '
                'the path of a file of passwords (python -m pseud passwd), or a function '
                f'of both that says whether it is right, not {type(passwords)}'
            )
        self.blocking = True
        self.recheck = RECHECK
        self._changes = Revocations(self._entry)

    def check(self, user_id: str, password: str) -> str:
        """The user id, if this is the password.

        Raises:
            UnauthorizedError: it is not.
        """
        entry = None if self._changes is None else self._entry(user_id)
        if not self._right(user_id, password):
            raise UnauthorizedError('wrong user id or password')
        if self._changes is not None:
            self._changes.admitted(user_id, entry)
        return user_id

    def revoked(self, user_ids: Iterable[str]) -> Iterable[str]:
        return () if self._changes is None else self._changes.revoked(user_ids)

    def _in_mapping(self, user_id: str, password: str) -> bool:
        expected = self._entry(user_id)
        # compared even if there is no such user, so that time does not tell
        same = hmac.compare_digest((expected or '').encode(), password.encode())
        return same and expected is not None


@register_auth_backend
@implementer(IAuthenticationBackend)
@adapter(IServer)
class PlainServer(ChecksPasswords, TrustedPeerServer):
    """Server side: checks the password."""

    name = 'plain'
    blocking: bool | None = None

    def authenticate(self, credentials: Credentials) -> Any:
        user_id = super().authenticate(credentials)
        return self.check(user_id, credentials.password)
