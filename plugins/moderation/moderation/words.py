"""Forbidden words, found in spite of capitals, accents, full-width letters and digits for letters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

#: Digits and signs that stand for letters.
_LOOK_ALIKE = str.maketrans("013457@$", "oieastas")

#: Letters of other alphabets that look like Latin ones.
_LOOK_ALIKE |= str.maketrans("аеорсухкі", "aeopcyxki")


class WordList:
    """A list of words. A `*` at the end stands for any ending."""

    def __init__(self, words: Iterable[str]) -> None:
        patterns = []
        for word in words:
            ending = r"\w*" if word.endswith("*") else ""
            folded = "".join(folded_letters(word.removesuffix("*")))
            if not folded:
                raise ValueError(f"handler.args: the word `{word}` has no letters")
            patterns.append(re.escape(folded) + ending)
        self._pattern = re.compile(rf"(?<!\w)(?:{'|'.join(patterns)})(?!\w)") if patterns else None

    def mask(self, text: str) -> tuple[str, list[str]]:
        """Replaces each letter of forbidden words by `*`. Returns the text and the words."""
        if self._pattern is None:
            return text, []
        letters = folded_letters(text)
        # A letter can fold to none, as an accent, or to several, as a ligature.
        places = [index for index, folded in enumerate(letters) for _ in folded]
        masked = list(text)
        found = []
        for match in self._pattern.finditer("".join(letters)):
            first, last = places[match.start()], places[match.end() - 1]
            found.append(text[first : last + 1])
            masked[first : last + 1] = "*" * (last + 1 - first)
        return "".join(masked), found


def folded_letters(text: str) -> list[str]:
    """Each character as it is compared: compatible form, lower case, without accents."""
    return [
        "".join(
            one
            for one in unicodedata.normalize("NFKD", character).casefold().translate(_LOOK_ALIKE)
            if not unicodedata.combining(one) and unicodedata.category(one) != "Cf"
        )
        for character in text
    ]
