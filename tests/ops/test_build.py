"""The compiled module: one schema in two places, instruction sets, symbols, and the fallback."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import gandetect
from gandetect.ops import _ext, _schema

ROOT = Path(__file__).parents[2]
needs_module = pytest.mark.skipif(not _ext.available(), reason=_ext.missing_reason)


def test_schemas_equal_their_mirror():
    for schema in _schema.SCHEMAS:
        name = schema.split("(")[0]
        registered = str(getattr(torch.ops.gandetect, name).default._schema)
        assert registered == f"gandetect::{schema}"


@needs_module
def test_every_schema_of_the_source_is_mirrored():
    source = ROOT / "csrc" / "ops.cpp"
    if not source.is_file():
        pytest.skip("installed without sources")
    assert source.read_text().count("m.def(") == len(_schema.SCHEMAS)


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


PROFILE = """
import torch, gandetect.ops as ops
torch.manual_seed(1)
images = torch.randint(0, 256, (3, 3, 60, 44), dtype=torch.uint8)
for value in ("power", "log"):
    print(*ops.spectral_profile(images, value=value).flatten().tolist())
"""


@needs_module
def test_instruction_sets_agree():
    results = {}
    levels = ["baseline", "avx2", "avx512"]
    for level in levels:
        code = f"import gandetect; print(gandetect.show_config()['cpu_isa']){PROFILE}"
        done = run_python(code, GANDETECT_CPU_ISA=level)
        assert done.returncode == 0, done.stderr
        used, *profiles = done.stdout.splitlines()
        assert levels.index(used) <= levels.index(level)  # clamped to what the processor has
        results[used] = torch.tensor([[float(x) for x in line.split()] for line in profiles])
    wanted = results.pop("baseline")
    for profiles in results.values():
        torch.testing.assert_close(profiles, wanted, rtol=2e-5, atol=0)


def test_an_unknown_instruction_set_asks_for_nothing():
    done = run_python(PROFILE, GANDETECT_CPU_ISA="sse9")
    assert done.returncode == 0, done.stderr


def test_without_the_module_the_api_is_the_same():
    code = PROFILE + "\nimport gandetect; assert not gandetect.show_config()['compiled']"
    done = run_python(code, GANDETECT_DISABLE_EXT="1")
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    wanted = run_python(PROFILE, GANDETECT_DISABLE_EXT="")
    fallback, compiled = (
        torch.tensor([[float(x) for x in line.split()] for line in run.stdout.splitlines()])
        for run in (done, wanted)
    )
    torch.testing.assert_close(fallback, compiled, rtol=2e-5, atol=0)


def test_a_broken_module_warns_once_and_falls_back(tmp_path):
    code = f"""
import sys, importlib.abc, importlib.util
class Broken(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        if name == "gandetect._C":
            return importlib.util.spec_from_loader(name, self)
    def create_module(self, spec):
        raise ImportError("undefined symbol: planted")
    def exec_module(self, module):
        pass
sys.meta_path.insert(0, Broken())
{PROFILE}
"""
    done = run_python(code, PYTHONWARNINGS="always::RuntimeWarning", GANDETECT_DISABLE_EXT="")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("undefined symbol: planted") == 1
    assert f"torch {torch.__version__}" in done.stderr


@needs_module
def test_a_module_of_another_python_warns():
    code = f"""
import sys, importlib.abc
class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "gandetect._C":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hidden())
{PROFILE}
"""
    done = run_python(code, PYTHONWARNINGS="always::RuntimeWarning", GANDETECT_DISABLE_EXT="")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("built for another Python") == 1


@needs_module
def test_a_module_older_than_the_sources_warns_and_serves_what_it_has():
    # The schemas of a later version, put in place before anything reads them.
    code = f"""
