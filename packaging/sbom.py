"""Writes the list of the parts of which a product consists (SBOM), in the format of CycloneDX 1.6.

    python3 packaging/sbom.py {server,plugins} OUT

`server` is the Debian package: the crates that its commands link, the libraries in C that these contain,
Rust's standard library, and the client for web pages. `plugins` are the stock plugins, and the SDKs.
Crates that only run during the build are listed with the scope "excluded".

Cargo knows which crates are linked, so the lists come from `cargo tree`; licences come from
`cargo metadata`, and hashes from Cargo.lock. The file has no date and no random number: the same sources
and the same toolchain give the same bytes.
"""

import argparse
import json
import re
import subprocess
import sys
import tomllib
import uuid
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
LICENSE = "MIT OR Apache-2.0"

# Crates with code of a library in C: its name, its licence, and where its version is. `None`: the crate
# only reserves a name for the linker, or the code has no release of its own.
NATIVE = {
    "libsqlite3-sys": ("sqlite", "blessing", ("sqlite3/sqlite3.h", r'#define SQLITE_VERSION +"([^"]+)"')),
    "rayon-core": None,
    "ring": None,
    "tikv-jemalloc-sys": ("jemalloc", "BSD-2-Clause", r"\+(.+)"),
    "zstd-sys": ("zstd", "BSD-3-Clause", r"\+zstd\.(.+)"),
}


def run(*command):
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def component(kind, ecosystem, name, version, license, **more):
    purl = f"pkg:{ecosystem}/{quote(name)}@{quote(version, safe='')}"
    return {
        "type": kind,
        "bom-ref": purl,
        "name": name,
        "version": version,
        "licenses": [{"expression": license}],
        "purl": purl,
        **more,
    }


class Workspace:
    """The crates of some packages of a workspace, for one target."""

    def __init__(self, folder, target, packages, features=()):
        self.arguments = ["--locked", "--manifest-path", f"{folder}/Cargo.toml"]
        self.selection = ["--target", target, *packages, *features]
        platform = ["--filter-platform", target, "--format-version", "1"]
        metadata = json.loads(run("cargo", "metadata", *self.arguments, *platform, *features))
        self.packages = {(it["name"], it["version"]): it for it in metadata["packages"]}
        lock = tomllib.loads((ROOT / folder / "Cargo.lock").read_text())
        self.checksums = {(it["name"], it["version"]): it.get("checksum") for it in lock["package"]}
        self.edges = {}
        self._read_edges()
        self.linked = {key for _, key in self._tree("normal,no-proc-macro")}

    def _tree(self, edges):
        options = ["--edges", edges, "--prefix", "depth", "--format", " {p}"]
        for line in run("cargo", "tree", *self.arguments, *self.selection, *options).splitlines():
            if line:
                depth, name, version, *_ = line.split()
                yield int(depth), (name, version.removeprefix("v"))

    def _read_edges(self):
        above = []
        for depth, key in self._tree("normal,build"):
            del above[depth:]
            self.edges.setdefault(key, set())
            if above:
                self.edges[above[-1]].add(key)
            above.append(key)

    def components(self):
        """The components, and the references of those that each one depends on."""
        found, uses, reference = [], {}, {}
        for key in sorted(self.edges):
            package = self.packages[key]
            checksum = self.checksums[key]
            license = package["license"].replace("/", " OR ")
            more = {"scope": "required" if key in self.linked else "excluded"}
            if checksum:
                more["hashes"] = [{"alg": "SHA-256", "content": checksum}]
            if package["repository"]:
                more["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
            made = component("library", "cargo", *key, license, **more)
            found.append(made)
            reference[key] = made["bom-ref"]
        for key, below in self.edges.items():
            uses[reference[key]] = {reference[it] for it in below}
        for key in sorted(self.linked):
            if native := self._native(self.packages[key]):
                found.append(native)
                uses[reference[key]].add(native["bom-ref"])
        return found, uses

    def _native(self, package):
        name = package["name"]
        if name not in NATIVE and not package["links"]:
            return None
        if name not in NATIVE:
            sys.exit(f"error: {name} links a library: {package['links']}\n  = help: add it to NATIVE in {__file__}")
        if NATIVE[name] is None:
            return None
        library, license, place = NATIVE[name]
        text, pattern = package["version"], place
        if isinstance(place, tuple):
            file, pattern = place
            text = (Path(package["manifest_path"]).parent / file).read_text()
        version = re.search(pattern, text)
        if not version:
            sys.exit(f"error: no version of {library} in {name} {package['version']}\n  = help: see NATIVE in {__file__}")
        return component("library", "generic", library, version[1], license, scope="required")


def rust():
    """Rust's standard library, which every crate links, and the target of the build."""
    facts = dict(line.split(": ", 1) for line in run("rustc", "-vV").splitlines()[1:])
    made = component("library", "generic", "rust-std", facts["release"], LICENSE, scope="required")
    return made, facts["host"]


def npm(folder):
    package = json.loads((ROOT / folder / "package.json").read_text())
    return package["name"], package["version"], package["license"], package.get("dependencies", {})


def pypi(folder):
    project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
    needs = dict(it.split("==") for it in project["dependencies"])
    return project["name"], project["version"], project["license"], needs


# The licences of the packages that the SDKs depend on, which their manifests do not have.
LICENSES = {"componentize-qjs": "Apache-2.0", "componentize-py": "Apache-2.0 WITH LLVM-exception"}


def package(ecosystem, read):
    """An SDK or a client, with the packages that its manifest pins."""
    name, version, license, needs = read
    made = component("library", ecosystem, name, version, license, scope="required")
    below = [component("library", ecosystem, it, needs[it], LICENSES[it], scope="required") for it in sorted(needs)]
    return [made, *below], {made["bom-ref"]: {it["bom-ref"] for it in below}}


def document(product, parts, roots):
    """`roots` are the references of the parts that the product itself names."""
    found, uses = [], {product["bom-ref"]: set(roots)}
    for components, below in parts:
        found += components
        uses |= below
    for it in found:
        uses.setdefault(it["bom-ref"], set())
    body = {
        "metadata": {"component": product},
        "components": sorted(found, key=lambda it: it["bom-ref"]),
        "dependencies": [{"ref": ref, "dependsOn": sorted(uses[ref])} for ref in sorted(uses)],
    }
    number = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(body, sort_keys=True))
    head = {"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": f"urn:uuid:{number}", "version": 1}
    return head | body


