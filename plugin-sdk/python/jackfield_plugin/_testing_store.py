"""The store of a plugin in a test."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from ._refusal import StoreError

_START = datetime(2026, 1, 1, tzinfo=timezone.utc)
_MAX_KEY = 1024
_MAX_VALUE = 1024 * 1024


class Store:
    """The store of the plugin, with the clock of the test."""

    def __init__(self) -> None:
        self.values: dict[str, tuple[bytes, datetime | None]] = {}
        self.time = _START
        self.is_full = False

    def get(self, key: str) -> bytes | None:
        value, until = self.values.get(key, (None, None))
        return value if until is None or self.time < until else None

    def set(self, key: str, value: bytes, ttl: int | None) -> None:
        self._put(key, value, None if ttl is None else self.time + timedelta(milliseconds=ttl))

    def delete(self, key: str) -> bool:
        was = self.get(key) is not None
        self.values.pop(key, None)
        return was

    def increment(self, key: str, by: int) -> int:
        before = self.get(key)
        until = None if before is None else self.values[key][1]
        try:
            total = int(before or b"0") + by
        except ValueError as error:
            raise StoreError("not-a-number", key) from error
        if not -(2**63) <= total < 2**63:
            raise StoreError("not-a-number", key)
        self._put(key, str(total).encode(), until)
        return total

    def compare_and_set(
        self, key: str, expected: bytes | None, value: bytes | None, ttl: int | None
    ) -> bool:
        if self.get(key) != expected:
            return False
        if value is None:
            self.delete(key)
        else:
            self.set(key, value, ttl)
        return True

    def entries(self, prefix: str, limit: int) -> list[tuple[str, bytes]]:
        keys = sorted(key for key in self.values if key.startswith(prefix))
        found = [(key, value) for key in keys if (value := self.get(key)) is not None]
        return found[:limit]

    def _put(self, key: str, value: bytes, until: datetime | None) -> None:
        if self.is_full or len(key.encode()) > _MAX_KEY or len(value) > _MAX_VALUE:
            raise StoreError("full", key)
        self.values[key] = (value, until)
