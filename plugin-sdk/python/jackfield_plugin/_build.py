"""``jackfield-plugin build``: makes a component of a folder with a pyproject.toml."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from ._bundle import BuildError, settings

_PACKAGE = Path(__file__).resolve().parent
_ENTRY = "jackfield_entry"


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
    # `jackfield build` names a file of its own, and reports the component itself.
    if arguments.out is None:
        print(f"{target}: {target.stat().st_size / 2**20:.2f} MiB")


def build(folder: Path, out: Path | None = None) -> Path:
    """Builds the component of the folder. Returns the path of the file."""
    name, module, imports = settings(folder)
    target = (out or folder / f"{name}.wasm").absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    # Renamed into place, so that a server never reads an incomplete file.
    incomplete = target.with_name(f".{target.name}.{os.getpid()}")
    with tempfile.TemporaryDirectory(prefix="jackfield-") as scratch:
        _write_wit(Path(scratch, "wit"), imports)
        Path(scratch, f"{_ENTRY}.py").write_text(_entry(module, imports), encoding="utf-8")
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


def _entry(module: str, imports: list[str]) -> str:
    """The module that joins the plugin and the contract."""
    lines = [
        f"from {module} import plugin",
        "from jackfield_plugin import _component",
        "",
        "Handler = _component.handler(plugin)",
    ]
    if _has_answers(imports):
        lines.append("Answers = _component.answers(plugin)")
    return "\n".join([*lines, ""])


def _has_answers(imports: list[str]) -> bool:
    """Whether effects of the plugin have answers."""
    return "http" in imports or "calls" in imports


def _write_wit(folder: Path, imports: list[str]) -> None:
    """The contract, with a world that has the imports of this plugin."""
    contract = folder / "deps/plugin/plugin.wit"
    contract.parent.mkdir(parents=True)
    contract.write_bytes((_PACKAGE / "plugin.wit").read_bytes())
    used = "".join(f"  import jackfield:plugin/{one}@0.2.0;\n" for one in ("request", *imports))
    exports = ("handler", "answers") if _has_answers(imports) else ("handler",)
    made = "".join(f"  export jackfield:plugin/{one}@0.2.0;\n" for one in exports)
    world = f"world component {{\n{used}{made}}}\n"
    (folder / "world.wit").write_text(f"package jackfield:bundle;\n\n{world}", encoding="utf-8")
