"""The configuration reference: the settings of settings.tsv, which a test of the server writes from
the types that read the file, with the values and comments of docs/configuration.md."""

from __future__ import annotations

import re

import yaml

BLOCK = re.compile(r"```yaml\n(.*?)```", re.DOTALL)
# A setting, or one that is commented out: `# origins: [example.com]   # the hosts …`.
SETTING = re.compile(r"(?P<indent> *)(?P<off># *)?(?P<item>- )?(?P<key>[a-z_]+):(?: +(?P<rest>.*))?")
TRAILING = re.compile(r"(?P<value>.*?)(?:^|\s+)# (?P<text>.*)")
COMMENT = re.compile(r"(?P<before> *)# ?(?P<text>.*)")

HEAD = """# Configuration reference

Each setting of `jackfield.yml` with its type. The list is generated from the types that read the
file. [Configuration](../configuration.md) explains how the settings work together.

A size is written as `65536`, `64 KiB` or `1 MiB`, a duration as `100ms`, `30s`, `2m` or `1h`. Each
setting is also a variable, `JACKFIELD__LIMITS__MESSAGE`, and an option, `--set limits.message=2MiB`.
"""
COLUMNS = (
    "| setting | type | default, or an example | a change takes effect | meaning |\n|---|---|---|---|---|\n"
)
EFFECTS = {"now": "at once", "restart": "at the next start"}

# Settings that repeat those of another section, which has their meaning.
SAME = {
    "plugins.named.NAME.": "plugins.default.",
    "listeners[].tls.certificates[].": "listeners[].tls.",
    "admin.tls.certificates[].": "admin.tls.",
    "traces.headers.NAME": "traces.headers",
    "trust_levels.NAME": "trust_levels",
}


def page(listed: str, guide: str) -> str:
    """The page. Every setting must be shown in the guide."""
    lines = [line.split("\t") for line in listed.splitlines()]
    settings = {path: kind for path, kind, _ in lines}
    effects = {path: EFFECTS[effect] for path, _, effect in lines}
    shown: dict[str, tuple[str, str]] = {}
    for block in BLOCK.findall(guide):
        for path, entry in read(block, settings).items():
            # The block that explains it, rather than one that only has it.
            if not shown.get(path, ("", ""))[1]:
                shown[path] = entry
    rows: dict[str, list[str]] = {}
    missing = []
    for path, kind in settings.items():
        same = next((prefix for prefix in SAME if path.startswith(prefix)), None)
        other = f"as `{SAME[same]}{path.removeprefix(same)}`" if same else ""
        entry = ("", other) if same else found(path, shown)
        if entry is None:
            missing.append(path)
            continue
        cells = (f"`{path}`", kind, f"`{entry[0]}`" if entry[0] else "", effects[path], entry[1])
        row = "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        rows.setdefault(re.split(r"[.\[]", path)[0], []).append(row)
    if missing:
        raise ValueError(f"docs/configuration.md does not show: {', '.join(missing)}")
    tables = (f"\n## {section}\n\n{COLUMNS}" + "\n".join(own) + "\n" for section, own in rows.items())
    return HEAD + "".join(tables)


def found(path: str, shown: dict[str, tuple[str, str]]) -> tuple[str, str] | None:
    """The value and comment of a setting; without a comment of its own, that of its section."""
    section, _, key = path.rpartition(".")
    text = shown.get(section, ("", ""))[1]
    if path in shown:
        value, own = shown[path]
        return value, own or text
    return ("", text) if re.search(rf"\b{key}\b", text) else None


def read(block: str, settings: dict[str, str]) -> dict[str, tuple[str, str]]:
    """The settings of a YAML block with their values, and with the comments above and behind them."""
    sections = {path[:end] for path in settings for end in cuts(path)}
    shown: dict[str, tuple[str, str]] = {}
    stack: list[tuple[int, str]] = []
    above: list[str] = []
    last, column = None, 0
    for line in block.splitlines():
        setting = SETTING.fullmatch(line)
        if setting and (path := place(setting, stack, sections | settings.keys())):
            trailing = TRAILING.fullmatch(setting["rest"] or "")
            value = trailing["value"] if trailing else setting["rest"] or ""
            text = [*above, trailing["text"]] if trailing else above
            column = len(line) - len(trailing["text"]) - 2 if trailing else -1
            shown[path] = (value.strip(), " ".join(text))
            add_inline(path, shown)
            last, above = path, []
        elif (comment := COMMENT.fullmatch(line)) and last and len(comment["before"]) == column:
            shown[last] = (shown[last][0], f"{shown[last][1]} {comment['text']}")
        elif comment:
            above.append(comment["text"])
        else:
            above = []
    return shown


def place(setting: re.Match, stack: list[tuple[int, str]], known: set[str]) -> str | None:
    """The path of a setting, if it is one; a comment may only look like it."""
    off = setting["off"] or ""
    # `# key` is out of force where `#` stands, `#  key` further in.
    indent = len(setting["indent"]) + (len(off) if len(off) > 2 else 0)
    outer = [part for part in stack if part[0] < indent]
    if setting["item"]:
        outer.append((indent, "[]"))
        indent += 2
    keys = [key for _, key in outer] + [setting["key"]]
    path = ".".join(keys).replace(".[]", "[]")
    if path not in known:
        return None
    stack[:] = [*outer, (indent, setting["key"])]
    return path


def add_inline(path: str, shown: dict[str, tuple[str, str]]) -> None:
    """The settings of an inline map, such as `users: { file: users.yml }`."""
    value, text = shown[path]
    if value.startswith("{") and len(value) > 2:
        for key, inner in yaml.safe_load(value).items():
            shown.setdefault(f"{path}.{key}", (yaml.safe_dump(inner).split("\n")[0], text))


def cuts(path: str) -> list[int]:
    """Where the sections end that a path goes through."""
    return [at for at, char in enumerate(path) if char in ".["]
