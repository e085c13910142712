"""Settings shared by the whole suite."""

from __future__ import annotations

import os

# The suite runs in as many processes as there are cores (-n auto): threads on top of them would
# only wait for each other. Tests of threading set their own number.
os.environ.setdefault("OMP_NUM_THREADS", "1")
