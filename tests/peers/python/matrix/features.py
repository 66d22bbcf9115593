"""Runs features of a client library against a server, for the table of libraries in the documentation.

A driver passes `main` the name of its library and one coroutine for each feature. A coroutine that
returns has succeeded. It can return a text: a remark about the way in which it succeeds. `missing` and
`fault` are for features that do not work.

The report is one JSON object a line: `library`, `version` and `remark` first, then `feature`, `result`
and `reason` of each feature. The result is `ok`; `missing`: the library does not have it; `fault`: it does
not work, for a reason that the driver knows; or `error`. For a serializer that the library does not
have, there is `missing` in place of the features.
"""

import argparse
import asyncio
import contextlib
import contextvars
import importlib.metadata
import json
import os
import sys

# Seconds for one feature.
DEADLINE = 10

SECRETS = {
    "ticket": ("billing", "letmein"),
    "wampcra": ("billing", "shared"),
    "wampcra_salted": ("page", "a password"),
    "scram": ("tablet", "pencil"),
    "cryptosign": ("sensor", "07" * 32),
}
ROLES = {"billing": "backend", "page": "member", "tablet": "member", "sensor": "sensor"}

ARGS = ["text", 1, [2, None]]
KWARGS = {"key": {"deep": True}}
BINARY = b"\0\1\x7f\x80\xff"

CURRENT = contextvars.ContextVar("CURRENT")


class Missing(Exception):
    """The library does not have the feature."""


class Fault(Exception):
    """The feature does not work, because of the library."""


def missing(proof, reason):
    """Ends a feature that the library does not have. `proof` shows that it is still so."""
    assert proof, f"the library has it now, extend the driver: {reason}"
    raise Missing(reason)


@contextlib.contextmanager
def fault(expected, reason):
    """Explains an error whose text contains `expected`: the library causes it."""
    try:
        yield
    except Exception as error:
        if expected in describe(error):
            raise Fault(reason) from error
        raise


def describe(error):
    return f"{type(error).__name__}: {error}"


def equal(found, expected, what):
    assert found == expected, f"{what}: {found!r} in place of {expected!r}"


def uri(name):
    """Returns a URI that no other driver uses, and no other feature."""
    return f"matrix.p{os.getpid()}.{CURRENT.get()}.{name}"


def authenticated(method, authid, authrole, authmethod=None):
    """Checks the details of a session that was opened by a method."""
    expected = SECRETS[method][0]
    equal((authid, authrole), (expected, ROLES[expected]), "authid and authrole")
    if authmethod is not None:
        equal(authmethod, method.removesuffix("_salted"), "authmethod")


async def run(feature):
    try:
        remark = await asyncio.wait_for(feature(), DEADLINE)
    except Missing as reason:
        return "missing", str(reason)
    except Fault as reason:
        return "fault", str(reason)
    except asyncio.TimeoutError:
        return "error", f"no end within {DEADLINE} s"
    # Whatever it is, the test wants to read it.
    except (Exception, asyncio.CancelledError) as error:
        return "error", describe(error)
    return "ok", remark or ""


def main(library, features, remark=""):
    """`features` returns the coroutines of all features by name, for a URL and a serializer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--serializer", required=True)
    parser.add_argument("--features", required=True, help="names with commas in between")
    options = parser.parse_args()

    def report(**line):
        print(json.dumps(line), flush=True)

    async def all_features():
        version = importlib.metadata.version(library)
        report(library=library, version=version, remark=remark)
        try:
            offered = features(options.url, options.serializer)
        except Missing as reason:
            report(missing=str(reason))
            return
        for name in options.features.split(","):
            CURRENT.set(name)
            result, reason = await run(offered[name])
            report(feature=name, result=result, reason=reason)

    asyncio.run(all_features())
    sys.stdout.flush()
    # Loops and threads of the libraries would go on.
    os._exit(0)
