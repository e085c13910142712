#!/usr/bin/env python3
"""Collect real photographs that any Debian machine can install from its package registry.

    python recipes/photographs.py --out data/photographs

Debian packages are downloaded with `apt-get download` and unpacked with `dpkg-deb -x` into a
temporary folder (nothing is installed, no privileges needed); scikit-image and scikit-learn carry
a few more inside their wheels. Only the files named below are taken: they were looked at one by
one, and drawings, renderings, gradients, paintings, scans of text and second copies left out. The
files are copied untouched; `manifest.json` holds where each came from, its licence as the package
states it, author, sha256 and size. The pictures themselves are not part of this repository.
"""

from __future__ import annotations

import argparse
import configparser
import hashlib
import importlib.metadata
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from PIL import Image

FACES = "usr/share/pixmaps/faces/{}.jpg"
LOMIRI = "usr/share/backgrounds/{}.jpg"
MATE = "usr/share/backgrounds/mate/nature/{}.jpg"
PALAPELI = "usr/share/palapeli/collection/{}.jpg"
PLASMA = "usr/share/wallpapers/{}/contents/images/2560x1600.jpg"
OPENCV = "usr/share/doc/opencv-doc/examples/{}"

DEBIAN: dict[str, tuple[str, str]] = {
    "gnome-control-center-data": (
        FACES,
        "bicycle book calculator cat coffee2 flower2 gamepad guitar2 headphones hummingbird "
        "mountain plane surfer tomatoes tree",
    ),
    "lomiri-wallpapers-16.04": (
        LOMIRI,
        "Bridge_by_Sander_Klootwijk Dragonfly_by_Bolly Picture_0B_by_freespace "
        "Picture_1A_by_freespace Wine_by_Jakkub_Mede aitzgorri_by_Aitzol_Berasategi "
        "free_by_Peter_Nerlich friends_by_Aitzol_Berasategi greentock_by_Peter_Nerlich "
        "life_by_Aitzol_Berasategi picosdeeuropa_by_Aitzol_Berasategi "
        "seeding_by_Clements_Engelhardt sunset_by_Aitzol_Berasategi",
    ),
    "lomiri-wallpapers-20.04": (LOMIRI, "Kleiber_by_Lukas_Baubkus"),
    "mate-backgrounds": (
        MATE,
        "Aqua Blinds Dune FreshFlower Garden GreenMeadow LadyBird RainDrops Storm TwoWings Wood "
        "YellowFlower",
    ),
    "palapeli-data": (
        PALAPELI,
        "castle-maintenon cincinnati-bridge citrus-fruits european-honey-bee "
        "panther-chameleon-female",
    ),
    "plasma-workspace-wallpapers": (
        PLASMA,
        "BytheWater ColdRipple ColorfulCups DarkestHour EveningGlow FallenLeaf Grey Kite "
        "OneStandsOut Path summer_1am",
    ),
    "opencv-doc": (
        OPENCV,
        "alphamat/input_images/plant.jpg data/aero1.jpg data/aloeL.jpg data/apple.jpg "
        "data/baboon.jpg data/basketball1.png data/board.jpg data/box_in_scene.png "
        "data/building.jpg data/butterfly.jpg data/chicky_512.png data/ela_original.jpg "
        "data/fruits.jpg data/graf1.png data/home.jpg data/left.jpg data/left01.jpg "
        "data/leuvenA.jpg data/orange.jpg data/rubberwhale1.png data/smarties.png "
        "data/squirrel_cls.jpg data/stuff.jpg data/sudoku.png dnn_superres/butterfly.png "
        "hfs/data/000.jpg hfs/data/001.jpg hfs/data/002.jpg reg/home.png text/scenetext01.jpg "
        "text/scenetext02.jpg text/scenetext03.jpg text/scenetext04.jpg text/scenetext05.jpg "
        "text/scenetext06.jpg text/scenetext_segmented_word01.jpg "
        "text/scenetext_segmented_word02.jpg text/scenetext_segmented_word04.jpg "
        "text/scenetext_segmented_word05.jpg",
    ),
}

CC0 = "CC0-1.0"
PUBLIC_DOMAIN = "public domain"
PYTHON: dict[str, tuple[str, dict[str, tuple[str, str]]]] = {
    "scikit-image": (
        "skimage/data",
        {
            "astronaut.png": (PUBLIC_DOMAIN, "NASA"),
            "camera.png": (CC0, "Lav Varshney"),
            "chelsea.png": (CC0, "Stefan van der Walt"),
            "clock_motion.png": (PUBLIC_DOMAIN, "Stefan van der Walt"),
            "coffee.png": (CC0, "Rachel Michetti, courtesy of Pikolo Espresso Bar"),
            "coins.png": ("no known copyright restrictions", "Brooklyn Museum"),
            "grass.png": (CC0, "linolafett"),
            "retina.jpg": (CC0, "Mikael Häggström"),
            "rocket.jpg": (PUBLIC_DOMAIN, "SpaceX"),
        },
    ),
    "scikit-learn": (
        "sklearn/datasets/images",
        {
            "china.jpg": ("CC-BY-2.0", "danielbuechele"),
            "flower.jpg": ("CC-BY-2.0", "vultilion"),
        },
    ),
}

SAME_PICTURE = 0.97


