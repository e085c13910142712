"""Divergence ends a run; collapse, vanishing gradients and unequal players are told."""

import pytest
import torch
from tiny_runs import tiny, tiny_images

from gandetect.gans import Diverged, train
from gandetect.gans.checkpoints import NAME
from gandetect.gans.logs import read_log
from gandetect.gans.monitors import Watch, diversity
from gandetect.gans.training import Settings

CALM = {"discriminator/real": 0.1, "discriminator/generated": -0.1, "generator/gradient": 1.0}


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_checkpoint(tmp_path):
    data = tiny_images()
    train("dcgan", tiny(steps=2), data, tmp_path)
    kept = (tmp_path / NAME).read_bytes()
    with pytest.raises(Diverged, match=r"iteration \d+: .*(nan|inf)"):
        # The rate is part of the configuration, so the optimizer is what breaks the weights here.
        _train_with_broken_weights(data, tmp_path)
    assert (tmp_path / NAME).read_bytes() == kept


def _train_with_broken_weights(data, folder):
    class Poisoned(type(data)):
        def batch(self, count):
            found = super().batch(count)
            return {"images": found["images"].float() * float("nan")}

    train("dcgan", tiny(steps=9), Poisoned(data.images, data._card), folder)


def test_calm_training_has_no_warnings():
    watch = Watch(tiny_images(), loss="nonsaturating")
    for step in range(300):
        watch.check(step, CALM)
    watch.look(tiny_images().images)
    assert watch.warnings() == []


@pytest.mark.parametrize(
    ("terms", "told"),
    [
        ({"discriminator/real": 9.0, "discriminator/generated": -9.0}, "out of step"),
        ({"generator/gradient": 1e-9}, "vanishing gradient"),
    ],
)
def test_players_out_of_step_are_told(terms, told):
    watch = Watch(tiny_images(), loss="nonsaturating")
    for step in range(300):
        watch.check(step, CALM | terms)
    (found,) = watch.warnings()
    assert told in found


@pytest.mark.parametrize(
    ("loss", "sure", "unsure"),
    [
        ("saturating", (5.0, -5.0), (3.0, -3.0)),
        ("nonsaturating", (5.0, -5.0), (3.0, -3.0)),
        ("least_squares", (0.99, 0.01), (0.9, 0.1)),
        ("hinge", (1.1, -1.1), (0.9, -0.9)),
        ("wasserstein", None, (90.0, -90.0)),
    ],
)
def test_every_loss_has_its_own_measure_of_being_sure(loss, sure, unsure):
    for values, warned in ((sure, True), (unsure, False)):
        if values is None:
            continue
        watch = Watch(tiny_images(), loss=loss)
        real, generated = values
        for step in range(300):
            terms = {"discriminator/real": real, "discriminator/generated": generated}
            watch.check(step, CALM | terms)
        assert bool(watch.warnings()) == warned


def test_equal_samples_are_a_collapse():
    watch = Watch(tiny_images())
    one = tiny_images().images[:1].expand(64, -1, -1, -1)
    assert watch.look(one)["samples/diversity"] == 0
    assert "mode collapse" in watch.warnings()[0]


def test_diversity_is_the_root_mean_square_of_differences():
    images = torch.stack([torch.full((3, 4, 4), v, dtype=torch.uint8) for v in (10, 13)])
    assert diversity(images) == pytest.approx(3)


def test_the_log_has_means_and_warnings(tmp_path):
    settings = Settings(log_every=2, sample_every=4, save_every=4)
    train("dcgan", tiny(steps=4), tiny_images(), tmp_path, settings=settings)
    lines = read_log(tmp_path)
    assert [line["step"] for line in lines] == [2, 4, 4]
    assert {"discriminator/loss", "generator/loss", "iterations_per_s"} <= set(lines[0])
    assert {"samples/diversity", "samples/spectral_l1"} <= set(lines[2])
    assert (tmp_path / "samples" / "step-0000004.png").exists()
    assert list(tmp_path.glob("events.out.tfevents.*"))
