"""The call that is being handled, for whoever runs on its behalf."""

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .dispatch import Job

__all__ = ['CURRENT']

# Calls made while handling one inherit its deadline.
CURRENT: ContextVar['Job | None'] = ContextVar('pseud_current_job', default=None)
