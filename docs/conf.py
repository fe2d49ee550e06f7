"""Sphinx configuration: builds without a network and with warnings as errors."""

import builtins
import sys
from importlib.metadata import version as installed

project = 'pseud'
author = 'the pseud contributors'
copyright = author
release = installed('pseud')
version = '.'.join(release.split('.')[:2])

extensions = [
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
]
exclude_patterns = ['_build']
# `Name` refers to whatever has that name
default_role = 'any'

autodoc_member_order = 'bysource'
autodoc_preserve_defaults = True
autodoc_typehints = 'description'
autodoc_typehints_description_target = 'documented'

# No inventory of another project is fetched, so their names have no target here.
elsewhere = {*sys.stdlib_module_names, 'gevent', 'tornado', 'zmq', 'zope'}
nitpick_ignore_regex = [
    (
        'py:class',
        r'pseud\.(_values\.classes|plugins|raisable|registry|rpc)\.[CEFJLT]',
    ),  # type variables
    ('py:.*', '|'.join(name for name in dir(builtins) if name.isidentifier())),
    ('py:.*', '({})(\\..+)?'.format('|'.join(sorted(elsewhere)))),
]

html_theme = 'furo'
html_title = f'pseud {release}'
