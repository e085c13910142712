"""Rules that the kernel sources keep, read from their text."""

from __future__ import annotations

import re

import pytest
from simt_build import CSRC, HERE

SOURCES = sorted(
    path
    for folder in (CSRC, HERE)
    for pattern in ("**/*.cu", "**/*.cuh", "**/*.h", "**/*.cpp")
    for path in folder.glob(pattern)
)
KERNEL_NAME = r"__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)\("
KERNELS = sorted(CSRC.glob("**/*.cuh"))


def without_comments(text: str) -> str:
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.S)


def test_every_launch_names_its_stream() -> None:
    """Only GD_LAUNCH writes <<<>>>, with four arguments: none may land on the default stream."""
    launches = {
        path.name: re.findall(r"<<<(.*?)>>>", without_comments(path.read_text()), re.S)
        for path in SOURCES
    }
    found = {name: found for name, found in launches.items() if found}
    assert list(found) == ["launch.h"]
    assert [len(arguments.split(",")) for arguments in found["launch.h"]] == [4]


@pytest.mark.parametrize("path", KERNELS, ids=lambda path: path.name)
def test_kernels_are_free_of_torch_and_of_atomics(path) -> None:
    text = without_comments(path.read_text())
    # The largest of several integers is the same in any order: atomicMax, which takes no others.
    words = r"torch/|ATen/|c10/|\batomic(?!Max\()|__shared__|__fdividef|__logf"
    assert not re.search(words, text)
    assert path.read_text().startswith("//"), "a kernel file opens with its maths and memory plan"


def test_every_kernel_is_instantiated_for_the_gate() -> None:
    """Template argument lists are the compiler's business; a forgotten name is this test's."""
    for folder in sorted({path.parent for path in KERNELS} - {CSRC / "common"}):
        text = "".join(path.read_text() for path in folder.glob("*.cuh"))
        names = set(
            re.findall(r"__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)\(", text)
        )
        gate = (folder / "all_kernels.cu").read_text()
        assert names
        assert {name for name in names if not re.search(rf"\b{name}\b", gate)} == set()
