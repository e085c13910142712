"""A checkpoint that is damaged, edited, hostile or of something else is refused with its reason."""

import pickle

import pytest
import torch
from tiny_runs import tiny, tiny_images

from gandetect.gans import load_model
from gandetect.gans.checkpoints import KEY, NAME, Checkpoint
from gandetect.gans.training import Trainer
from gandetect.tensorfile import pack


@pytest.fixture(scope="module")
def trained():
    trainer = Trainer("dcgan", tiny(), tiny_images())
    trainer.iterate()
    return trainer.checkpoint()


def written(checkpoint, folder, card=None, tensors=None):
    path = folder / NAME
    path.write_bytes(pack(tensors or checkpoint.tensors, card or checkpoint.card, KEY))
    return path


def test_a_flipped_bit_is_refused(trained, tmp_path):
    path = written(trained, tmp_path)
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.write_bytes(data)
    with pytest.raises(ValueError, match="changed after it was saved"):
        load_model(path)


@pytest.mark.parametrize("keep", [0, 7, 200, -1])
def test_a_truncated_file_is_refused(trained, keep, tmp_path):
    path = written(trained, tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="not a gandetect checkpoint"):
        load_model(path)


def test_a_pickle_is_refused_and_not_run(tmp_path):
    class Runs:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    path = tmp_path / NAME
    path.write_bytes(pickle.dumps(Runs()))
    with pytest.raises(ValueError, match="not a gandetect checkpoint"):
        load_model(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"size": 10**9}, "size"),
        ({"widths": [10**12]}, "widths"),
        ({"batch": "4"}, "batch='4'"),
        ({"up": "magic"}, "up"),
        ({"surprise": 1}, "surprise"),
        ({"rate": -1.0}, "rate"),
        ({"steps": True}, "steps"),
    ],
)
def test_hostile_configurations_are_refused(trained, changes, told, tmp_path):
    card = trained.card | {"config": trained.card["config"] | changes}
    with pytest.raises(ValueError, match=told):
        load_model(written(trained, tmp_path, card))


@pytest.mark.parametrize(
    ("card", "told"),
    [
        ({"model": "os"}, "'os'"),
        ({"format_version": 99}, "version 99"),
    ],
)
def test_unknown_models_and_versions_are_refused(trained, card, told, tmp_path):
    with pytest.raises(ValueError, match=told):
        load_model(written(trained, tmp_path, trained.card | card))


def test_a_card_without_its_parts_is_refused(trained, tmp_path):
    card = {k: v for k, v in trained.card.items() if k != "seed"}
    with pytest.raises(ValueError, match="lacks"):
        load_model(written(trained, tmp_path, card))


@pytest.mark.parametrize("kind", ["missing", "shape", "nan"])
def test_weights_that_do_not_fit_are_refused(trained, kind, tmp_path):
    name = next(k for k in trained.tensors if k.startswith("average.") and k.endswith("weight"))
    tensors = dict(trained.tensors)
    if kind == "missing":
        del tensors[name]
    else:
        tensors[name] = torch.zeros(3) if kind == "shape" else tensors[name] * float("nan")
    told = "not finite" if kind == "nan" else "does not fit"
    with pytest.raises(ValueError, match=told):
        load_model(written(trained, tmp_path, tensors=tensors))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"averaged": None}, "how long"),
        ({"averaged": torch.zeros(2, dtype=torch.int64)}, "how long"),
        ({"rng.cpu": None}, "random numbers"),
        ({"rng.cpu": torch.zeros(7, dtype=torch.uint8)}, "none of torch's"),
        ({"rng.cuda": torch.zeros(16, dtype=torch.uint8)}, "'cuda'; 'cpu' given"),
        ({"optimizer.generator.0.exp_avg": torch.tensor(0.0)}, "want"),
        ({"optimizer.generator.0.exp_avg_sq": None}, "remembers"),
        ({"optimizer.generator.0.step": None}, "remembers"),
        ({"optimizer.generator.0.surprise": torch.tensor(0.0)}, "want"),
    ],
)
def test_a_state_that_training_cannot_go_on_with_is_refused(trained, changes, told):
    changed = {**trained.tensors, **changes}
    tensors = {name: one for name, one in changed.items() if one is not None}
    with pytest.raises(ValueError, match=told):
        Trainer("dcgan", tiny(), tiny_images()).restore(Checkpoint(trained.card, tensors))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn])
def test_tensors_of_types_that_numpy_has_not_are_checked_like_others(trained, dtype, tmp_path):
    name = next(k for k in trained.tensors if k.startswith("average.") and k.endswith("weight"))
    tensors = {**trained.tensors, name: trained.tensors[name].to(dtype)}
    path = written(trained, tmp_path, tensors=tensors)
    assert Checkpoint.load(path).tensors[name].dtype == dtype
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="changed"):
        Checkpoint.load(path)


@pytest.mark.parametrize(
    "name", ["optimizer.generator.999.exp_avg", "optimizer.generator.0.exp_avg"]
)
def test_memories_of_an_optimizer_that_do_not_fit_are_refused(trained, name):
    tensors = dict(trained.tensors) | {name: torch.zeros(1, 2, 3)}
    with pytest.raises(ValueError, match=r"remembers|checkpoint's"):
        Trainer("dcgan", tiny(), tiny_images()).restore(Checkpoint(trained.card, tensors))


def test_a_full_disk_leaves_the_old_checkpoint(trained, tmp_path, monkeypatch):
    import os

    path = written(trained, tmp_path)
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        trained.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [NAME]
