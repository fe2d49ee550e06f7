"""The backend for gevent: results with ``get()``, handlers in greenlets."""

from .backend import GeventBackend
from .rpc import Client, Server

__all__ = ['Client', 'GeventBackend', 'Server']
