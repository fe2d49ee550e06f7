"""Warns of what other machines can read or do: clear text and open doors."""

import ipaddress
import warnings
from typing import Any

__all__ = ['InsecureWarning', 'warn_client', 'warn_server']

CURE = (
    "security_plugin='trusted_curve' or 'untrusted_curve' encrypts and authenticates; "
    'if the network itself does, silence this with '
    "warnings.simplefilter('ignore', pseud.InsecureWarning)"
)


class InsecureWarning(UserWarning):
    """Other machines can call without being asked who they are, or read what is sent."""


def is_local(endpoint: str) -> bool:
    """Whether nobody but this machine can connect to an ØMQ endpoint, or see it."""
    scheme, _, rest = endpoint.partition('://')
    if scheme in ('ipc', 'inproc'):
        return True
    host = rest.rpartition(':')[0].rpartition(';')[2].strip('[]').partition('%')[0]
    if host in ('localhost', 'lo', 'lo0'):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, an interface, or '*'
        return False


def warn_server(endpoint: str, auth: Any) -> None:
    """A server listens at an endpoint.

    Args:
        auth: its `IAuthenticationBackend`.
    """
    if auth.encrypted or is_local(endpoint):
        return
    if auth.needs_zap:
        what = 'whatever is sent there crosses the network in clear text, passwords too'
    else:
        what = 'whoever can reach it may call its functions, and traffic is clear text'
    _warn(f'a server at {endpoint} with security_plugin={auth.name!r}: {what}')


def warn_client(endpoint: str, auth: Any, settings: Any) -> None:
    """A client connects to an endpoint."""
    if settings.password and not auth.encrypted and not is_local(endpoint):
        _warn(
            f'a client connects to {endpoint} with security_plugin={auth.name!r}: its '
            'password crosses the network in clear text'
        )


def _warn(text: str) -> None:
    # who called bind() or connect()
    warnings.warn(f'{text}; {CURE}', InsecureWarning, stacklevel=4)
