"""Training that was interrupted gives the same bits as training that was not."""

import json

import pytest
import torch
from filelock import FileLock
from tiny_runs import tiny, tiny_images

from gandetect.gans import load_model, sample, train
from gandetect.gans.checkpoints import NAME, Checkpoint
from gandetect.gans.dcgan import DCGAN
from gandetect.gans.logs import read_log, seconds_of
from gandetect.gans.training import Settings, Trainer

EVERY = Settings(log_every=2, sample_every=4, save_every=3)


def same(a, b):
    assert a.card | {"config": None} == b.card | {"config": None}
    assert a.tensors.keys() == b.tensors.keys()
    for name, tensor in a.tensors.items():
        assert torch.equal(tensor, b.tensors[name]), name


@pytest.mark.parametrize("spectral", ["none", "loss", "discriminator"])
def test_resumed_equals_uninterrupted(spectral, tmp_path):
    data = tiny_images(size=16)
    shape = {"size": 16, "widths": (4, 4), "spectral": spectral}
    train("dcgan", tiny(**shape, steps=6), data, tmp_path / "whole", seed=3)
    train("dcgan", tiny(**shape, steps=2), data, tmp_path / "parts", seed=3)
    train("dcgan", tiny(**shape, steps=6), data, tmp_path / "parts", seed=3)
    whole, parts = (Checkpoint.load(tmp_path / name / NAME) for name in ("whole", "parts"))
    same(whole, parts)


def test_a_crash_goes_on_from_the_last_checkpoint(tmp_path, monkeypatch):
    data = tiny_images()
    train("dcgan", tiny(steps=8), data, tmp_path / "whole", settings=EVERY)
    taken = Trainer.iterate

    def dying(self):
        if self.step == 5:
            raise OSError("no space left on device")
        return taken(self)

    monkeypatch.setattr(Trainer, "iterate", dying)
    with pytest.raises(OSError, match="no space"):
        train("dcgan", tiny(steps=8), data, tmp_path / "parts", settings=EVERY)
    assert Checkpoint.load(tmp_path / "parts" / NAME).card["step"] == 3
    monkeypatch.setattr(Trainer, "iterate", taken)
    train("dcgan", tiny(steps=8), data, tmp_path / "parts", settings=EVERY)
    same(*(Checkpoint.load(tmp_path / name / NAME) for name in ("whole", "parts")))
    steps = [[line["step"] for line in read_log(tmp_path / name)] for name in ("whole", "parts")]
    assert steps[0] == steps[1]


def test_ctrl_c_keeps_the_iteration_that_was_reached(tmp_path, monkeypatch):
    taken = Trainer.iterate

    def interrupted(self):
        if self.step == 2:
            raise KeyboardInterrupt
        return taken(self)

    monkeypatch.setattr(Trainer, "iterate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train("dcgan", tiny(), tiny_images(), tmp_path)
    assert Checkpoint.load(tmp_path / NAME).card["step"] == 2


def test_training_leaves_the_callers_random_numbers_alone(tmp_path):
    torch.manual_seed(11)
    wanted = torch.rand(3)
    torch.manual_seed(11)
    train("dcgan", tiny(), tiny_images(), tmp_path)
    assert torch.equal(torch.rand(3), wanted)


def test_the_same_seed_gives_the_same_images_and_another_seed_others(tmp_path):
    drawn = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train("dcgan", tiny(), tiny_images(), tmp_path / name, seed=seed)
        drawn.append(sample(load_model(tmp_path / name), 4, seed=9))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"seed": 4}, "has seed 3; 4 given"),
        ({"config": tiny(widths=(5,))}, "widths"),
        ({"data": tiny_images(20)}, "has data"),
        ({"name": "lsgan"}, "checkpoint of 'dcgan'"),
    ],
)
def test_another_run_in_the_same_folder_is_refused(changed, told, tmp_path):
    given = {"name": "dcgan", "config": tiny(), "data": tiny_images(), "seed": 3}
    train(folder=tmp_path, **given)
    if changed.get("name") == "lsgan":
        from gandetect.gans import model_class

        changed["config"] = model_class("lsgan").Configuration(size=8, widths=(4,), latent=4)
    with pytest.raises(ValueError, match=told):
        train(folder=tmp_path, **(given | changed))


def test_the_running_average_is_what_samples_are_drawn_with(tmp_path):
    trainer = Trainer("dcgan", tiny(ema=0.5), tiny_images())
    weights = []
    for _ in range(3):
        trainer.iterate()
        weights.append(next(trainer.model.generator.parameters()).detach().clone())
    # The first update copies; each later one goes half of the way.
    wanted = ((weights[0] + weights[1]) / 2 + weights[2]) / 2
    found = next(trainer.averaged().generator.parameters())
    torch.testing.assert_close(found, wanted)
    assert isinstance(trainer.averaged(), DCGAN)


def test_two_trainings_in_one_folder_are_refused(tmp_path):
    with FileLock(tmp_path / ".lock"), pytest.raises(ValueError, match="another training"):
        train("dcgan", tiny(), tiny_images(), tmp_path)
    train("dcgan", tiny(steps=2), tiny_images(), tmp_path)
    with FileLock(tmp_path / ".lock").acquire(timeout=0):
        pass


def test_the_log_tells_what_all_sessions_of_a_training_took(tmp_path):
    lines = [
        {"step": 50, "iterations_per_s": 10.0}, {"step": 50, "samples/diversity": 1.0},
        {"step": 100, "iterations_per_s": 5.0},
    ]  # fmt: skip
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert seconds_of(tmp_path, 120) == pytest.approx(15 * 1.2)
    assert seconds_of(tmp_path / "none", 120) is None


def test_a_run_from_before_a_field_goes_on_where_it_has_its_default(tmp_path):
    trainer = Trainer("dcgan", tiny(), tiny_images())
    trainer.iterate()
    old = trainer.checkpoint()
    del old.card["config"]["d_factor"]
    again = Trainer("dcgan", tiny(), tiny_images())
    again.restore(old)
    assert again.step == 1
    with pytest.raises(ValueError, match=r"d_factor=1.0 \(not 2.0\)"):
        Trainer("dcgan", tiny(d_factor=2.0), tiny_images()).restore(old)
