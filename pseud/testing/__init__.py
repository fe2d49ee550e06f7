"""For tests of programs that use pseud."""

from .harness import Harness
from .network import Network, pair
from .relay import Relay

__all__ = ['Harness', 'Network', 'Relay', 'pair']
