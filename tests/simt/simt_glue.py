"""The CUDA glue as torch ops on CPU tensors, `torch.ops.gandetect_simt`, over the shim.

The sources are the shipped ones but for three words: the namespace, the dispatch key, and the size
of a chunk, so that small batches take several.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from simt_build import CSRC, CXX, HERE, Builder, compile_or_fail

# Families with glue, and what is changed in it beside its key.
FAMILIES: dict[str, dict[str, str]] = {"spectrum": {"32 << 20": "4096"}, "upsample": {}}


def load_glue(builder: Builder) -> Any:
    """The ops, built once."""
    library = builder.once("libglue_simt.so", lambda target: _build(builder, target))
    torch.ops.load_library(str(library))
    return torch.ops.gandetect_simt


def _build(builder: Builder, target: Path) -> None:
    folder = builder.folder / "glue"
    folder.mkdir(exist_ok=True)
    schemas = _replaced(
        CSRC / "ops.cpp",
        folder / "ops.cpp",
        {"STABLE_TORCH_LIBRARY(gandetect, m)": "STABLE_TORCH_LIBRARY(gandetect_simt, m)"},
    )
    glue = [_glue(folder, family, changes) for family, changes in FAMILIES.items()]
    torch_folder = Path(torch.__file__).parent
    flags = ["-O1", "-fPIC", "-std=c++20", "-DTORCH_TARGET_VERSION=0x020b000000000000"]
    include = [f"-I{HERE / 'glue'}", "-isystem", str(torch_folder / "include")]
    jobs = [(source, [*include, *flags], "glue") for source in (schemas, *glue)]
    objects = map(str, builder.compile_all([*jobs, *builder.launchers()]))
    link = ["-shared", f"-L{torch_folder / 'lib'}", "-ltorch_cpu", "-lc10", "-Wl,--no-undefined"]
    compile_or_fail([*CXX, *objects, *link, "-o", str(target)])


def _glue(folder: Path, family: str, changes: dict[str, str]) -> Path:
    place = folder / family
    place.mkdir(exist_ok=True)
    key = {"(gandetect, CUDA, m)": "(gandetect_simt, CPU, m)"}
    return _replaced(CSRC / family / "ops_cuda.cpp", place / "ops_cuda.cpp", key | changes)


def _replaced(source: Path, target: Path, changes: dict[str, str]) -> Path:
    text = source.read_text()
    for old, new in changes.items():
        assert text.count(old) == 1, f"{source.name} holds {old!r} {text.count(old)} times"
        text = text.replace(old, new)
    target.write_text(text)
    return target
