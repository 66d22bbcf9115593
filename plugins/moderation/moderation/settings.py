"""The settings of a route (`handler.args`)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Settings:
    """The settings of a route, checked."""

    words: tuple[str, ...] = ()
    per_minute: int = 60
    strikes: int = 3
    mute: int = 10
    moderators: str = "moderator"

    @classmethod
    def of(cls, args: Any) -> Settings:
        """Reads `handler.args`."""
        given = {} if args is None else args
        if not isinstance(given, dict):
            raise ValueError("handler.args has to be a mapping")
        for name in given.keys() - {field.name for field in fields(cls)}:
            raise ValueError(f"handler.args: unknown setting `{name}`")
        words = given.get("words", [])
        if not isinstance(words, list) or not all(isinstance(one, str) for one in words):
            raise ValueError("handler.args: words has to be a list of texts")
        settings = cls(**{**given, "words": tuple(words)})
        for name in ("per_minute", "strikes", "mute"):
            value = getattr(settings, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"handler.args: {name} has to be a whole number, 1 or more")
        if not isinstance(settings.moderators, str):
            raise ValueError("handler.args: moderators has to be the name of a role")
        return settings
