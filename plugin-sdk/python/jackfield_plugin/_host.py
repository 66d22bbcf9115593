"""The functions that the server offers to a plugin: the imports of the contract in a component, and
those of the test double in a test."""

from datetime import datetime, timezone
from typing import Any

#: The interfaces that a plugin may import. Those of ``DEFAULT`` need no line in pyproject.toml.
CONTRACT = ("topics", "sessions", "store", "log", "later", "http", "fetch", "calls")
DEFAULT = CONTRACT[:5]

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
    if found is None and name in CONTRACT:
        raise RuntimeError(missing(name, _current))
    return found


def missing(name: str, host: Any) -> str:
    """The message about an interface that the plugin does not import, with the line to write."""
    names = [one for one in CONTRACT if one == name or getattr(host, one, None) is not None]
    line = ", ".join(f'"{one}"' for one in names)
    return (
        f"`{name}` is not among the imports of this plugin; write in pyproject.toml, below "
        f"[tool.jackfield]: imports = [{line}]"
    )


def has(name: str) -> bool:
    """Whether the plugin runs on a host that has this part."""
    return getattr(_current, name, None) is not None


def now() -> datetime:
    """The time of the host's clock, in UTC; in a test, of the test's clock."""
    clock = getattr(_current, "now", None)
    return datetime.now(timezone.utc) if clock is None else clock()
