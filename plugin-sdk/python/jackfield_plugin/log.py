"""Logging: lines in the operator's log, with the plugin's name, the handler and the topic."""

from ._host import part


def trace(message: object) -> None:
    """Writes a line at the level TRACE."""
    _write("trace", message)


def debug(message: object) -> None:
    """Writes a line at the level DEBUG."""
    _write("debug", message)


def info(message: object) -> None:
    """Writes a line at the level INFO."""
    _write("info", message)


def warn(message: object) -> None:
    """Writes a line at the level WARN."""
    _write("warn", message)


def error(message: object) -> None:
    """Writes a line at the level ERROR."""
    _write("error", message)


def _write(level: str, message: object) -> None:
    # Half of a surrogate pair has no UTF-8.
    line = str(message).encode(errors="replace").decode()
    part("log").log(level, line)
