"""Tests are stricter than users: shapes in the types are checked at every call."""

from jaxtyping import install_import_hook

install_import_hook("flyroom", "beartype.beartype")
