"""For tests of programs that use pseud."""

from .network import Network, pair

__all__ = ['Network', 'pair']
