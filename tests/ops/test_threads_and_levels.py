"""The same bits for any number of threads, in workers too; and nearly the same for any instruction
set."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from gandetect import ops
from gandetect.ops import _ext

pytestmark = pytest.mark.skipif(not _ext.available(), reason="the kernels are not compiled")
# Few large images are split among the threads, many small ones shared out.
SHAPES = ((1, 3, 1024, 1024), (2, 1, 1080, 1920), (1, 3, 511, 640), (9, 3, 64, 64))
PROJECTIONS = ("azimuthal", "rows", "columns")


def images(shape: tuple[int, ...]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(6)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def profiles(shape: tuple[int, ...]) -> list[torch.Tensor]:
    x = images(shape)
    options = {"projections": PROJECTIONS}
    found = [*ops.spectral_profile(x, **options), *ops.spectral_profile(x, "durall", **options)]
    y = x.float().requires_grad_()
    ops.spectral_profile(y, value="power", window="hann").sum().backward()
    assert y.grad is not None
    return [*(f.detach() for f in found), y.grad]


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bits_do_not_depend_on_threads(shape, threads):
    threads(1)
    wanted = profiles(shape)
    for count in (2, 3, 5):
        threads(count)
        for actual, expected in zip(profiles(shape), wanted, strict=True):
            assert torch.equal(actual, expected), f"{count} threads"


class Profiles(torch.utils.data.Dataset):
    """Profiles made in the workers of a loader."""

    def __len__(self) -> int:
        return len(SHAPES)

    def __getitem__(self, i: int) -> list[torch.Tensor]:
        return profiles(SHAPES[i])


def test_workers_of_a_loader():
    loader = torch.utils.data.DataLoader(
        Profiles(), batch_size=None, num_workers=2, multiprocessing_context="forkserver"
    )
    for i, found in enumerate(loader):
        for actual, expected in zip(found, profiles(SHAPES[i]), strict=True):
            assert torch.equal(actual, expected)


PRINT = """
import torch
from gandetect import ops, show_config
generator = torch.Generator().manual_seed(6)
x = torch.randint(0, 256, (2, 3, 100, 75), dtype=torch.uint8, generator=generator)
found = [ops.spectral_profile(y, name) for y, name in ((x, "centered"), (x, "durall"))]
found.append(ops.spectral_profile(x.double()))
print(show_config()["cpu_isa"])
print(" ".join(value.hex() for f in found for value in f.double().flatten().tolist()))
"""


def at_level(level: str) -> tuple[str, torch.Tensor]:
    environment = {**os.environ, "GANDETECT_CPU_ISA": level}
    done = subprocess.run(
        [sys.executable, "-c", PRINT], env=environment, capture_output=True, text=True, check=True
    )
    name, values = done.stdout.splitlines()
    return name, torch.tensor([float.fromhex(v) for v in values.split()], dtype=torch.float64)


def test_levels_agree():
    _, wanted = at_level("baseline")
    for level in ("avx2", "avx512"):
        name, actual = at_level(level)
        assert name in (level, "avx2", "baseline")  # the highest that this processor has
        error = ((actual - wanted) / wanted).abs()
        assert float(error.median()) <= 3e-7
        # A corner bin may be one faint coefficient.
        assert float(error.max()) <= 1e-3
