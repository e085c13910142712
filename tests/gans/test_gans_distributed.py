"""Two processes under torchrun average their gradients and keep the same weights."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_runs import tiny, tiny_images

from gandetect.gans.checkpoints import NAME, Checkpoint
from gandetect.gans.training import Trainer, as_input

HERE = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without torch.distributed")
def test_two_processes_take_the_step_of_both_batches(tmp_path):
    run = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
            *("--standalone", str(HERE / "two_processes.py"), str(tmp_path)),
        ],
        env={**os.environ, "PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    first, second = (torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1))
    for name, weight in first["weights"].items():
        assert torch.equal(weight, second["weights"][name]), name
    assert not torch.equal(first["images"], second["images"])
    assert Checkpoint.load(tmp_path / "run" / NAME).card["processes"] == 2
    averaged = [
        (a + b) / 2 for a, b in zip(*(_gradients(one) for one in (first, second)), strict=True)
    ]
    for mean, found in zip(averaged, first["gradients"], strict=True):
        torch.testing.assert_close(found, mean, rtol=1e-4, atol=1e-7)


def _gradients(kept):
    """What one process alone would have had of the discriminator on its batch."""
    model = Trainer("dcgan", tiny(norm="none"), tiny_images()).model
    model.load_state_dict(kept["start"])
    loss = model.loss.discriminator(
        model.discriminator(as_input(kept["images"])), model.discriminator(kept["drawn"])
    )
    return torch.autograd.grad(loss, list(model.discriminator.parameters()))
