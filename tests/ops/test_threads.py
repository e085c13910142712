"""The same bits for any number of threads, and in the workers of a loader."""

from __future__ import annotations

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
