from __future__ import annotations

import os
from pathlib import Path

import pytest
from fuzz_build import Fuzz


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where drivers are built: workers of pytest-xdist have folders of their own inside it."""
    session = tmp_path_factory.getbasetemp()
    return (session.parent if "PYTEST_XDIST_WORKER" in os.environ else session) / "kernels"


@pytest.fixture(scope="session")
def fuzz(programs: Path) -> Fuzz:
    return Fuzz.built_in(programs, "fuzz")


@pytest.fixture(scope="session")
def upsample_fuzz(programs: Path) -> Fuzz:
    return Fuzz.built_in(programs, "upsample_fuzz")


@pytest.fixture(scope="session")
def traces_fuzz(programs: Path) -> Fuzz:
    return Fuzz.built_in(programs, "traces_fuzz")
