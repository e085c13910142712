"""What the tests of large and of image-to-image models share."""

from dataclasses import replace

import torch

from gandetect.gans import Settings, Trainer, sample, train
from gandetect.gans.checkpoints import NAME, Checkpoint


def moved(name, config, data, precision="float32"):
    """The weights that three iterations leave as they were; checks that samples are images."""
    trainer = Trainer(name, config, data, settings=Settings(precision=precision))
    before = {k: v.detach().clone() for k, v in trainer.model.named_parameters()}
    for _ in range(3):
        terms = trainer.iterate()
    assert all(torch.tensor(value).isfinite() for value in terms.values()), terms
    images = sample(trainer.averaged(), 3, **trainer.shown(3))
    assert images.shape == (3, config.channels, config.size, config.size)
    assert len(images.unique()) > 1
    return [k for k, v in trainer.model.named_parameters() if torch.equal(v, before[k])]


def resumed_is_the_same(name, config, data, folder):
    """Two iterations and one more leave, bit for bit, what three leave."""
    data = Reduced(data, config.size) if data.batch(1)["images"].shape[-1] != config.size else data
    for steps, part in ((3, "whole"), (2, "parts"), (3, "parts")):
        train(name, replace(config, steps=steps), data, folder / part, seed=3)
    whole, parts = (Checkpoint.load(folder / part / NAME) for part in ("whole", "parts"))
    assert whole.card == parts.card
    assert whole.tensors.keys() == parts.tensors.keys()
    for key, tensor in whole.tensors.items():
        assert torch.equal(tensor, parts.tensors[key]), key


def drawn_logits(layer):
    """Has a layer give random logits on both sides of -1 and 1; the list of them, call by call."""
    kept = []

    def instead(_, given, logits):
        kept.append(2 * torch.randn_like(logits))
        return kept[-1]

    layer.register_forward_hook(instead)
    return kept


class Reduced:
    """Data whose images have their first `size` rows and columns alone."""

    def __init__(self, data, size):
        self.data, self.size = data, size

    def batch(self, count):
        found = self.data.batch(count)
        cut = {k: v[..., : self.size, : self.size] for k, v in found.items() if v.dim() > 2}
        return found | cut

    def card(self):
        return {**self.data.card(), "cut to": self.size}
