"""Redaction: a text without a person. Pure.

In: a text, JSON or not, and a person's id. Out: the text with `(erased)` wherever the id stood as a word of its own, and in the place
of free words that JSON says are that person's (`reason` beside `approver`, for example).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from sayso.contracts.payload import person_key
from sayso.ledger.commitments import ERASED

AUTHORS = ("approver", "requester", "by", "actor", "person", "decided_by", "assignee", "answered_by")
"""Fields that say whose an object's words are."""
WORDS = ("reason", "comment", "description", "title", "words", "name", "email")
"""Free words of whoever an object is by."""


class Redaction:
    """Of one person, in any spelling of the id."""

    def __init__(self, person: str) -> None:
        self._key = person_key(person)
        self._word = re.compile(rf"(?<![\w.@+-]){re.escape(person.strip())}(?![\w@+-]|\.\w)", re.IGNORECASE)

    def mentions(self, text: str) -> bool:
        """Whether anything is to be taken out."""
        return self.of(text) != text

    def of(self, text: str) -> str:
        """The text without the person."""
        try:
            document = json.loads(text)
        except ValueError:
            return self._plain(text)
        if not isinstance(document, dict | list | str):
            return self._plain(text)
        clean = self.of_json(document)
        return text if clean == document else json.dumps(clean)

    def of_json(self, value: Any) -> Any:
        """The same of a JSON value."""
        if isinstance(value, str):
            return ERASED if person_key(value) == self._key else self._text(value)
        if isinstance(value, list):
            return [self.of_json(each) for each in value]
        if isinstance(value, Mapping):
            theirs = any(isinstance(value.get(name), str) and person_key(value[name]) == self._key for name in AUTHORS)
            return {
                self._plain(name): ERASED if theirs and name in WORDS and isinstance(each, str) else self.of_json(each)
                for name, each in value.items()
            }
        return value

    def _text(self, text: str) -> str:
        """A text within JSON may be JSON again."""
        return self.of(text) if text[:1] in ("{", "[") else self._plain(text)

    def _plain(self, text: str) -> str:
        return self._word.sub(ERASED, text)
