"""Two processes under torchrun average their gradients and keep the same weights."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_runs import tiny, tiny_images

from gandetect.gans import MODELS
from gandetect.gans.checkpoints import NAME, Checkpoint
from gandetect.gans.training import Trainer, as_input

HERE = Path(__file__).parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not torch.distributed.is_available(), reason="torch without torch.distributed"
    ),
]


def in_two_processes(script, *arguments):
    run = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
            *("--standalone", str(HERE / script), *map(str, arguments)),
        ],
        env={**os.environ, "PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert run.returncode == 0, run.stderr[-3000:]


def test_two_processes_take_the_step_of_both_batches(tmp_path):
    in_two_processes("two_processes.py", tmp_path)
    first, second = (torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1))
    for name, weight in first["weights"].items():
        assert torch.equal(weight, second["weights"][name]), name
    assert not torch.equal(first["images"], second["images"])
    assert Checkpoint.load(tmp_path / "run" / NAME).card["processes"] == 2
    # Threads of gloo that outlive the training can abort the process at its end.
    assert not [name for name in first["threads"] + second["threads"] if "gloo" in name]
    averaged = [
        (a + b) / 2 for a, b in zip(*(_gradients(one) for one in (first, second)), strict=True)
    ]
    for mean, found in zip(averaged, first["gradients"], strict=True):
        torch.testing.assert_close(found, mean, rtol=1e-4, atol=1e-7)


def test_two_processes_go_on_as_if_they_had_not_stopped(tmp_path):
    def run(name, interrupted_at=-1):
        in_two_processes("two_processes_resumed.py", tmp_path, name, interrupted_at)
        return [torch.load(tmp_path / f"{name}-rank{rank}.pt") for rank in (0, 1)]

    assert not any(one["stopped"] for one in run("whole"))
    # One process is told, and both stop after the same iteration.
    assert all(one["stopped"] for one in run("parts", interrupted_at=1))
    card = Checkpoint.load(tmp_path / "parts" / NAME).card
    assert (card["step"], card["processes"]) == (2, 2)
    first, second = run("parts")
    assert not torch.equal(first["images"], second["images"])
    whole, parts = ((tmp_path / name / NAME).read_bytes() for name in ("whole", "parts"))
    assert whole == parts


def test_processes_of_every_model_keep_the_same_weights(tmp_path):
    in_two_processes("two_processes_of_all.py", tmp_path)
    first, second = (torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1))
    assert list(first) == list(MODELS)
    for name, one in first.items():
        assert len(one["moved"]) > 0.2 * len(one["weights"]), name
        for key, weight in one["weights"].items():
            assert torch.equal(weight, second[name]["weights"][key]), (name, key)


def _gradients(kept):
    """What one process alone would have had of the discriminator on its batch."""
    model = Trainer("dcgan", tiny(norm="none"), tiny_images()).model
    model.load_state_dict(kept["start"])
    loss = model.loss.discriminator(
        model.discriminator(as_input(kept["images"])), model.discriminator(kept["drawn"])
    )
    return torch.autograd.grad(loss, list(model.discriminator.parameters()))
