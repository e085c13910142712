from __future__ import annotations

import os

import pytest
from simt_build import Builder, Simt


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "cuda_gate: needs nvcc, or builds under the sanitizers")


@pytest.fixture(scope="session")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    # Workers of pytest-xdist have folders of their own inside the session's.
    session = tmp_path_factory.getbasetemp()
    folder = (session.parent if "PYTEST_XDIST_WORKER" in os.environ else session) / "simt"
    folder.mkdir(exist_ok=True)
    return Builder(folder)


@pytest.fixture(scope="session")
def simt(builder: Builder) -> Simt:
    return Simt(builder.library())
