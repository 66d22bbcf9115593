"""Requests of HTTP, to the servers that the operator lists in ``http.allow``.

A request is sent when the hook has returned, and not at all if it fails. No hook waits for the answer,
which ``on_response`` receives. The bundle names ``http`` in its imports. ``fetch`` waits, in
``on_subscribe`` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from . import _check
from ._host import part
from ._json import parse, stringify
from ._refusal import HttpError

_UNSET: Any = object()

#: Names and values.
Headers = Mapping[str, str] | Iterable[tuple[str, str]]


def send(
    url: str,
    context: Any = None,
    *,
    method: str | None = None,
    headers: Headers = (),
    body: str | bytes | None = None,
    json: Any = _UNSET,
    timeout: timedelta | None = None,
) -> None:
    """Sends a request. The answer comes with the context, a value of JSON.

    Without ``method``, it is GET without a body, and POST with one. ``json`` is the body as a value of
    JSON, with the header ``content-type``. The operator's limit applies if it is shorter than
    ``timeout``.

    :raises HttpError: ``denied``, ``invalid`` or ``busy``: nothing is sent, and no answer comes.
    """
    request = _request(url, method, headers, body, json, timeout)
    part("http").send(*request, stringify(context).encode())


def fetch(
    url: str,
    *,
    method: str | None = None,
    headers: Headers = (),
    body: str | bytes | None = None,
    json: Any = _UNSET,
    timeout: timedelta | None = None,
) -> Response:
    """Sends a request at once, and waits for the answer: in ``on_subscribe`` alone, whose verdict may
    depend on it. The arguments are those of ``send``. The bundle names ``fetch`` in its imports, and
    the operator grants it with ``http.blocking``.

    :raises HttpError: the reason why there is no answer; ``denied`` in other hooks.
    """
    return part("fetch").send(*_request(url, method, headers, body, json, timeout))


def _request(
    url: str,
    method: str | None,
    headers: Headers,
    body: str | bytes | None,
    json: Any,
    timeout: timedelta | None,
) -> tuple[Any, ...]:
    """The fields of the contract."""
    is_json = json is not _UNSET
    if is_json and body is not None:
        raise TypeError("a request has either body or json")
    fields = _pairs(headers)
    if is_json and all(name.lower() != "content-type" for name, _ in fields):
        fields.append(("content-type", "application/json"))
    if method is None:
        method = "POST" if is_json or body is not None else "GET"
    return (
        _check.text(method, "the method"),
        _check.text(url, "the URL"),
        fields,
        stringify(json).encode() if is_json else _octets(body),
        _check.wait(timeout),
    )


@dataclass(frozen=True)
class Response:
    """A response, also one with an error status or a redirect: redirects are not followed."""

    status: int
    body: bytes = b""
    #: Names and values.
    headers: list[tuple[str, str]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the status is one of success, 200 to 299."""
        return 200 <= self.status < 300

    def header(self, name: str) -> str | None:
        """The value of the first header of this name."""
        return find(self.headers, name)

    def text(self) -> str:
        """The body as text; malformed parts are replaced."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """The body, parsed.

        :raises HttpError: ``invalid``, if it is not JSON.
        """
        try:
            return parse(self.body)
        except ValueError as error:
            raise HttpError("invalid", f"the answer is not JSON: {error}") from error


class Answer:
    """The answer to a request, as ``on_response`` receives it."""

    def __init__(self, response: Response | None, error: HttpError | None) -> None:
        self._response = response
        #: The reason why there is no response.
        self.error = error

    def response(self) -> Response:
        """The response, also one with an error status.

        :raises HttpError: the reason why there is none.
        """
        if self._response is None:
            raise self.error or HttpError("broken")
        return self._response


def find(headers: Iterable[tuple[str, str]], name: str) -> str | None:
    """The value of the first header of this name."""
    return next((value for own, value in headers if own.lower() == name.lower()), None)


def _pairs(headers: Headers) -> list[tuple[str, str]]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [
        (_check.text(name, "the name of a header"), _check.text(value, f"the header {name!r}"))
        for name, value in pairs
    ]


def _octets(body: str | bytes | None) -> bytes:
    if isinstance(body, str):
        return _check.text(body, "the body").encode()
    return _check.octets(body or b"", "the body")
