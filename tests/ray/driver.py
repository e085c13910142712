"""A run on a Ray of its own, to be killed: python driver.py FOLDER MODEL DB SECONDS."""

from __future__ import annotations

import sys

# Importable wherever PYTHONPATH of the tests is set; see conftest.py.
from odd_models import Slow

from gandetect.detect import Model
from gandetect.screen.on_ray import screen_on_ray

if __name__ == "__main__":
    folder, model, db, seconds = sys.argv[1:]
    slow = Slow(Model.load(model), float(seconds))
    summary = screen_on_ray([folder], model=slow, db=db, every=0.2, workers=1, shard_files=8)
    print(summary.n_files)
