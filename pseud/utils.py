"""Registering functions, classes, exceptions and plugins."""

from ._values.classes import register_type
from .current import current_call
from .plugins import (
    register_auth_backend,
    register_heartbeat_backend,
    register_predicate,
)
from .raisable import register_exception
from .registry import create_local_registry, get_rpc_callable, register_rpc, registry

__all__ = [
    'create_local_registry',
    'current_call',
    'get_rpc_callable',
    'register_auth_backend',
    'register_exception',
    'register_heartbeat_backend',
    'register_predicate',
    'register_rpc',
    'register_type',
    'registry',
]
