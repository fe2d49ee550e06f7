"""The version, in one place."""

from importlib.metadata import PackageNotFoundError, version

__all__ = ['AGENT', '__version__']

try:
    __version__ = version('pseud')
except PackageNotFoundError:  # run from a source tree that was not installed
    __version__ = '2.0.0.dev0'

AGENT = f'pseud/{__version__}'
