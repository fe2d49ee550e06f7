"""For tests of programs that use pseud."""

from .network import Network, pair
from .relay import Relay

__all__ = ['Network', 'Relay', 'pair']