@dataclass(frozen=True)
class Photograph:
    """One row of the manifest."""

    file: str
    package: str
    version: str
    path: str
    licence: str
    author: str
    sha256: str
    width: int
    height: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("data/photographs"))
    parser.add_argument("--debs", type=Path, help="folder with the .deb files, to download nothing")
    parser.add_argument("--listing", type=Path, help="also write the list as Markdown")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        debs = args.debs or download(list(DEBIAN), Path(scratch))
        rows = [
            *debian_photographs(debs, Path(scratch), args.out),
            *python_photographs(args.out),
        ]
    missing = wanted() - len(rows)
    alike = near_duplicates([args.out / row.file for row in rows])
    manifest = {"photographs": [asdict(row) for row in rows], "near_duplicates": alike}
    (args.out / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False))
    if args.listing:
        args.listing.write_text(listing(rows), encoding="utf-8")
    print(f"{len(rows)} photographs in {args.out}, {missing} of the list missing")
    for first, second, likeness in alike:
        print(f"look alike ({likeness}): {first} and {second}", file=sys.stderr)
    return 1 if missing or alike else 0


def wanted() -> int:
    return sum(len(names.split()) for _, names in DEBIAN.values()) + sum(
        len(files) for _, files in PYTHON.values()
    )


def download(packages: list[str], folder: Path) -> Path:
    """The .deb files of `packages`, in `folder`; exits with what is missing where it cannot."""
    found = {tool: shutil.which(tool) for tool in ("apt-get", "dpkg-deb")}
    if not all(found.values()):
        state = ", ".join(f"{tool}: {path or 'not found'}" for tool, path in found.items())
        raise SystemExit(
            "The photographs come from Debian packages, for which this needs apt-get and dpkg-deb "
            f"({state}).\n"
            "Run this on Debian (a container of debian:stable will do), or fetch these packages "
            f"yourself and pass --debs FOLDER: {', '.join(packages)}"
        )
    print(f"downloading {len(packages)} Debian packages", file=sys.stderr)
    done = subprocess.run(
        ["apt-get", "download", "-q", *packages], cwd=folder, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(
            f"apt-get download failed: {done.stderr.strip()}\n"
            "Where a package is not found, run `apt-get update` as root first; where this "
            "distribution does not have it, fetch it from Debian and pass --debs FOLDER."
        )
    return folder


def debian_photographs(debs: Path, scratch: Path, out: Path) -> Iterator[Photograph]:
    for package, (pattern, names) in DEBIAN.items():
        archives = sorted(debs.glob(f"{package}_*.deb"))
        if not archives:
            print(f"{package}: no {package}_*.deb in {debs}", file=sys.stderr)
            continue
        root = scratch / package
        subprocess.run(["dpkg-deb", "-x", str(archives[-1]), str(root)], check=True)
        version = archives[-1].name.split("_")[1].replace("%3a", ":")
        for name in names.split():
            path = root / pattern.format(name)
            if not path.is_file():
                print(f"{package} {version}: {pattern.format(name)} is missing", file=sys.stderr)
                continue
            target = f"{package}--{name.replace('/', '-')}".removesuffix(path.suffix) + path.suffix
            licence, author = debian_licence(root, package, path)
            yield copied(path, out / target, package, version, str(path.relative_to(root)),
                         licence, author)  # fmt: skip


def python_photographs(out: Path) -> Iterator[Photograph]:
    for package, (folder, files) in PYTHON.items():
        spec = importlib.util.find_spec(folder.split("/")[0])
        if spec is None or spec.origin is None:
            print(f"{package}: not installed, pip install {package}", file=sys.stderr)
            continue
        root = Path(spec.origin).parent.parent / folder
        for name, (licence, author) in files.items():
            if not (root / name).is_file():
                print(f"{package}: {folder}/{name} is missing", file=sys.stderr)
                continue
            version = importlib.metadata.version(package)
            yield copied(root / name, out / f"{package}--{name}", package, version,
                         f"{folder}/{name}", licence, author)  # fmt: skip


def copied(
    source: Path, target: Path, package: str, version: str, path: str, licence: str, author: str
) -> Photograph:
    data = source.read_bytes()
    target.write_bytes(data)
    with Image.open(target) as image:
        width, height = image.size
    digest = hashlib.sha256(data).hexdigest()
    return Photograph(target.name, package, version, path, licence, author, digest, width, height)


def debian_licence(root: Path, package: str, path: Path) -> tuple[str, str]:
    """(licence, author) of one file: the copyright file, refined by metadata beside it."""
    text = (root / f"usr/share/doc/{package}/copyright").read_text(encoding="utf-8")
    licence, author = "", ""
    for stanza in re.split(r"\n\s*\n", text):
        fields = stanza_fields(stanza)
        patterns = fields.get("Files", "").split()
        if patterns == ["*"] or any(names_file(pattern, path) for pattern in patterns):
            licence, author = fields.get("License", ""), fields.get("Copyright", "")
            generic = patterns == ["*"]
    licence = licence.splitlines()[0].strip()
    own_licence, own_author = licence_beside(path)
    if own_licence:
        licence = f"{licence}; the file's own metadata: {own_licence}"
    return licence, own_author or ("" if generic else without_addresses(author))


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


def licence_beside(path: Path) -> tuple[str, str]:
    """(licence, author) from a KDE .desktop or wallpaper metadata.json that describes the file."""
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
    lines = [
        "# The photographs",
        "",
        f"{len(rows)} photographs that `recipes/photographs.py` collects. They are fetched from",
        "the packages named here and are not part of this repository. The licence is the one",
        "that the package's copyright file states for the file or, where it names no single",
        "files, for the package; what the file's own metadata says follows it. Written by",
        "`python recipes/photographs.py --listing recipes/PHOTOGRAPHS.md`.",
        "",
        "| file | size | package | licence | author |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        package = f"{row.package} {row.version}"
        name = row.file.split("--", 1)[1]
        lines.append(
            f"| {name} | {row.width}x{row.height} | {package} | {row.licence} | {row.author} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