def crates(workspace, names):
    components, uses = workspace.components()
    roots = [it["bom-ref"] for it in components if it["name"] in names]
    return components, uses, roots


def server():
    std, host = rust()
    names = ["jackfield", "jackfield-bench"]
    packages = [it for name in names for it in ("--package", name)]
    workspace = Workspace(".", host, packages, ["--features", "jackfield/otlp,jackfield/cluster"])
    components, uses, roots = crates(workspace, names)
    version = crate_version(workspace, "jackfield")
    product = component("application", "generic", "jackfield", version, LICENSE)
    client = package("npm", npm("host/browser"))
    parts = [(components, uses), ([std], {}), client]
    return document(product, parts, [*roots, std["bom-ref"], *client[1]])


def plugins():
    std, _ = rust()
    workspace = Workspace("plugins", "wasm32-wasip2", ["--workspace"])
    names = tomllib.loads((ROOT / "plugins/Cargo.toml").read_text())["workspace"]["members"]
    components, uses, roots = crates(workspace, [f"jackfield-{name}" for name in names])
    version = crate_version(workspace, "jackfield-plugin")
    product = component("application", "generic", "jackfield-plugins", version, LICENSE)
    sdks = [package("npm", npm("plugin-sdk/js")), package("pypi", pypi("plugin-sdk/python"))]
    parts = [(components, uses), ([std], {}), *sdks]
    return document(product, parts, [*roots, std["bom-ref"], *(next(iter(it[1])) for it in sdks)])


def crate_version(workspace, name):
    return next(version for crate, version in workspace.edges if crate == name)


def main():
    parser = argparse.ArgumentParser(description="Write an SBOM, in the format of CycloneDX 1.6")
    parser.add_argument("product", choices=["server", "plugins"])
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    made = server() if arguments.product == "server" else plugins()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(made, indent=2) + "\n")


main()
