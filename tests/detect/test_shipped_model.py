"""The detector that ships: loads, says what it is, and its card and evaluation are of this file."""

import hashlib
import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from gandetect.detect import SHIPPED, cut_tiles, load_shipped
from gandetect.detect.metrics import ranking
from gandetect.detect.simulate import upsampled
from gandetect.screen import screen
from gandetect.screen.store import iter_rows

FILES = resources.files("gandetect.models")


@pytest.fixture(scope="module")
def model():
    return load_shipped()


def test_the_file_is_the_one_that_was_measured(model):
    assert model.sha256 == hashlib.sha256((FILES / SHIPPED).read_bytes()).hexdigest()
    assert (
        json.loads((FILES / "upsampling-v2.evaluation.json").read_text())["sha256"] == model.sha256
    )
    assert model.sha256 in (FILES / "upsampling-v2.md").read_text()
    documents = Path(__file__).resolve().parents[2] / "docs"
    assert json.loads((documents / "jpeg-transfer.json").read_text())["model"] == model.sha256
    for name in ("videos.json", "clips.json"):
        told = json.loads((documents / name).read_text())
        assert told["model"]["sha256"] == model.sha256


def test_the_card_quotes_every_measured_row(model):
    text = (FILES / "upsampling-v2.md").read_text()
    rows = json.loads((FILES / "upsampling-v2.evaluation.json").read_text())["rows"]
    assert {row["generator"] for row in rows} >= {"dcgan", "realesrgan", "waifu2x"}
    assert all("{:.3f} [{:.3f}, {:.3f}]".format(*row["auc"]) in text for row in rows)


def test_the_card_puts_each_count_of_names_under_its_name(model):
    lines = (FILES / "upsampling-v2.md").read_text().splitlines()
    (top,) = (i for i, line in enumerate(lines) if line.startswith("| made by |"))
    names = [cell.strip().removeprefix("named ") for cell in lines[top].split("|")[2:-1]]
    confusion = model.card["reference"]["held_out"]["confusion"]
    for line in lines[top + 2 : top + 2 + len(confusion)]:
        made, *counts = (cell.strip() for cell in line.split("|")[1:-1])
        assert dict(zip(names, map(int, counts), strict=True)) == confusion[made.split()[0]]


def test_it_names_its_photographs_and_their_licenses(model):
    photographs = model.card["photographs"]
    assert len(photographs) >= 80
    assert all(entry["license"] and len(entry["sha256"]) == 64 for entry in photographs)


def test_it_certifies_five_percent_and_says_what_it_cannot(model):
    thresholds = model.thresholds(0.05)
    assert thresholds.certified
    assert thresholds.n_real >= 59
    with pytest.raises(ValueError, match="certify no less than"):
        model.thresholds(0.001)


def test_photographs_that_were_blurred_or_enlarged_are_not_called_generated(
    photographs, model, tmp_path
):
    """They score as high as what smooth generators draw: it is their softness that keeps them."""
    scores = []
    for number, photograph in enumerate(photographs):
        picture = Image.fromarray(photograph().numpy().astype(np.uint8)[:256, :256])
        forms = {
            "blurred": picture.filter(ImageFilter.GaussianBlur(1.5)),
            "enlarged": picture.resize((512, 512), Image.Resampling.BICUBIC),
            "resized": picture.resize((384, 384), Image.Resampling.LANCZOS),
        }
        for name, form in forms.items():
            form.save(tmp_path / f"{name}{number}.png")
            form.save(tmp_path / f"{name}{number}.jpg", quality=85)
            scores.append(
                float(model.logits(cut_tiles(torch.from_numpy(np.array(form)), model.tile)).mean())
            )
    summary = screen([tmp_path], model=model, db=tmp_path / "run.sqlite", workers=0)
    rows = list(iter_rows(summary.db, summary.run, "file"))
    assert len(rows) == 6 * len(photographs)
    assert {row["verdict"] for row in rows} <= {"inconclusive", "real"}
    limit = model.class_thresholds(0.05)["lossless 128"].thresholds.generated
    assert sum(score > limit for score in scores) >= len(photographs)


def test_pixel_shuffle_scores_above_the_photograph(model, photographs):
    thresholds = model.thresholds(0.05)
    for number, photograph in enumerate(photographs):
        plane = photograph().float()[:256, :256]
        made = upsampled(plane, ("pixel_shuffle",) * 3, np.random.default_rng(number))
        real, generated = (
            float(model.logits(cut_tiles(image.clamp(0, 255).round(), model.tile)).mean())
            for image in (plane, made)
        )
        assert generated > max(real, thresholds.real)
        assert model.verdict(real, thresholds) != "generated"


def test_a_sample_of_a_generator_is_called_so_and_no_sample_photograph_is(tmp_path):
    media = Path(__file__).resolve().parents[2] / "examples" / "media"
    summary = screen([media], db=tmp_path / "run.sqlite", workers=0)
    rows = iter_rows(summary.db, summary.run, "file")
    found = {Path(row["path"]).name: row["verdict"] for row in rows}
    assert found["generated_messenger.png"] == "generated"
    reals = {name: verdict for name, verdict in found.items() if name.startswith("real_")}
    assert len(reals) >= 4
    assert "generated" not in reals.values()


@pytest.mark.parametrize("mode", ["nearest", "bed_of_nails", "pixel_shuffle", "transposed"])
def test_random_up_sampling_ranks_above_what_it_was_made_of(model, photographs, mode):
    reals, made = [], []
    for number, photograph in enumerate(photographs):
        plane = photograph().float()
        for seed, (y, x) in enumerate(((0, 0), (0, 128), (128, 0), (128, 128))):
            crop = plane[y : y + 128, x : x + 128]
            drawn = upsampled(crop, (mode,) * 2, np.random.default_rng([number, seed]))
            for image, scores in ((crop, reals), (drawn, made)):
                tiles = cut_tiles(image.clamp(0, 255).round(), model.tile)
                scores.append(float(model.logits(tiles).mean()))
    assert ranking([0] * len(reals) + [1] * len(made), [*reals, *made])["auc"].value >= 0.8