import importlib.util, sys
place = {str(ROOT / "gandetect" / "ops" / "_schema.py")!r}
spec = importlib.util.spec_from_file_location("gandetect.ops._schema", place)
later = importlib.util.module_from_spec(spec)
spec.loader.exec_module(later)
later.SCHEMAS += ("planted(Tensor x) -> Tensor",)
sys.modules["gandetect.ops._schema"] = later
{PROFILE}
assert torch.ops.gandetect.planted.default
import gandetect; assert gandetect.show_config()["compiled"]
"""
    done = run_python(code, PYTHONWARNINGS="always::RuntimeWarning", GANDETECT_DISABLE_EXT="")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("lacks planted") == 1


@needs_module
def test_no_unstable_torch_symbol_and_no_path_of_the_build_machine():
    if shutil.which("nm") is None:
        pytest.skip("binutils is not installed")
    binary = Path(_ext._C.__file__)
    listing = subprocess.run(
        ["nm", "-DC", "--undefined-only", binary], capture_output=True, text=True, check=True
    ).stdout
    assert "torch_" in listing
    assert not re.search(r"\b(at|c10|torch)::", listing)
    text = binary.read_bytes()
    for folder in (str(ROOT), str(Path.home())):
        if len(folder) > 5:
            assert folder.encode() not in text


@pytest.fixture
def setup_file() -> Path:
    if not (ROOT / "setup.py").is_file():
        pytest.skip("installed without sources")
    return ROOT / "setup.py"


def test_source_archive_builds_with_and_without_cuda(setup_file, tmp_path):
    """Whatever the machine that makes the archive has: a build without CUDA lists no CUDA files."""
    command = [sys.executable, str(setup_file), "-q", "egg_info", "--egg-base", str(tmp_path)]
    environment = {**os.environ, "GANDETECT_BUILD_EXT": "0"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    listed = set((tmp_path / "gandetect.egg-info" / "SOURCES.txt").read_text().split("\n"))
    needed = list((ROOT / "csrc").rglob("*.*"))
    assert {str(p.relative_to(ROOT)) for p in needed} <= listed


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("8.0;9.0", ["80,code=sm_80", "90,code=sm_90"]),
        ("8.0 9.0+PTX", ["80,code=sm_80", "90,code=sm_90", "90,code=compute_90"]),
        ("8.0;12.0+PTX", ["80,code=sm_80", "80,code=compute_80"]),
        ("12.0", None),
    ],
)
def test_architectures_are_those_that_nvcc_knows(
    setup_file, tmp_path, monkeypatch, wanted, expected
):
    nvcc = tmp_path / "nvcc"
    nvcc.write_text("#!/bin/sh\necho compute_80 compute_90\n")
    nvcc.chmod(0o755)
    monkeypatch.setenv("GANDETECT_BUILD_EXT", "0")
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", wanted)
    monkeypatch.setattr("setuptools.setup", lambda **_: None)
    flags_of = runpy.run_path(str(setup_file))["architecture_flags"]
    if expected is None:
        with pytest.raises(SystemExit, match="none of the architectures"):
            flags_of(str(nvcc))
        return
    assert flags_of(str(nvcc)) == [f"-gencode=arch=compute_{pair}" for pair in expected]


def test_config_says_how_it_was_built():
    config = gandetect.show_config()
    assert config["gandetect"] == gandetect.__version__
    assert config["torch"] == torch.__version__
    if config["compiled"]:
        assert config["stable_abi_target"] == "2.11"
        assert config["built_for_torch"]
    else:
        assert config["reason"]


def test_importing_the_ops_does_not_import_the_compiler():
    done = run_python("import sys, gandetect.ops; assert 'torch._dynamo' not in sys.modules")
    assert done.returncode == 0, done.stderr


def test_importing_the_package_imports_no_torch():
    done = run_python("import sys, gandetect; assert 'torch' not in sys.modules")
    assert done.returncode == 0, done.stderr


@needs_module
def test_memory_above_the_input_does_not_grow_with_the_batch():
    code = """
import resource, torch, gandetect.ops as ops
torch.set_num_threads(1)
images = torch.zeros(400, 3, 128, 128, dtype=torch.uint8)
ops.spectral_profile(images[:2], value="log", window="hann")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
ops.spectral_profile(images, value="log", window="hann")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    # One float32 copy of the batch alone would be 79 MB.
    assert int(done.stdout) <= 2000
