"""The recipe of the shipped model and of its figures, on a few photographs and made-up scores."""

import hashlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from skimage import data

from gandetect.detect.autoencoders import train_autoencoder
from gandetect.detect.model import Model
from gandetect.detect.perturbations import named
from gandetect.detect.simulation.network import NetworkConfig
from gandetect.detect.tiles import MAX_TILES
from gandetect.media import read_rgb

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
SIDE = 224


@pytest.fixture
def recipes(monkeypatch):
    """The modules `shipped` and `evaluate_shipped`, small."""
    monkeypatch.syspath_prepend(str(RECIPES))
    import evaluate_shipped
    import shipped

    for name, value in {"PAIRS": 4, "HELD_OUT_PAIRS": 3, "LARGE_PAIRS": 2}.items():
        monkeypatch.setattr(shipped, name, value)
    monkeypatch.setattr(shipped, "LARGE_TILE", 192)
    monkeypatch.setattr(shipped, "LARGEST", SIDE)
    yield shipped, evaluate_shipped
    for name in ("classifiers", "seeds", "evaluate_shipped", "shipped", "third_party", "common"):
        sys.modules.pop(name, None)


def photographs(folder, pictures):
    """Crops of `pictures` as recipes/photographs.py leaves photographs."""
    folder.mkdir()
    entries = []
    for name, pixels in pictures:
        for number, (y, x) in enumerate(((0, 0), (30, 120), (60, 10))):
            path = folder / f"{name}{number}.png"
            Image.fromarray(pixels[y : y + SIDE, x : x + SIDE]).save(path)
            entries.append(
                {
                    "file": path.name,
                    "package": name,
                    "version": "1",
                    "license": "CC0",
                    "author": "nobody",
                    "group": path.stem,
                    "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                }
            )
    (folder / "manifest.json").write_text(json.dumps({"photographs": entries}))
    return folder


@pytest.fixture
def places(tmp_path):
    """Photographs, others held out, and one network trained on the former."""
    shown = [("astronaut", data.astronaut()), ("chelsea", data.chelsea())]
    kept = [("coffee", data.coffee()), ("rocket", data.rocket())]
    folders = [photographs(tmp_path / "shown", shown), photographs(tmp_path / "kept", kept)]
    config = NetworkConfig("superresolver", "transposed", (2,), width=8, blocks=1)
    network = train_autoencoder(
        [lambda: read_rgb(folders[0] / "chelsea0.png")], config, seed=3, steps=2
    )
    network.save(tmp_path / "networks")
    return (*folders, tmp_path / "networks")


def test_the_same_photographs_give_the_same_bytes(recipes, places, tmp_path):
    shipped, _ = recipes
    for name in ("first", "second"):
        shipped.train(*places).save(tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    model = Model.load(tmp_path / "first")
    assert not model.card["training"]["audit"]["leaks"]
    # Nothing held out is trained on, and every photograph is named.
    told = model.card["training"]["data"], model.card["judged"]["data"]
    assert [one["real"]["files"] for one in told] == [6, 6]
    assert told[0]["real"]["sha256"] != told[1]["real"]["sha256"]
    assert "512+" not in " ".join(model.card["calibration_classes"])
    assert any(name.endswith(" 128") for name in model.card["calibration_classes"])
    assert shipped.audit_told(model.card["training"]["audit"]).startswith("passed; AUC of metadata")


def test_large_tiles_are_of_other_crops_of_the_same_photographs(recipes, places):
    shipped, _ = recipes
    bank = shipped.load_bank(places[2])
    dataset = shipped.held_out_pairs(places[1], bank)
    by_tile = {tile: [s for s in dataset.samples if s.tile == tile] for tile in (128, 192)}
    assert len(by_tile[128]) > len(by_tile[192]) > 0
    groups = [{sample.group for sample in own} for own in by_tile.values()]
    assert groups[1] <= groups[0]
    assert len(dataset.hashes[0]) == 6
    assert max(len(sample.features) for sample in by_tile[192]) <= MAX_TILES
    assert len(dataset.rows) == len(dataset.samples)


def test_each_perturbation_is_measured_in_the_largest_region_that_it_leaves(
    recipes, places, monkeypatch, tmp_path
):
    shipped, evaluate_shipped = recipes
    model = shipped.train(*places)
    monkeypatch.setattr(evaluate_shipped, "GRID", named("none", "crop", "resize-0.5"))
    # Which so few photographs certify.
    monkeypatch.setattr(evaluate_shipped, "FPR", 0.5)
    for name, offset in (("real", 0), ("made", 7)):
        (tmp_path / name).mkdir()
        for number in range(4):
            pixels = data.coffee()[offset : offset + 128, 100 * number : 100 * number + 128]
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    about = {"generator": "none", "split": "test", "reals": "the same, reduced first"}
    found = evaluate_shipped.measured(model, tmp_path / "made", tmp_path / "real", about)
    regions = {row["perturbation"]: row["region"] for row in found["grid"]}
    assert regions == {"none": 128, "crop": 64, "resize-0.5": 64}
    assert found["data"]["images"] == [4, 4]


def test_a_certificate_holds_where_photographs_are_alike_and_shows_where_not(recipes):
    _, evaluate_shipped = recipes
    rng = np.random.default_rng(5)
    scores = rng.standard_normal(400)
    alone, packages = np.arange(400), np.arange(400) // 40
    found = evaluate_shipped._split_halves(scores, alone)
    assert found["splits"] == evaluate_shipped.SPLITS
    assert found["mean_flagged"] < 0.05
    # One of twenty, and as much again, the rate of the other half being one of chance, too.
    assert found["share_above"] < 0.1
    # Two packages of ten score higher than all others: a half without them certifies too much.
    shifted = scores + 4 * (packages < 2)
    unlike = evaluate_shipped._split_halves(shifted, packages)
    assert unlike["share_above"] > 0.15
    # On average the rate is met, not in nineteen of twenty splits.
    average = evaluate_shipped._split_halves(scores, alone, confidence=None)
    assert average["mean_flagged"] == pytest.approx(0.05, abs=0.01)
    assert average["share_above"] > 0.3


def row(generator, auc, flagged, **changes):
    told = {"real_flagged": [flagged / 2], "generated_flagged": [flagged]}
    return {
        "generator": generator,
        "reals": "the same, reduced first",
        "split": "test",
        "region": 128,
        "perturbation": "none",
        "auc": [auc],
        "tpr_at_0.01": [0.1],
        "tpr_at_0.05": [0.2],
        "calibration_error": 0.3,
        "at_threshold": told,
        **told,
        **changes,
    }


def test_summaries_are_means_and_the_worst(recipes):
    _, evaluate_shipped = recipes
    rows = [row("a", 0.9, 0.4), row("b", 0.6, 0.2), row("b", 0.5, 0.0, perturbation="blur-1")]
    first, second = evaluate_shipped.robustness(rows)
    assert (first["perturbation"], first["generators"], first["worst"]) == ("none", 2, "b")
    assert first["mean_auc"] == pytest.approx(0.75)
    assert first["mean_generated_flagged"] == pytest.approx(0.3)
    assert (second["perturbation"], second["worst_auc"]) == ("blur-1", 0.5)
    lines = evaluate_shipped.summary(rows)
    (plain,) = [line for line in lines if line["delivery"] == "none"]
    assert (plain["mean_auc"], plain["worst"]) == (pytest.approx(0.75), "b")
    assert plain["mean_real_flagged"] == pytest.approx(0.15)


def test_seeds_give_other_models_that_are_measured_as_the_card_is(
    recipes, places, monkeypatch, tmp_path
):
    _, evaluate_shipped = recipes
    import seeds

    monkeypatch.setattr(seeds, "processors", lambda: 0)
    first, second = (seeds.made(seed, places, tmp_path / "models") for seed in (1, 2))
    assert first.sha256 != second.sha256
    # Made once, and anew where anything it was made of is another.
    monkeypatch.setattr(seeds, "train", None)
    assert seeds.made(1, places, tmp_path / "models").sha256 == first.sha256
    assert not seeds.is_of(first, (places[1], places[0], places[2]))

    crops = data.coffee()[:128, :512].reshape(128, 4, 128, 3).swapaxes(0, 1)
    for name in ("made", "real"):
        (tmp_path / name).mkdir()
    for number, pixels in enumerate(crops):
        large = Image.fromarray(pixels[:64, :64]).resize((128, 128), Image.Resampling.NEAREST)
        large.save(tmp_path / "made" / f"{number}.png")
        Image.fromarray(pixels).save(tmp_path / "real" / f"{number}.png")
    about = {"generator": "one", "split": "test", "reals": "the same, reduced first"}
    native = {**about, "reals": "crops of photographs"}
    places = tmp_path / "made", tmp_path / "real"
    monkeypatch.setattr(evaluate_shipped, "FPR", 0.5)
    sets = [(*places, about), (*places, native)]
    found = seeds.measured(first, tmp_path, lambda folder: sets)
    card = evaluate_shipped.measured(first, *places, about)["rows"]
    wanted = {row["perturbation"]: row["auc"][0] for row in card if row["region"] == 128}
    assert found == {"one": {"test": 1.0, **wanted}}


def test_classifiers_share_their_fakes_and_are_made_once(recipes, places, monkeypatch, tmp_path):
    import classifiers

    monkeypatch.setattr(classifiers, "TILE", 64)
    photographs, held_out, networks = places
    how = {"photographs": photographs, "held_out": held_out, "networks": networks}
    args = SimpleNamespace(**how, models=tmp_path, pairs=3, workers=0)
    assert classifiers.sharing_features(("logistic", "dct", "kmeans")) == [
        ["logistic", "kmeans"],
        ["dct"],
    ]
    found = classifiers.made(["logistic", "kmeans"], args)
    assert [model.card["classifier"] for model in found.values()] == ["logistic", "kmeans"]
    first, second = (model.card for model in found.values())
    assert first["training"]["data"] == second["training"]["data"]
    assert first["judged"]["on"] == "held-out images"

    monkeypatch.setattr(classifiers, "simulated", None)
    again = classifiers.made(["logistic", "kmeans"], args)
    assert [one.sha256 for one in again.values()] == [one.sha256 for one in found.values()]
    args.out = tmp_path / "report.json"
    assert classifiers.known(args) == {}
    args.out.write_text(json.dumps({**classifiers.pairs_of(args), "classifiers": {"dct": {}}}))
    assert classifiers.known(args) == {"dct": {}}
    args.pairs = 4
    assert classifiers.known(args) == {}
    with pytest.raises(TypeError):
        classifiers.made(["logistic"], args)


def test_summaries_of_seeds(recipes):
    import seeds

    def one(test, other):
        rest = dict.fromkeys(seeds.DELIVERIES, 0.5)
        return {"a": {"test": 1.0, **rest, "none": test}, "b": {"test": 0.0, **rest, "none": other}}

    found = seeds.summary([one(0.9, 0.7), one(0.8, 0.4)])
    assert found["test"]["mean none"] == {
        "mean": pytest.approx(0.85),
        "deviation": pytest.approx(0.1 / 2**0.5),
        "least": 0.8,
        "most": 0.9,
    }
    assert found["all"]["worst none"]["mean"] == pytest.approx(0.55)
    assert found["all"]["mean jpeg-90"]["deviation"] == 0
