"""The functions that the server offers to a plugin: the imports of the contract in a component, and
those of the test double in a test."""

from datetime import datetime, timezone
from typing import Any

_CONTRACT = ("topics", "sessions", "store", "log")

_current: Any = None


def exchange(host: Any) -> Any:
    """Replaces the host; returns the one before."""
    global _current
    before, _current = _current, host
    return before


def part(name: str) -> Any:
    """Returns a part of the host, such as ``store``."""
    if _current is None:
        raise RuntimeError(
            f"`{name}` is not available here: module-level code runs when the component is built"
        )
    found = getattr(_current, name, None)
    if found is None and name in _CONTRACT:
        raise RuntimeError(
            f"`{name}` is not among the imports of this plugin (pyproject.toml, tool.jackfield.imports)"
        )
    return found


def has(name: str) -> bool:
    """Whether the plugin runs on a host that has this part."""
    return getattr(_current, name, None) is not None


def now() -> datetime:
    """The time of the host's clock, in UTC; in a test, of the test's clock."""
    clock = getattr(_current, "now", None)
    return datetime.now(timezone.utc) if clock is None else clock()
