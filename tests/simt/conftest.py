from __future__ import annotations

import pytest
from simt_build import Builder, Simt, session_builder


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "cuda_gate: needs nvcc, or builds under the sanitizers")


@pytest.fixture(scope="session")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    return session_builder(tmp_path_factory)


@pytest.fixture(scope="session")
def simt(builder: Builder) -> Simt:
    return Simt(builder.library())
