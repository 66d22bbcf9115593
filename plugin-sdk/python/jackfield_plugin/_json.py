"""JSON texts as the contract has them: compact, and without NaN."""

import json
from typing import Any


def parse(text: str | bytes) -> Any:
    """Parses JSON. Integers of any length are exact."""
    return json.loads(text)


def stringify(value: Any) -> str:
    """The JSON text of a value. NaN and infinity have none."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    if not text.isascii():
        # Half of a surrogate pair cannot be sent.
        text.encode()
    return text
