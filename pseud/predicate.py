"""The predicate of the default domain: everybody may call."""

from typing import Any

from zope.interface import implementer

from .interfaces import IPredicate, IRPCCallable
from .plugins import adapter, register_predicate

__all__ = ['PassThrough']


@register_predicate
@implementer(IPredicate)
@adapter(IRPCCallable)
class PassThrough:
    """Allows every call."""

    name = 'default'
    admits_all = True  # the engine need not ask

    def __init__(self, rpc_call: Any) -> None:
        self.rpc_call = rpc_call

    def test(self, *args: Any, **kw: Any) -> bool:
        return True
