"""Installs a wheel into a clean environment and uses it from another folder: `make wheel`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

CHECK = """
import sys, torch, gandetect
from gandetect import ops
config = gandetect.show_config()
assert config["compiled"] == (sys.argv[1] == "compiled"), config
assert gandetect.__version__ != "0+uninstalled", config
assert "site-packages" in gandetect.__file__, gandetect.__file__
images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
profile = ops.spectral_profile(images)
assert profile.shape == (2, 46), profile.shape
from gandetect.detect import load_shipped
print(config, load_shipped().name)
"""


def main(wheel: Path) -> None:
    root = Path(__file__).resolve().parents[1]
    with zipfile.ZipFile(wheel) as archive:
        kind = "compiled" if any("/_C." in name for name in archive.namelist()) else "pure"
        for name in archive.namelist():
            assert str(root).encode() not in archive.read(name), f"{name} names the build machine"
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder, "bin", "python"))
        subprocess.run(
            [python, "-m", "pip", "install", "-q", "-c", str(root / "constraints.txt"), str(wheel)],
            check=True,
        )
        subprocess.run([python, "-c", CHECK, kind], check=True, cwd=folder)
        subprocess.run([str(Path(folder, "bin", "gandetect")), "--version"], check=True, cwd=folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
