"""Drawn files: shards and killed runs give together, byte for byte, what one run gives."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from trained_runs import conditional_run, contents, tiny_run

from gandetect.gans import generation, load_model, sample
from gandetect.gans.generation import Writing, generate, read_facts

COUNT = 70


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tiny_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def whole(run, tmp_path_factory):
    """What one run writes."""
    folder = tmp_path_factory.mktemp("whole")
    generate(run, folder, COUNT, seed=5)
    return contents(folder)


def test_files_hold_the_images_of_their_seed_and_number(run, whole, tmp_path):
    assert len(whole) == COUNT + 1
    images = sample(load_model(run), COUNT, seed=5)
    generate(run, tmp_path, COUNT, seed=5)
    for number, image in enumerate(images):
        with Image.open(tmp_path / f"seed5-{number:08d}.png") as picture:
            assert torch.equal(torch.from_numpy(np.array(picture)).permute(2, 0, 1), image)


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_shards_give_together_what_one_run_gives(parts, run, whole, tmp_path):
    made = []
    for part in range(parts, 0, -1):
        made.append(generate(run, tmp_path, COUNT, seed=5, shard=(part, parts)).made)
    assert sum(made) == COUNT
    assert contents(tmp_path) == whole


def test_shards_on_machines_of_their_own_are_disjoint(run, whole, tmp_path):
    found = {}
    for part in (1, 2):
        generate(run, tmp_path / str(part), COUNT, seed=5, shard=(part, 2))
        mine = contents(tmp_path / str(part))
        assert set(mine) & set(found) <= {generation.LISTING}
        assert all(found[name] == data for name, data in mine.items() if name in found)
        found |= mine
    assert found == whole


def test_a_run_that_failed_goes_on(run, whole, tmp_path, monkeypatch):
    put, written = generation._put, []

    def dying(path, data):
        if len(written) == 40:
            raise OSError("no space left on device")
        written.append(path)
        put(path, data)

    with monkeypatch.context() as patched:
        patched.setattr(generation, "_put", dying)
        with pytest.raises(OSError, match="no space"):
            generate(run, tmp_path, COUNT, seed=5)
    before = {path: path.stat().st_mtime_ns for path in written}
    again = generate(run, tmp_path, COUNT, seed=5)
    assert (again.made, again.kept) == (COUNT - 40, 40)
    assert {path: path.stat().st_mtime_ns for path in written} == before
    assert contents(tmp_path) == whole


def test_a_run_that_was_killed_goes_on(run, tmp_path):
    count = 3000
    code = f"from gandetect.gans.generation import generate; generate({str(run)!r}, %r, {count})"
    folder = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-c", code % str(folder)])
    while not folder.exists() or len(os.listdir(folder)) < 20:
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    survived = len(list(folder.glob("*.png")))
    assert 0 < survived < count
    # Fewer than all: a test need not draw what the killed run would have.
    count = survived + 40
    generate(run, folder, count)
    generate(run, tmp_path / "whole", count)
    killed, whole = contents(folder), contents(tmp_path / "whole")
    killed.pop(generation.LISTING)
    whole.pop(generation.LISTING)
    assert killed == whole


@pytest.mark.parametrize("metadata", [True, False])
def test_a_damaged_file_is_made_again(metadata, run, tmp_path):
    writing = Writing(metadata=metadata)
    generate(run, tmp_path, 40, writing=writing)
    wanted = contents(tmp_path)
    names = sorted(wanted)[1:4]
    (tmp_path / names[0]).write_bytes(wanted[names[0]][:-30])
    (tmp_path / names[1]).write_bytes(b"")
    (tmp_path / names[2]).unlink()
    again = generate(run, tmp_path, 40, writing=writing)
    assert (again.made, again.kept) == (3, 37)
    assert contents(tmp_path) == wanted


def test_more_images_add_to_those_that_are_there(run, whole, tmp_path):
    generate(run, tmp_path, 10, seed=5)
    assert generate(run, tmp_path, COUNT, seed=5).kept == 10
    assert contents(tmp_path) == whole
    # Fewer leave them.
    assert generate(run, tmp_path, 10, seed=5).made == 0
    assert contents(tmp_path) == whole


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seed": 6}, "another files, seed"),
        ({"writing": Writing("jpeg")}, "another files, format, quality"),
        ({"writing": Writing(metadata=False)}, "another metadata"),
    ],
)
def test_a_folder_with_other_images_is_refused(change, told, run, tmp_path):
    generate(run, tmp_path, 2, seed=5)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=told):
        generate(run, tmp_path, 2, **{"seed": 5, **change})
    assert contents(tmp_path) == before


def test_images_of_another_checkpoint_are_refused(run, tmp_path):
    generate(run, tmp_path / "samples", 2)
    other = tiny_run(tmp_path / "run", latent=5)
    with pytest.raises(ValueError, match="another checkpoint_sha256, config"):
        generate(other, tmp_path / "samples", 2)
    (tmp_path / "samples" / generation.LISTING).write_text("[]")
    with pytest.raises(ValueError, match="not written by gandetect"):
        generate(run, tmp_path / "samples", 2)


@pytest.mark.parametrize(("kind", "name"), [("png", "png"), ("jpeg", "jpg"), ("webp", "webp")])
def test_every_format_says_what_an_image_is(kind, name, run, tmp_path):
    made = generate(run, tmp_path, 3, seed=7, writing=Writing(kind, 80))
    facts = read_facts(tmp_path / f"seed7-00000002.{name}")
    assert facts == {
        "model": "dcgan",
        "checkpoint_sha256": made.checkpoint_sha256,
        "seed": 7,
        "number": 2,
    }
    assert generate(run, tmp_path, 3, seed=7, writing=Writing(kind, 80)).made == 0


def test_jpeg_has_the_quality_that_was_asked_for(run, tmp_path):
    generate(run, tmp_path / "samples", 1, writing=Writing("jpeg", 71))
    Image.new("RGB", (8, 8)).save(tmp_path / "pillow.jpg", quality=71)
    with (
        Image.open(tmp_path / "samples" / "seed0-00000000.jpg") as found,
        Image.open(tmp_path / "pillow.jpg") as wanted,
    ):
        assert found.quantization == wanted.quantization


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_plain_files_say_nothing(kind, run, tmp_path):
    generate(run, tmp_path, 2, writing=Writing(kind, metadata=False))
    for path in tmp_path.glob("seed*"):
        data = path.read_bytes()
        assert read_facts(path) is None
        assert b"gandetect" not in data
        assert b"dcgan" not in data


def test_gray_models_give_gray_files(tmp_path):
    run = tiny_run(tmp_path / "run", channels=1)
    generate(run, tmp_path / "samples", 1)
    with Image.open(tmp_path / "samples" / "seed0-00000000.png") as picture:
        assert (picture.mode, picture.size) == ("L", (8, 8))


def test_classes_come_in_turn_or_as_asked(tmp_path):
    run = conditional_run(tmp_path / "run")
    asked = {"turn": None, "one": [2], "two": [0, 2]}
    found = {}
    for name, labels in asked.items():
        generate(run, tmp_path / name, 40, labels=labels)
        files = sorted((tmp_path / name).glob("*.png"))
        found[name] = [read_facts(path)["label"] for path in files]
        model = load_model(run)
        wanted = sample(model, 40, labels=torch.tensor(found[name]))
        for path, image in zip(files, wanted, strict=True):
            with Image.open(path) as picture:
                assert torch.equal(torch.from_numpy(np.array(picture)).permute(2, 0, 1), image)
    assert found["turn"] == [number % 3 for number in range(40)]
    assert found["one"] == [2] * 40
    assert found["two"] == [0, 2] * 20


def test_classes_that_are_not_there_are_refused(run, tmp_path):
    with pytest.raises(ValueError, match="trained without classes"):
        generate(run, tmp_path / "samples", 1, labels=[1])
    with pytest.raises(ValueError, match="has 0 to 2"):
        generate(conditional_run(tmp_path / "run"), tmp_path / "samples", 1, labels=[3])
    assert not (tmp_path / "samples").exists()


@pytest.mark.parametrize(
    "wrong", [{"count": 0}, {"shard": (0, 2)}, {"shard": (3, 2)}, {"seed": -1}]
)
def test_what_cannot_be_is_refused(wrong, run, tmp_path):
    with pytest.raises(ValueError, match="want at least 1 image"):
        generate(run, tmp_path / "samples", **{"count": 1, **wrong})
    for given in ({"format": "gif"}, {"quality": 0}, {"quality": 101}):
        with pytest.raises(ValueError, match=next(iter(given))):
            Writing(**given)


def test_the_grid_shows_the_first_images(run, tmp_path):
    generate(run, tmp_path / "samples", 3, seed=5, shard=(2, 2), grid=tmp_path / "sheet.png")
    images = sample(load_model(run), 3, seed=5)
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = torch.from_numpy(np.array(sheet)).permute(2, 0, 1)
    for number, image in enumerate(images):
        assert torch.equal(pixels[:, :8, 9 * number : 9 * number + 8], image)
