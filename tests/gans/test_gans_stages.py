"""Phases that begin and end, optimizers that start afresh, and what sample grids are shown with."""

from dataclasses import dataclass, replace

import pytest
import torch
from tiny_runs import tiny, tiny_images
from torch import nn

from gandetect.gans import Config, GenerativeModel, Images, Phase, Player, registry, train
from gandetect.gans import training as loop
from gandetect.gans.checkpoints import NAME, Checkpoint
from gandetect.gans.training import Trainer


@dataclass(frozen=True)
class StagedConfig(Config):
    restart_at: int = 1000


class Staged(GenerativeModel):
    """Means of the batch, learned by one number after the other."""

    name, source, Configuration, presets = "staged", "tests", StagedConfig, {}

    def __init__(self, config):
        super().__init__(config)
        self.generator = nn.Conv2d(3, 3, 1)
        self.second = nn.Linear(1, 1)
        self.seen = []

    def players(self):
        return {"one": Player([self.generator], 0.1), "two": Player([self.second], 0.1)}

    def phases(self):
        return [
            Phase("early", "one", self._early, end=3),
            Phase("late", "two", self._late, begin=2),
            Phase("rare", "two", self._late, begin=1, every=2, end=5),
        ]

    def restarts(self, step):
        return ["one"] if step == self.config.restart_at else []

    def conditions(self, batch):
        return {"counts": batch["counts"]}

    def _early(self, batch):
        return {"loss": (self.generator(batch["images"]) - batch["images"]).square().mean()}

    def _late(self, batch):
        return {"loss": self.second(batch["counts"][:, :1].float()).square().mean()}

    def latents(self, count, rng=None):
        return torch.randn(count, 3, 8, 8, generator=rng)

    def draw(self, latents, *, counts=None):
        self.seen.append(counts)
        return self.generator(latents)


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setitem(registry.MODELS, "staged", "staged.Staged")
    known = registry.model_class
    found = lambda name: Staged if name == "staged" else known(name)  # noqa: E731
    monkeypatch.setattr(loop, "model_class", found)


def config(**changes):
    return StagedConfig(size=8, batch=4, ema=0.5, **changes)


def counted():
    images = tiny_images()
    return Images(
        images.images, {"name": "counted"}, extras={"counts": torch.arange(48).view(24, 2)}
    )


def test_a_phase_has_its_time():
    trainer = Trainer("staged", config(), counted())
    told = [sorted({key.split("/")[0] for key in trainer.iterate()}) for _ in range(6)]
    assert told == [
        ["early"],
        ["early"],
        ["early", "late", "rare"],
        ["late"],
        ["late", "rare"],
        ["late"],
    ]


def test_runs_with_stages_go_on_bit_for_bit(tmp_path):
    for steps in (1, 2, 4, 6):
        train("staged", config(steps=steps, restart_at=1), counted(), tmp_path / "parts")
    train("staged", config(steps=6, restart_at=1), counted(), tmp_path / "whole")
    parts, whole = (Checkpoint.load(tmp_path / one / NAME) for one in ("parts", "whole"))
    assert parts.tensors.keys() == whole.tensors.keys()
    assert all(torch.equal(parts.tensors[key], whole.tensors[key]) for key in whole.tensors)


def test_a_restart_forgets_the_moments_of_that_player_alone():
    trainer = Trainer("staged", config(restart_at=3), counted())
    counts = []
    for _ in range(3):
        trainer.iterate()
        counts.append(int(next(iter(trainer.optimizers["one"].state.values()))["step"]))
    trainer.iterate()
    assert counts == [1, 2, 3]
    assert not trainer.optimizers["one"].state
    assert trainer.optimizers["two"].state


def test_samples_are_shown_with_the_same_conditions_at_every_look():
    trainer = Trainer("staged", config(), counted())
    before = trainer.shown(5)["counts"]
    state = torch.get_rng_state()
    trainer.iterate()
    assert torch.equal(trainer.shown(5)["counts"], before)
    assert torch.equal(torch.get_rng_state(), state)
    assert before.shape == (5, 2)


def test_grids_are_drawn_with_conditions(tmp_path):
    model = train("staged", config(steps=1), counted(), tmp_path)
    assert (tmp_path / "samples" / "step-0000001.png").exists()
    assert model.seen == []
    with pytest.raises(KeyError):
        train("staged", config(steps=1), tiny_images(), tmp_path / "without")


def test_extras_go_with_their_images():
    data = counted()
    batch = data.batch(7)
    for image, counts in zip(batch["images"], batch["counts"], strict=True):
        assert torch.equal(data.images[int(counts[0]) // 2], image)
    assert data.take([3, 1]).extras["counts"].tolist() == [[6, 7], [2, 3]]
    assert data.without_labels().extras["counts"].shape == (24, 2)
    changed = {"counts": data.extras["counts"] + 1}
    assert Images(data.images, {}, extras=changed).sha256 != data.sha256 != tiny_images().sha256
    with pytest.raises(ValueError, match="23 counts for 24"):
        Images(data.images, {}, extras={"counts": torch.zeros(23, 2)})


def test_the_discriminator_may_have_a_rate_of_its_own():
    trainer = Trainer("dcgan", replace(tiny(), rate=1e-3, d_factor=4.0), tiny_images())
    trainer.iterate()
    rates = {name: one.param_groups[0]["lr"] for name, one in trainer.optimizers.items()}
    assert rates == {"discriminator": 4e-3, "generator": 1e-3}
