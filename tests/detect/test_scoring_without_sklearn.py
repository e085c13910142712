"""A model file is scored with torch alone: neither scikit-learn nor scipy need be installed."""

import subprocess
import sys

PROGRAM = """
import sys
sys.modules["sklearn"] = sys.modules["scipy"] = None
import torch
from gandetect.detect import Model, cut_tiles
model = Model.load(sys.argv[1])
noise = torch.rand(200, 200, generator=torch.Generator().manual_seed(0)) * 255
logit = model.logits(cut_tiles(noise, model.tile)).mean()
model.probability(logit)
print(model.verdict(float(logit), model.thresholds(0.1)))
"""


def test_load_score_and_judge(linear_model, tmp_path):
    path = tmp_path / "model.safetensors"
    linear_model.save(path)
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, path], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() in {"real", "generated", "inconclusive"}
