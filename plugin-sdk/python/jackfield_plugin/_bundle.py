"""The settings of a bundle, in its pyproject.toml. For the build, and for the test double."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from ._host import CONTRACT, DEFAULT


class BuildError(Exception):
    """An error of the bundle, whose text is enough."""


def settings(folder: Path) -> tuple[str, str, list[str]]:
    """The name, the module and the imports of the bundle in a folder."""
    path = folder / "pyproject.toml"
    own = _read(path)
    table = own.get("tool", {}).get("jackfield", {})
    name = own.get("project", {}).get("name", folder.resolve().name)
    module = table.get("module", "plugin")
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", module):
        raise BuildError(f"{path}: tool.jackfield.module is no name of a module: {module}")
    imports = checked(table.get("imports", list(DEFAULT)), f"{path}: tool.jackfield.imports")
    return name, module, imports


def tested_imports(test: Path) -> list[str] | None:
    """The imports of the bundle that is tested: that of the test's file, or of the current folder.
    ``None`` if there is none."""
    for start in (test.absolute(), Path.cwd() / "test.py"):
        for folder in start.parents:
            path = folder / "pyproject.toml"
            if path.is_file() and _is_bundle(folder, _read(path)):
                return settings(folder)[2]
    return None


def checked(imports: Any, name: str) -> list[str]:
    """A list of imports; ``name`` is its name in messages."""
    if not isinstance(imports, list):
        raise BuildError(f"{name} is no list\n  = help: write a list such as {list(DEFAULT)}")
    for one in imports:
        if one not in CONTRACT:
            raise BuildError(
                f"{name} has the unknown interface `{one}`\n  = help: expected {', '.join(CONTRACT)}"
            )
    return imports


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BuildError(f"cannot read {path}: {error}") from error


def _is_bundle(folder: Path, own: dict[str, Any]) -> bool:
    """Whether a project is a plugin; others are above it, such as that of a monorepo."""
    return "jackfield" in own.get("tool", {}) or (folder / "plugin.py").is_file()
