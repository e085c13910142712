"""The page on up-sampling and its example run as they are shown."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_code_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "upsampling.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "upsampling.md", "exec"), names)
    assert names["images"].shape == (16, 3, 64, 64)
    assert "from ConvTranspose2d 0, BatchNorm2d 1, ReLU 2" in capsys.readouterr().out


def test_example_runs(tmp_path):
    command = [sys.executable, ROOT / "examples" / "fuse_dcgan.py"]
    done = subprocess.run(
        [*command, "--width", "8", "--batch", "2", "--rounds", "2"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    difference = re.search(r"largest value: (\S+)", done.stdout)
    assert difference is not None
    assert float(difference[1]) < 4e-6, done.stdout
    assert re.search(r"torch \S+ ms, fused \S+ ms for 2 images", done.stdout)
