"""TypeScript without JSX."""

from dataclasses import replace

from . import javascript

OVERLAY = replace(javascript.OVERLAY, tags=None, only=())
