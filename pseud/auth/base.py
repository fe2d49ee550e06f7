"""What every authentication plugin starts from, and the one that asks nobody."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from zope.interface import implementer

from ..errors import UnauthorizedError
from ..interfaces import IAuthenticationBackend, IClient, IServer
from ..plugins import adapter, register_auth_backend
from ..zap import Credentials

__all__ = [
    'AuthenticationBackend',
    'NoAuthentication',
    'NoAuthenticationServer',
    'Revocations',
]

# Seconds between looks whether users have been revoked.
RECHECK = 1.0


@implementer(IAuthenticationBackend)
class AuthenticationBackend:
    """An `IAuthenticationBackend` that refuses everybody: override what differs.

    Args:
        rpc: the client or server that it is for.
    """

    name = ''
    needs_zap = False
    identifies = False
    challenges = False
    encrypted = False
    blocking: bool | None = None
    recheck = 0.0

    def __init__(self, rpc: Any) -> None:
        self.settings = rpc.settings

    def socket_options(self) -> Mapping[int, Any]:
        return {}

    def credentials(self) -> tuple[str, str] | None:
        return None

    def authenticate(self, credentials: Credentials) -> Any:
        raise UnauthorizedError('this side admits nobody')

    def revoked(self, user_ids: Iterable[str]) -> Iterable[str]:
        return ()

    def get_predicate_arguments(self, user_id: str | None) -> Mapping[str, Any]:
        return {'user_id': user_id}

    def stop(self) -> None:
        """Nothing was started."""


class Revocations:
    """Notices that what a user was let in for is no longer so.

    Args:
        entry: gives what a user has to show at the moment (a password, a key, or a hash);
            None for one that is not known.
    """

    def __init__(self, entry: Callable[[str], Any]) -> None:
        self._entry = entry
        self._admitted: dict[str, Any] = {}
        self._changed: set[str] = set()

    def admitted(self, user_id: str, entry: Any) -> None:
        """A user was let in for this entry."""
        before = self._admitted.setdefault(user_id, entry)
        if before != entry:  # connections may be left that showed the other
            self._changed.add(user_id)

    def revoked(self, user_ids: Iterable[str]) -> list[str]:
        """Those of the users who would not be let in again for what they have shown."""
        found = []
        for user_id in user_ids:
            before = self._admitted.get(user_id)
            if user_id in self._changed or before != self._entry(user_id):
                self._changed.discard(user_id)
                self._admitted.pop(user_id, None)
                found.append(user_id)
        return found


@register_auth_backend
@implementer(IAuthenticationBackend)
@adapter(IClient)
class NoAuthentication(AuthenticationBackend):
    """Client side: states nothing."""

    name = 'noop_auth_backend'


@register_auth_backend
@implementer(IAuthenticationBackend)
@adapter(IServer)
class NoAuthenticationServer(AuthenticationBackend):
    """Server side: admits everybody, and knows nobody's name."""

    name = 'noop_auth_backend'
