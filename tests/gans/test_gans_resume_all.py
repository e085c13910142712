"""Every model goes on from a checkpoint with the same bits, in every precision."""

import pytest
import torch
from small_presets import images_for, small

from gandetect.gans import MODELS, Settings
from gandetect.gans.checkpoints import Checkpoint
from gandetect.gans.preparing import prepared
from gandetect.gans.training import Trainer

# With a class of its own for each third of the images, where a model can be told.
CASES = [(name, {}) for name in MODELS] + [
    (name, {"classes": 3}) for name in ("sngan", "biggan", "vqvae2")
]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("name", "changes"), CASES)
def test_resumed_equals_uninterrupted(name, changes, precision, tmp_path):
    config = small(name, 4, **changes)
    data, settings = prepared(name, config, images_for(config)), Settings(precision=precision)
    whole = Trainer(name, config, data, seed=3, settings=settings)
    first = Trainer(name, config, data, seed=3, settings=settings)
    for _ in range(2):
        first.iterate()
    first.checkpoint().save(tmp_path / "parts")
    # Numbers that are drawn in between are none of the training's.
    torch.manual_seed(17)
    second = Trainer(name, config, data, seed=3, settings=settings)
    second.restore(Checkpoint.load(tmp_path / "parts"))
    for _ in range(3):
        whole.iterate()
    second.iterate()
    wanted, found = whole.checkpoint(), second.checkpoint()
    assert found.card == wanted.card
    assert found.tensors.keys() == wanted.tensors.keys()
    different = [k for k, v in wanted.tensors.items() if not torch.equal(v, found.tensors[k])]
    assert not different
    # It went on at all.
    weights = dict(first.model.named_parameters())
    assert any(not torch.equal(v, weights[k]) for k, v in second.model.named_parameters())
