"""TypeScript with JSX."""

from dataclasses import replace

from . import javascript

assert javascript.OVERLAY.tags is not None
OVERLAY = replace(
    javascript.OVERLAY,
    only=(("{", "...", "_jsx_start_opening_element_repeat1"),),
    tags=replace(javascript.OVERLAY.tags, parts=("nested_identifier", "member_expression", "jsx_namespace_name")),
)
