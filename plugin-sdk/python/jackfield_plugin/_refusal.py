"""Refusals: errors that the client receives."""


class Refusal(Exception):
    """A WAMP error URI, and one sentence for a person. A hook raises it."""

    def __init__(self, uri: str, message: str) -> None:
        super().__init__(message)
        self.uri = uri
        self.message = message

    def __str__(self) -> str:
        return f"{self.uri}: {self.message}"

    @classmethod
    def not_authorized(cls, message: str) -> "Refusal":
        """``wamp.error.not_authorized``: the session may not do this."""
        return Refusal("wamp.error.not_authorized", message)

    @classmethod
    def invalid_argument(cls, message: str) -> "Refusal":
        """``wamp.error.invalid_argument``: the arguments do not have the right shape."""
        return Refusal("wamp.error.invalid_argument", message)

    @classmethod
    def no_such_procedure(cls, procedure: str) -> "Refusal":
        """``wamp.error.no_such_procedure``: the handler does not answer this procedure."""
        return Refusal("wamp.error.no_such_procedure", f"There is no procedure {procedure}.")

    @classmethod
    def runtime_error(cls, message: str) -> "Refusal":
        """``wamp.error.runtime_error``: the handler failed through no fault of the client."""
        return Refusal("wamp.error.runtime_error", message)


_FAILURES = {
    "denied": "the request is denied",
    "invalid": "the request is invalid",
    "busy": "too many requests wait for their answers",
    "unreachable": "the server is unreachable",
    "timeout": "the server did not answer in time",
    "too-large": "the answer is too large",
    "broken": "the answer is broken",
}


class HttpError(Refusal):
    """Why a request was not sent, or has no answer. Unless the hook catches it, it refuses the
    request."""

    def __init__(self, code: str, detail: str | None = None) -> None:
        text = _FAILURES.get(code, code)
        message = text if detail is None else f"{text}: {detail}"
        super().__init__("wamp.error.runtime_error", message)
        #: ``denied``, ``invalid``, ``busy``, ``unreachable``, ``timeout``, ``too-large`` or ``broken``.
        self.code = code


_REASONS = {
    "full": "the plugin's store is full, or the key or the value is too long",
    "not-a-number": "its value is not a whole number, or the sum has more than 64 bits",
}


class StoreError(Refusal):
    """An error of the store. Unless the hook catches it, it refuses the request."""

    def __init__(self, code: str, key: str) -> None:
        super().__init__(
            "wamp.error.runtime_error",
            f"Failed to write `{key}` to the store: {_REASONS.get(code, code)}.",
        )
        #: ``full`` or ``not-a-number``.
        self.code = code
        self.key = key
