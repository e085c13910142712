"""Models that mark edits and find warps: from photographs to a file that screens."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from skimage import data

from gandetect.cli.fit import command as fit_command
from gandetect.cli.screen import command as screen_command
from gandetect.detect import Model, map_training
from gandetect.detect.classifiers import MAPS, fit_classifier
from gandetect.detect.edits import KINDS
from gandetect.detect.map_training import Source, fit_maps, load_photographs, split_sources
from gandetect.detect.maps import maps
from gandetect.detect.networks import streaming
from gandetect.detect.networks.streaming import Steps
from gandetect.report.explain import explain
from gandetect.report.explain_show import explanation_page, explanation_png

TILE = 48
FEW = Steps(count=2, batch=4)
PICTURES = ("camera", "coins", "grass", "brick", "gravel", "moon", "page")


@pytest.fixture(scope="module", autouse=True)
def few_examples():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "POOL", 8)
        patch.setattr(map_training, "JUDGED", 60)
        yield


@pytest.fixture(scope="module")
def sources():
    planes = {name: torch.from_numpy(getattr(data, name)().copy()) for name in PICTURES}
    return [Source(name, partial(torch.clone, plane), name) for name, plane in planes.items()]


@pytest.fixture(scope="module")
def folder(sources, tmp_path_factory):
    root = tmp_path_factory.mktemp("photographs")
    for source in sources:
        Image.fromarray(source.load().numpy()).save(root / f"{source.name}.png")
    return root


@pytest.fixture(scope="module", params=MAPS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def fitted(kind, sources):
    return fit_maps(kind, sources, name=f"a-{kind}", tile=TILE, seed=1, steps=FEW)


@pytest.fixture(scope="module")
def tiles(sources):
    return torch.stack([source.load()[40 : 40 + TILE, 40 : 40 + TILE] for source in sources])


def run(*arguments, **options):
    given = [f"--{name}={value}" for name, value in options.items()]
    return CliRunner().invoke(fit_command, [*given, *arguments, "--json"])


def test_held_out_photographs_are_not_trained_on(kind, sources, monkeypatch):
    """Until the network is trained only its own photographs are read, then only the others."""
    read = []

    def noted(source):
        read.append(source.name)
        return source.load()

    trainers = {}

    def train(photographs, **options):
        network = trainers[kind](photographs, **options)
        read.append("trained")
        return network

    trainers.update(map_training._TRAINERS)
    monkeypatch.setitem(map_training._TRAINERS, kind, train)
    watched = [Source(s.name, partial(noted, s), s.sha256) for s in sources]
    fit_maps(kind, watched, name="watched", tile=TILE, steps=FEW)
    taught, kept = split_sources(sources, seed=0)
    end = read.index("trained")
    assert set(read[:end]) == {source.name for source in taught}
    assert set(read[end + 1 :]) == {source.name for source in kept}


def test_photographs_of_one_name_stay_together(sources):
    twins = [*sources, *(Source(s.name, s.load, "twin") for s in sources)]
    taught, kept = split_sources(twins, seed=0)
    assert len(kept) == 8
    assert not {source.name for source in taught} & {source.name for source in kept}


def test_a_fit_is_the_same_every_time(kind, sources, fitted):
    again = fit_maps(kind, sources, name=f"a-{kind}", tile=TILE, seed=1, steps=FEW)
    assert again.model.to_bytes() == fitted.model.to_bytes()


def test_groups_of_edits_share_no_photograph(sources):
    _, kept = split_sources(sources, seed=0)
    questions = list(map_training.questions("mask", kept, TILE))
    groups = {question.group for question in questions}
    members = [name for group in groups for name in group.split(" + ")]
    assert sorted(members) == sorted(source.name for source in kept)
    first, second = ([q.kind for q in questions if q.group == group] for group in groups)
    assert first != second


def test_the_card_says_what_was_taught_and_found(kind, fitted):
    card = fitted.model.card
    taught, found = card["maps"]["taught"], card["maps"]["found"]
    assert sum(taught["kinds"].values()) == pytest.approx(1.0)
    assert taught["examples"] == 8
    assert sum(entry["images"] for entry in found.values()) == sum(
        card["judged"]["images"].values()
    )
    assert card["judged"]["on"] == "held-out images"
    assert card["training"]["images"] == {"real": 3, "generated": 0}
    low, high = fitted.auc.low, fitted.auc.high
    assert low <= card["judged"]["auc"][0] <= high
    if kind == "mask":
        assert set(found) <= set(KINDS)
        assert all(0 <= entry["iou"] <= 1 for name, entry in found.items() if name != "photograph")
    else:
        assert found["untouched"]["end_point_error_of_no_flow"] < 0.01
        assert found["warped"]["end_point_error_of_no_flow"] > 0.1


def test_the_findings_of_a_perfect_mask():
    mask = torch.zeros(2, 8, 8, dtype=torch.bool)
    mask[1, :4] = True
    questions = [
        map_training.Question(torch.zeros(8, 8), mask[0], 0, "photograph", "a", None),
        map_training.Question(torch.zeros(8, 8), mask[1], 1, "splice", "a", None),
    ]
    scores = np.array([-1.0, 1.0])
    perfect = map_training.findings("mask", questions, scores, mask.float())
    assert [perfect["splice"][name] for name in ("iou", "f1", "pixel_auc")] == [1.0, 1.0, 1.0]
    assert perfect["photograph"]["marked"] == 0.0
    everything = map_training.findings("mask", questions, scores, torch.ones(2, 8, 8))
    assert everything["splice"]["iou"] == 0.5
    assert everything["splice"]["f1"] == pytest.approx(2 / 3)
    assert everything["splice"]["pixel_auc"] == 0.5
    assert everything["photograph"]["marked"] == 1.0
    whole = [replace(question, truth=torch.ones(8, 8, dtype=torch.bool)) for question in questions]
    found = map_training.findings("mask", whole, scores, torch.ones(2, 8, 8))
    assert found["splice"]["pixel_auc"] is None


def test_maps_come_from_the_file(kind, fitted, tiles, tmp_path):
    fitted.model.save(tmp_path / "model.safetensors")
    model = Model.load(tmp_path / "model.safetensors")
    found = maps(model, tiles)
    assert torch.equal(found, maps(fitted.model, tiles))
    if kind == "mask":
        assert found.shape == tiles.shape
        assert 0 <= float(found.min()) < float(found.max()) <= 1
    else:
        assert found.shape == (len(tiles), 2, TILE, TILE)


def test_an_explanation_lays_the_map_over_the_picture(kind, fitted, folder):
    one = explain(str(folder / "coins.png"), model=fitted.model, fpr=0.9)
    picture = torch.from_numpy(one.picture)
    values = one.pixel_map.values
    assert values.shape == picture.shape
    tile = one.tiles[1]
    square = (slice(tile.top, tile.top + TILE), slice(tile.left, tile.left + TILE))
    wanted = maps(fitted.model, picture[square][None])
    wanted = wanted[0] if kind == "mask" else wanted[0].norm(dim=0)
    assert np.allclose(values[square], wanted.numpy())
    covered = np.zeros(picture.shape, bool)
    for tile in one.tiles:
        covered[tile.top : tile.top + TILE, tile.left : tile.left + TILE] = True
    assert (np.isnan(values) == ~covered).all()
    assert explanation_png(one).startswith(b"\x89PNG")
    assert "What the network says of each pixel" in explanation_page(one)


def test_only_maps_have_maps(linear_model, tiles):
    with pytest.raises(ValueError, match="no map of pixels"):
        maps(linear_model, tiles)


def test_fit_goes_through_a_file_and_screens(kind, folder, tmp_path):
    path = tmp_path / "model.safetensors"
    result = run("--simulate", real=folder, classifier=kind, steps=2, tile=TILE, output=path)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["maps"]["taught"]["examples"] == 32
    rows = tmp_path / "rows.jsonl"
    # So few photographs certify no less.
    arguments = [f"--model={path}", f"--out={rows}", f"--db={tmp_path / 'run'}", "--fpr=0.9"]
    screened = CliRunner().invoke(screen_command, [str(folder), *arguments])
    assert rows.exists(), screened.output
    found = [json.loads(line) for line in rows.read_text().splitlines()]
    logits = {Path(row["path"]).stem: row["logit"] for row in found if row["kind"] == "file"}
    assert set(logits) == set(PICTURES)
    assert all(np.isfinite(logit) for logit in logits.values())


def test_folders_of_fakes_are_refused(kind, folder, tmp_path):
    options = {"real": folder, "classifier": kind, "output": tmp_path / "model"}
    for result in (run("--simulate", generated=folder, **options), run(**options)):
        assert result.exit_code == 2
        assert "learns from edits made of the photographs" in result.stderr


def test_steps_are_for_maps_alone(folder, tmp_path):
    result = run("--simulate", real=folder, steps=5, output=tmp_path / "model")
    assert result.exit_code == 2
    assert "--steps" in result.stderr


def test_too_few_photographs_are_refused(kind, sources):
    with pytest.raises(ValueError, match="5 photographs can be used; want at least 6"):
        fit_maps(kind, sources[:5], name="few", tile=TILE, steps=FEW)


def test_a_tile_that_no_network_can_halve_is_refused(kind, sources):
    with pytest.raises(ValueError, match="tiles of 50 pixels given; want a multiple of 8"):
        fit_maps(kind, sources, name="odd", tile=50, steps=FEW)


def test_fit_prints_what_it_found_by_kind(kind, folder, tmp_path):
    arguments = ["--simulate", f"--real={folder}", f"--classifier={kind}", "--steps=1"]
    arguments += [f"--tile={TILE}", f"--output={tmp_path / 'model'}"]
    result = CliRunner().invoke(fit_command, arguments)
    assert result.exit_code == 0, result.output
    assert "held-out: " + {"mask": "photograph", "warp": "warped"}[kind] in result.stdout
    assert "16 images made of them" in result.stdout


def test_small_photographs_are_noted(folder):
    found, failed = load_photographs("warp", folder, 300)
    assert "coins" not in [source.name for source in found]
    assert any("coins.png" in path for path in failed)
    assert len(found) + len(failed) == len(PICTURES)


def test_labels_teach_no_map(kind, tiles):
    with pytest.raises(ValueError, match="fit_maps"):
        fit_classifier(kind, tiles.numpy(), np.arange(len(tiles)) % 2)
