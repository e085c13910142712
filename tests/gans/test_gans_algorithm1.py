"""The loop is Algorithm 1: k discriminator steps, then one of the generator, all on fresh draws."""

import itertools

import pytest
import torch

from gandetect.gans.gan import GANConfig
from gandetect.gans.ring import Ring
from gandetect.gans.training import Trainer

STEPS = 4


def config(**changes):
    return GANConfig(size=1, channels=2, latent=3, widths=(8,), batch=5, steps=STEPS, **changes)


class Counted(Ring):
    def __init__(self):
        self.drawn = []

    def batch(self, count):
        found = super().batch(count)
        self.drawn.append(found["images"])
        return found


@pytest.fixture
def run(monkeypatch):
    """Train with this k; returns the order of the steps, the latents and the images."""

    def of(k):
        data, order, latents = Counted(), [], []
        trainer = Trainer("gan", config(d_steps=k), data)
        for name, optimizer in trainer.optimizers.items():
            take = optimizer.step
            monkeypatch.setattr(
                optimizer, "step", lambda name=name, take=take: (order.append(name), take())
            )
        draw = trainer.model.latents
        monkeypatch.setattr(
            trainer.model, "latents", lambda *a, **o: latents.append(draw(*a, **o)) or latents[-1]
        )
        for _ in range(STEPS):
            trainer.iterate()
        return order, latents, data.drawn

    return of


@pytest.mark.parametrize("k", [1, 3])
def test_steps_and_draws(run, k):
    order, latents, images = run(k)
    assert order == ([*["discriminator"] * k, "generator"]) * STEPS
    assert len(latents) == len(images) == (k + 1) * STEPS
    for drawn in (latents, images):
        assert {len(one) for one in drawn} == {5}
        assert not any(torch.equal(a, b) for a, b in itertools.combinations(drawn, 2))


def test_each_player_moves_in_its_own_steps_alone():
    trainer = Trainer("gan", config(), Ring())
    first, second = trainer.model.phases()
    for phase, still in ((first, "generator"), (second, "discriminator")):
        before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
        trainer._take(phase, 1.0)
        moved = {
            k.split(".")[0] for k, v in before.items() if not v.equal(trainer.model.state_dict()[k])
        }
        assert moved == {phase.player}
        assert still not in moved


def test_the_discriminator_ascends_and_the_generator_descends_the_value():
    """On fixed draws, a step of each moves ln D(x) + ln(1 - D(G(z))) its way."""
    trainer = Trainer("gan", config(loss="saturating", dropout=0.0, rate=1e-3), Ring())
    model = trainer.model.eval()
    images, z = Ring().batch(200)["images"], model.latents(200)

    def value():
        with torch.no_grad():
            logits = model.discriminator(images), model.discriminator(model.generator(z))
            return -model.loss.discriminator(*logits).item()

    model.latents = lambda count: z
    for phase, sign in zip(model.phases(), (1, -1), strict=True):
        before = value()
        loss = phase.terms({"images": images})["loss"]
        loss.backward()
        trainer.optimizers[phase.player].step()
        model.zero_grad()
        assert sign * (value() - before) > 0
