"""Checks of arguments. A value of the wrong type that reached the contract would end the instance
without a traceback."""

from collections.abc import Iterable
from datetime import timedelta

_MAX_SESSION = 2**53
_MAX_WAIT = 2**32 - 1


def text(value: str, name: str) -> str:
    """A text without halves of surrogate pairs, which UTF-8 does not have."""
    if not isinstance(value, str):
        raise TypeError(f"{name} has to be a str, not {type(value).__name__}")
    if not value.isascii():
        value.encode()
    return value


def integer(value: int, name: str, least: int, most: int) -> int:
    """A whole number within bounds."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} has to be an int, not {type(value).__name__}")
    if not least <= value <= most:
        raise ValueError(f"{name} has to be between {least} and {most}, not {value}")
    return value


def session(value: int) -> int:
    """The id of a session."""
    return integer(value, "a session id", 0, _MAX_SESSION)


def sessions(values: Iterable[int]) -> list[int]:
    """A list of session ids."""
    return [session(value) for value in values]


def milliseconds(value: timedelta | None, name: str) -> int | None:
    """A duration in milliseconds, at least one."""
    if value is None:
        return None
    if not isinstance(value, timedelta):
        raise TypeError(f"{name} has to be a timedelta, not {type(value).__name__}")
    if value < timedelta(0):
        raise ValueError(f"{name} has to be zero or more, not {value}")
    return max(1, value // timedelta(milliseconds=1))


def wait(value: timedelta | None) -> int | None:
    """The time for an answer in milliseconds; ``None`` is the operator's limit."""
    time = milliseconds(value, "timeout")
    return None if time is None else min(time, _MAX_WAIT)


def octets(value: bytes, name: str) -> bytes:
    """Raw bytes."""
    if not isinstance(value, (bytes, bytearray)):
        raise TypeError(f"{name} has to be bytes, not {type(value).__name__}")
    return bytes(value)
