"""``jackfield-plugin build``: makes a component of a folder with a pyproject.toml."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

_IMPORTS = ("topics", "sessions", "store", "log")
_PACKAGE = Path(__file__).resolve().parent
_ENTRY = "jackfield_entry"


class BuildError(Exception):
    """An error of the bundle, whose text is enough."""


def main() -> None:
    """The command ``jackfield-plugin``."""
    parser = argparse.ArgumentParser(
        prog="jackfield-plugin", description="Build a plugin for Jackfield from Python"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("build", help="make a component of a folder")
    command.add_argument("--out", metavar="FILE", type=Path, help="default: DIR/NAME.wasm")
    command.add_argument("folder", metavar="DIR", nargs="?", type=Path, default=Path())
    arguments = parser.parse_args()
    try:
        target = build(arguments.folder, arguments.out)
    except BuildError as error:
        sys.exit(f"error: {error}")
    print(f"{target}: {target.stat().st_size / 2**20:.2f} MiB")


def build(folder: Path, out: Path | None = None) -> Path:
    """Builds the component of the folder. Returns the path of the file."""
    name, module, imports = _settings(folder)
    target = (out or folder / f"{name}.wasm").absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    # Renamed into place, so that a server never reads an incomplete file.
    incomplete = target.with_name(f".{target.name}.{os.getpid()}")
    with tempfile.TemporaryDirectory(prefix="jackfield-") as scratch:
        _write_wit(Path(scratch, "wit"), imports)
        entry = f"from {module} import plugin\nfrom jackfield_plugin import _component\n\n"
        Path(scratch, f"{_ENTRY}.py").write_text(
            f"{entry}Handler = _component.handler(plugin)\n", encoding="utf-8"
        )
        paths = [scratch, str(folder), str(_PACKAGE.parent)]
        command = [
            *(sys.executable, "-c", "from componentize_py import script; script()"),
            *("--quiet", "--wit-path", f"{scratch}/wit", "--world", "component"),
            *("componentize", *(part for path in paths for part in ("--python-path", path))),
            *(_ENTRY, "--output", str(incomplete)),
        ]
        try:
            # Without __pycache__ in the folder of the bundle.
            subprocess.run(command, check=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
            incomplete.replace(target)
        except subprocess.CalledProcessError as error:
            raise BuildError("componentize-py failed; see its message above") from error
        finally:
            incomplete.unlink(missing_ok=True)
    return target


def _settings(folder: Path) -> tuple[str, str, list[str]]:
    path = folder / "pyproject.toml"
    try:
        own = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BuildError(f"cannot read {path}: {error}") from error
    settings = own.get("tool", {}).get("jackfield", {})
    name = own.get("project", {}).get("name", folder.resolve().name)
    module = settings.get("module", "plugin")
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", module):
        raise BuildError(f"{path}: tool.jackfield.module is no name of a module: {module}")
    imports = settings.get("imports", list(_IMPORTS))
    for one in imports:
        if one not in _IMPORTS:
            raise BuildError(
                f"{path}: tool.jackfield.imports has the unknown interface `{one}`\n"
                f"  = help: expected {', '.join(_IMPORTS)}"
            )
    return name, module, imports


def _write_wit(folder: Path, imports: list[str]) -> None:
    """The contract, with a world that has the imports of this plugin."""
    contract = folder / "deps/plugin/plugin.wit"
    contract.parent.mkdir(parents=True)
    contract.write_bytes((_PACKAGE / "plugin.wit").read_bytes())
    used = "".join(f"  import jackfield:plugin/{one}@0.2.0;\n" for one in ("request", *imports))
    world = f"world component {{\n{used}  export jackfield:plugin/handler@0.2.0;\n}}\n"
    (folder / "world.wit").write_text(f"package jackfield:bundle;\n\n{world}", encoding="utf-8")
