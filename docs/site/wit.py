"""A WIT file as a Markdown page: each interface, type and function with its comments."""

from __future__ import annotations

import re
import textwrap

BLOCK = re.compile(r"(interface|world) ([a-z0-9-]+) \{")
TYPE = re.compile(r"(record|variant|flags|enum|resource|type) ([a-z0-9-]+)")
FUNCTION = re.compile(r"([a-z0-9-]+): (?:async )?func")


def page(text: str) -> str:
    out: list[str] = []
    comment: list[str] = []
    lines = iter(text.splitlines())
    for line in lines:
        bare = line.strip()
        if bare.startswith("///"):
            comment.append(bare.removeprefix("///").removeprefix(" "))
            continue
        if bare.startswith("package "):
            title = bare.removeprefix("package ").rstrip(";")
            out += [f"# WIT reference: {title}", "", *taken(comment), ""]
        elif block := BLOCK.fullmatch(bare):
            out += [f"## {block[1]} {block[2]}", "", *taken(comment), ""]
            if block[1] == "world":
                out += code([line, *until_closed(line, lines)])
        elif bare not in ("", "}"):
            item = [line, *until_closed(line, lines)]
            out += [*heading(bare), *taken(comment), "", *code(item)]
    return "\n".join(out) + "\n"


def heading(item: str) -> list[str]:
    if kind := TYPE.match(item):
        return [f"### {kind[1]} `{kind[2]}`", ""]
    if function := FUNCTION.match(item):
        return [f"### func `{function[1]}`", ""]
    return []


def until_closed(first: str, lines) -> list[str]:
    """The lines after the first until its braces are closed."""
    depth = first.count("{") - first.count("}")
    found = []
    while depth > 0:
        line = next(lines)
        depth += line.count("{") - line.count("}")
        found.append(line)
    return found


def code(lines: list[str]) -> list[str]:
    return ["```rust", *textwrap.dedent("\n".join(lines)).splitlines(), "```", ""]


def taken(comment: list[str]) -> list[str]:
    found = list(comment)
    comment.clear()
    return found
