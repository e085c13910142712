from __future__ import annotations

import os

import pytest
from fuzz_build import Fuzz


@pytest.fixture(scope="session")
def fuzz(tmp_path_factory: pytest.TempPathFactory) -> Fuzz:
    # Workers of pytest-xdist have folders of their own inside the session's.
    session = tmp_path_factory.getbasetemp()
    folder = (session.parent if "PYTEST_XDIST_WORKER" in os.environ else session) / "kernels"
    folder.mkdir(exist_ok=True)
    return Fuzz.built_in(folder)
