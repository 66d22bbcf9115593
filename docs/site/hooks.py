"""mkdocs hooks: pages of the site that are no files of docs/, and links between the two layouts.

README, CONTRIBUTING, CHANGELOG and SECURITY become pages. So do the list of decisions, the references of
the settings and of WIT, and each source file that a page links to; rustdoc's files are copied. Links in Markdown are relative to
the repository; they are rewritten to the site, where mkdocs checks them.
"""

from __future__ import annotations

import os
import posixpath
import re
import sys
from pathlib import Path

from mkdocs.structure.files import File, Files, InclusionLevel

sys.path.insert(0, str(Path(__file__).parent))

import settings  # noqa: E402
import wit  # noqa: E402

ROOT = Path(__file__).parents[2]
RUSTDOC = Path(os.environ.get("JACKFIELD_RUSTDOC", ROOT / "target/site-docs-rust/doc"))

# One folder per version of the contract.
WIT = sorted((ROOT / "plugin-sdk/wit").glob("*/*.wit"))
DECISIONS = sorted((ROOT / "docs/decisions").glob("*.md"))

# Files outside of docs/ that are pages as they are.
COPIED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
# Repository paths whose pages have another place in the site.
MOVED = {
    **COPIED,
    "docs/decisions": "decisions/index.md",
    **{path.relative_to(ROOT).as_posix(): f"reference/wit/{path.stem}-{path.parent.name}.md" for path in WIT},
}
ORIGINS = {page: path for path, page in COPIED.items()}

# The target of a Markdown link or of an HTML attribute, without its anchor.
LINK = re.compile(r"""(\]\(|(?:href|src)=")(?![a-z]+:|#|/)([^)"#\s]+)""")

SDK = """# SDK reference

The Rust SDK for plugins: [`jackfield_plugin`](sdk/jackfield_plugin/index.html), every type and
function with its signature and errors. [Writing plugins](../plugins.md) is the introduction.
"""


def on_config(config):
    """Adds the pages to the navigation that are found rather than listed."""
    decisions = [f"decisions/{path.name}" for path in DECISIONS]
    contracts = [MOVED[path.relative_to(ROOT).as_posix()] for path in WIT]
    for section in config.nav:
        if isinstance(section, dict) and "Reference" in section:
            section["Reference"] += ["reference/configuration.md", "reference/sdk.md", *contracts]
        if isinstance(section, dict) and "Changing Jackfield" in section:
            section["Changing Jackfield"].append({"Decisions": ["decisions/index.md", *decisions]})
    return config


def on_files(files: Files, *, config) -> Files:
    def add(page: str, **content) -> None:
        files.append(File.generated(config, page, **content))

    for path, page in COPIED.items():
        add(page, content=(ROOT / path).read_text())
    add("decisions/index.md", content=list_of_decisions())
    for path in WIT:
        add(MOVED[path.relative_to(ROOT).as_posix()], content=wit.page(path.read_text()))
    add("reference/sdk.md", content=SDK)
    listed, guide = ROOT / "docs/site/settings.tsv", ROOT / "docs/configuration.md"
    add("reference/configuration.md", content=settings.page(listed.read_text(), guide.read_text()))
    for path in sorted(RUSTDOC.rglob("*")):
        # Its licences are Markdown, which would be pages.
        if path.is_file() and path.name != ".lock" and path.suffix != ".md":
            add(f"reference/sdk/{path.relative_to(RUSTDOC).as_posix()}", abs_src_path=str(path))
    for path in sorted(linked_sources(files)):
        fence = f"```{Path(path).suffix.lstrip('.')}\n{(ROOT / path).read_text().rstrip()}\n```\n"
        text = f"---\nsearch: {{ exclude: true }}\n---\n# {path}\n\n{fence}"
        add(source_page(path), content=text, inclusion=InclusionLevel.NOT_IN_NAV)
    return files


def on_page_markdown(markdown: str, *, page, **_) -> str:
    """Rewrites links from the repository's layout to the site's."""
    uri = page.file.src_uri
    if uri.startswith(("reference/", "source/")):
        return markdown

    def rewrite(link: re.Match) -> str:
        path = resolve(uri, link[2])
        if path is None:
            return link[0]
        return link[1] + posixpath.relpath(site_path(path), posixpath.dirname(uri) or ".")

    return LINK.sub(rewrite, markdown)


def resolve(uri: str, target: str) -> str | None:
    """The repository path that a link of the page points to; `None` if there is no such file."""
    origin = ORIGINS.get(uri, f"docs/{uri}")
    folder = origin if uri == "decisions/index.md" else posixpath.dirname(origin)
    path = posixpath.normpath(posixpath.join(folder, target))
    return path if not path.startswith("..") and (ROOT / path).exists() else None


def site_path(path: str) -> str:
    if path in MOVED:
        return MOVED[path]
    return path.removeprefix("docs/") if path.startswith("docs/") else source_page(path)


def source_page(path: str) -> str:
    return f"source/{path}.md"


def linked_sources(files: Files) -> set[str]:
    """Files outside of docs/ that a page links to."""
    found = set()
    for file in files.documentation_pages():
        if file.src_uri.startswith("reference/"):
            continue
        targets = (link[2] for link in LINK.finditer(file.content_string))
        paths = (resolve(file.src_uri, target) for target in targets)
        found.update(path for path in paths if path and (ROOT / path).is_file())
    return {path for path in found if not path.startswith("docs/") and path not in MOVED}


def list_of_decisions() -> str:
    lines = ["# Decisions", "", "Design decisions, each with its context and its cost.", ""]
    for path in DECISIONS:
        title = path.read_text().split("\n", 1)[0].removeprefix("# ")
        number, _, text = title.partition(". ")
        lines.append(f"- {number}: [{text}]({path.name})")
    return "\n".join(lines) + "\n"

