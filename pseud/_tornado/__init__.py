"""The backend for asyncio, and so for tornado, whose loop is asyncio's."""

from .backend import TornadoBackend
from .rpc import Client, Server

__all__ = ['Client', 'Server', 'TornadoBackend']
