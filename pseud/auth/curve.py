"""Encryption, and proof of the other side's key: ZMTP's CURVE mechanism (RFC 26).

The client knows the server's public key, so that it talks to no other server.
``trusted_curve``: the server knows its clients' public keys.  ``untrusted_curve``: it does
not; a client proves its user id by a password that it sends once the connection is
encrypted.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import zmq
from zope.interface import implementer

from ..errors import UnauthorizedError
from ..interfaces import IAuthenticationBackend, IClient, IServer
from ..keys import KeyDirectory, read_key
from ..plugins import adapter, register_auth_backend
from ..zap import Credentials
from .base import RECHECK, AuthenticationBackend, Revocations
from .plain import ChecksPasswords

__all__ = [
    'TrustedCurveClient',
    'TrustedCurveServer',
    'UntrustedCurveClient',
    'UntrustedCurveServer',
]


class _CurveClient(AuthenticationBackend):
    encrypted = True

    def __init__(self, rpc: Any) -> None:
        super().__init__(rpc)
        settings = self.settings
        if settings.peer_public_key is None:
            raise ValueError(
                f'security_plugin={self.name!r} needs peer_public_key, the public key of '
                'the server'
            )
        self._server_key = read_key(settings.peer_public_key, 'peer_public_key', False)
        if settings.secret_key is None:
            self._public_key, self._secret_key = zmq.curve_keypair()
        else:
            self._public_key, self._secret_key = _pair(settings)

    def socket_options(self) -> Mapping[int, Any]:
        return {
            int(zmq.CURVE_SERVERKEY): self._server_key,
            int(zmq.CURVE_PUBLICKEY): self._public_key,
            int(zmq.CURVE_SECRETKEY): self._secret_key,
        }


class _CurveServer(AuthenticationBackend):
    needs_zap = True  # or everybody would be admitted
    identifies = True
    encrypted = True

    def __init__(self, rpc: Any) -> None:
        super().__init__(rpc)
        if self.settings.secret_key is None:
            raise ValueError(
                f"security_plugin={self.name!r} needs secret_key, the server's own: "
                'python -m pseud keygen makes one'
            )
        _, self._secret_key = _pair(self.settings)

    def socket_options(self) -> Mapping[int, Any]:
        return {
            int(zmq.CURVE_SERVER): 1,
            int(zmq.CURVE_SECRETKEY): self._secret_key,
        }


def _pair(settings: Any) -> tuple[bytes, bytes]:
    """The keys of this side; the public one follows from the secret one."""
    secret = read_key(settings.secret_key, 'secret_key', True)
    public: bytes = zmq.curve_public(secret)
    given = settings.public_key
    if given is not None and read_key(given, 'public_key', False) != public:
        raise ValueError(
            'public_key and secret_key do not belong together; public_key may be left out'
        )
    return public, secret


@register_auth_backend
@implementer(IAuthenticationBackend)
@adapter(IClient)
class TrustedCurveClient(_CurveClient):
    """Client side: has a key that the server knows."""

    name = 'trusted_curve'

    def __init__(self, rpc: Any) -> None:
        if rpc.settings.secret_key is None:
            raise ValueError(
                f"security_plugin={self.name!r} needs secret_key, the client's own: "
                'python -m pseud keygen makes one'
            )
        super().__init__(rpc)


@register_auth_backend
@implementer(IAuthenticationBackend)
@adapter(IServer)
class TrustedCurveServer(_CurveServer):
    """Server side: knows the keys of its users."""

    name = 'trusted_curve'
    blocking: bool | None = True
    recheck = RECHECK

    def __init__(self, rpc: Any) -> None:
        super().__init__(rpc)
        if self.settings.authorized_keys is None:
            raise ValueError(
                f"security_plugin={self.name!r} needs authorized_keys={{'user': key}}, "
                'or the path of a directory of their certificates'
            )
        self._keys = KeyDirectory(self.settings.authorized_keys)
        self._changes = Revocations(self._keys.entry)

    def authenticate(self, credentials: Credentials) -> Any:
        if credentials.mechanism != 'CURVE':
            raise UnauthorizedError('a key is needed')
        user_id = self._keys.user_of(credentials.public_key)
        if user_id is None:
            raise UnauthorizedError('unknown key')
        self._changes.admitted(user_id, credentials.public_key)
        return user_id

    def revoked(self, user_ids: Iterable[str]) -> Iterable[str]:
        return self._changes.revoked(user_ids)


@register_auth_backend
@implementer(IAuthenticationBackend)
@adapter(IClient)
class UntrustedCurveClient(_CurveClient):
    """Client side: sends a user id and a password, encrypted."""

    name = 'untrusted_curve'

    def __init__(self, rpc: Any) -> None:
        super().__init__(rpc)
        if not self.settings.user_id:
            raise ValueError(
                f'security_plugin={self.name!r} needs a user_id that is not empty'
            )

    def credentials(self) -> tuple[str, str] | None:
        return self.settings.user_id, self.settings.password or ''


@register_auth_backend
@implementer(IAuthenticationBackend)
@adapter(IServer)
class UntrustedCurveServer(_CurveServer, ChecksPasswords):
    """Server side: takes any key, and then checks a password."""

    name = 'untrusted_curve'
    challenges = True

    def authenticate(self, credentials: Credentials) -> Any:
        if credentials.mechanism == 'CURVE':  # whose it is, the login says
            return credentials.public_key.decode()
        if credentials.mechanism != 'LOGIN':
            raise UnauthorizedError('an encrypted connection is needed')
        return self.check(credentials.username, credentials.password)
