"""The authentication plugins that come with pseud.

``noop_auth_backend`` asks nobody; ``plain`` checks passwords and ``trusted_peer`` believes
the user id, both in clear text; ``trusted_curve`` knows its users' keys, and
``untrusted_curve`` checks passwords inside of an encrypted connection.
"""

from .base import AuthenticationBackend, NoAuthentication, NoAuthenticationServer
from .curve import (
    TrustedCurveClient,
    TrustedCurveServer,
    UntrustedCurveClient,
    UntrustedCurveServer,
)
from .plain import PlainClient, PlainServer, TrustedPeerClient, TrustedPeerServer

__all__ = [
    'AuthenticationBackend',
    'NoAuthentication',
    'NoAuthenticationServer',
    'PlainClient',
    'PlainServer',
    'TrustedCurveClient',
    'TrustedCurveServer',
    'TrustedPeerClient',
    'TrustedPeerServer',
    'UntrustedCurveClient',
    'UntrustedCurveServer',
]
