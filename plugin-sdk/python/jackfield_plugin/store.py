"""The plugin's store: values by key, as JSON. It outlives instances, versions and faults. If a hook
fails, its writes are undone."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from . import _check
from ._host import part
from ._json import parse, stringify
from ._refusal import Refusal

_MAX_INTEGER = 2**63 - 1
_MAX_LIMIT = 2**32 - 1


def get(key: str) -> Any:
    """The value of a key; ``None`` without one."""
    found = get_bytes(key)
    return None if found is None else _value(key, found)


def set(key: str, value: Any, *, ttl: timedelta | None = None) -> None:
    """Stores a value, which expires after ``ttl``."""
    set_bytes(key, stringify(value).encode(), ttl=ttl)


def delete(key: str) -> bool:
    """Deletes a value. Returns whether there was one."""
    return part("store").delete(_check.text(key, "the key"))


def increment(key: str, by: int = 1) -> int:
    """Adds to a whole number, zero if the key has no value, and returns the sum."""
    return part("store").increment(
        _check.text(key, "the key"), _check.integer(by, "by", -_MAX_INTEGER, _MAX_INTEGER)
    )


def count_within(key: str, window: timedelta) -> int:
    """Increments a counter that expires ``window`` after its first increment, as for rate limits.
    Returns the count."""
    count = increment(key)
    if count == 1:
        # Another lane may increment meanwhile, so the expiry is set by compare_and_set.
        current = get_bytes(key)
        while not compare_and_set(key, current, current, ttl=window):
            current = get_bytes(key)
    return count


def update(key: str, change: Callable[[Any], Any], *, ttl: timedelta | None = None) -> Any:
    """Replaces a value by the result of ``change``, without losing writes of another lane: it may be
    called more than once. ``None`` is no value. Returns the new value."""
    while True:
        before = get_bytes(key)
        after = change(None if before is None else _value(key, before))
        octets = None if after is None else stringify(after).encode()
        if compare_and_set(key, before, octets, ttl=ttl):
            return after


def entries(prefix: str, limit: int) -> list[tuple[str, Any]]:
    """The keys that begin with the prefix, in order, with their values; at most ``limit``."""
    _check.integer(limit, "limit", 0, _MAX_LIMIT)
    found = part("store").entries(_check.text(prefix, "the prefix"), limit)
    return [(key, _value(key, octets)) for key, octets in found]


def get_bytes(key: str) -> bytes | None:
    """The raw bytes of a key."""
    return part("store").get(_check.text(key, "the key"))


def set_bytes(key: str, value: bytes, *, ttl: timedelta | None = None) -> None:
    """Stores raw bytes."""
    octets = _check.octets(value, "the value")
    part("store").set(_check.text(key, "the key"), octets, _check.milliseconds(ttl, "ttl"))


def compare_and_set(
    key: str, expected: bytes | None, value: bytes | None, *, ttl: timedelta | None = None
) -> bool:
    """Replaces the raw bytes if they are equal to ``expected``; ``None`` is no value. Returns whether
    it did."""
    before, after = (
        None if one is None else _check.octets(one, "the value") for one in (expected, value)
    )
    return part("store").compare_and_set(
        _check.text(key, "the key"), before, after, _check.milliseconds(ttl, "ttl")
    )


def _value(key: str, octets: bytes) -> Any:
    try:
        return parse(octets)
    except ValueError as error:
        raise Refusal.runtime_error(f"Failed to read `{key}` from the store: {error}.") from error
