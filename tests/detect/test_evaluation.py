"""Scoring images in regions and after perturbations, and the tables made of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gandetect.detect import Model, evaluation
from gandetect.detect.calibration import group_scores, scores_to_arrays
from gandetect.detect.evaluation import (
    DELIVERIES,
    POOLED,
    Item,
    Scored,
    drawn_curves,
    folder_items,
    main_region,
    pooled,
    reencoding_control,
    score_items,
    tabulate,
)
from gandetect.detect.perturbations import GRID, ORIGINAL, Perturbation, named
from gandetect.detect.tiles import cut_tiles


def write(folder: Path, images: np.ndarray) -> Path:
    folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder


def scored(label: int, source: str, **cells: float | None) -> Scored:
    """An image with these logits by perturbation, in tiles of 64 pixels."""
    values = {
        (64, name): None if logit is None else (logit, 1 / (1 + float(np.exp(-logit))))
        for name, logit in cells.items()
    }
    return Scored(Item(Path(source), label, source), values, {})


def test_every_cell_is_the_mean_logit_of_the_perturbed_tiles(linear_model, tmp_path):
    image = np.tile(np.random.default_rng(0).integers(0, 256, (150, 200), np.uint8), (1, 1))
    items = folder_items(write(tmp_path / "real", image[None]), 0)
    steps = named("none", "jpeg-50", "resize-0.5", "crf-35")
    (one,), failed = score_items(items, lambda item: linear_model, perturbations=steps)
    assert not failed
    # Half of 150 x 200 holds no tile of 128.
    assert set(one.cells) == {
        (region, step.name) for step in steps for region in (64, 128, None)
    } - {(128, "resize-0.5")}
    for step in steps:
        plane = step.apply(torch.from_numpy(image))
        whole = min(plane.shape) // 2 * 2
        for region in (64, None):
            tiles = cut_tiles(plane, region or whole)
            logit = float(linear_model.logits(tiles).mean())
            assert one.cells[region, step.name][0] == logit
            assert one.cells[region, step.name][1] == float(linear_model.probability(logit))


def test_a_file_is_decoded_once_and_perturbed_once_for_all_regions(
    linear_model, tmp_path, real_images, monkeypatch
):
    calls = {"read": 0, "apply": 0}

    def counted(name, function):
        def call(*arguments):
            calls[name] += 1
            return function(*arguments)

        return call

    monkeypatch.setattr(evaluation, "read_luma", counted("read", evaluation.read_luma))
    steps = [ORIGINAL, *(Perturbation(s.name, counted("apply", s.apply)) for s in DELIVERIES[1:])]
    large = np.tile(real_images[:3], (1, 3, 3))
    items = folder_items(write(tmp_path / "real", large), 0)
    found, _ = score_items(items, lambda item: linear_model, perturbations=steps)
    assert len(found[0].cells) == 9
    assert calls == {"read": 3, "apply": 3 * 2}


def test_the_whole_grid_can_be_scored(linear_model, tmp_path, real_images):
    items = folder_items(write(tmp_path / "real", np.tile(real_images[:1], (1, 2, 2))), 0)
    (one,), failed = score_items(
        items, lambda item: linear_model, regions=(64, None), perturbations=GRID
    )
    assert not failed
    assert {name for _, name in one.cells} == {step.name for step in GRID}
    assert np.isfinite([value for value in one.cells.values()]).all()


def test_a_flat_image_fails_and_one_made_flat_is_left_out_of_that_row(
    linear_model, tmp_path, real_images
):
    flat = Perturbation("flat", lambda plane: torch.full_like(plane, 7))
    folder = write(tmp_path / "real", real_images[:2])
    Image.new("L", (64, 64), 9).save(folder / "flat.png")
    found, failed = score_items(
        folder_items(folder, 0), lambda item: linear_model, perturbations=[ORIGINAL, flat]
    )
    assert list(failed) == [str(folder / "flat.png")]
    assert "flat" in failed[str(folder / "flat.png")]
    assert all(one.cells[64, "flat"] is None and one.cells[64, "none"] for one in found)


def test_rows_count_only_the_images_that_were_judged():
    real = [scored(0, f"r{i}", none=float(i), blur=-1.0 if i else None) for i in range(5)]
    made = [scored(1, f"g{i}", none=i + 2.0, blur=1.0) for i in range(4)]
    rows = tabulate(real, {"a": made}, None, replicates=20)
    counts = {row["perturbation"]: (row["n_real"], row["n_generated"]) for row in rows}
    assert counts == {"none": (5, 4), "blur": (4, 4)}


def test_a_region_that_one_image_lacks_is_left_out():
    real = [scored(0, f"r{i}", none=float(i), blur=-1.0) for i in range(5)]
    made = [scored(1, f"g{i}", none=i + 2.0) for i in range(4)]
    rows = tabulate(real, {"a": made}, None, replicates=20)
    assert [row["perturbation"] for row in rows] == ["none"]


def test_pooling_hides_a_hard_generator_and_so_stands_beside_it():
    rng = np.random.default_rng(0)
    real = [scored(0, f"r{i}", none=x) for i, x in enumerate(rng.normal(0, 1, 60))]
    made = {
        "easy": [scored(1, f"e{i}", none=x) for i, x in enumerate(rng.normal(6, 1, 60))],
        "hard": [scored(1, f"h{i}", none=x) for i, x in enumerate(rng.normal(0, 1, 6))],
    }
    auc = {row["generator"]: row["auc"][0] for row in tabulate(real, made, None, replicates=20)}
    (together,) = tabulate(real, pooled(made), None, replicates=20)
    assert auc["hard"] < 0.7
    assert together["auc"][0] > 0.9
    assert together["generator"] == POOLED
    assert together["n_generated"] == 66


def test_main_region_prefers_the_tile_of_the_model_and_only_what_all_have():
    def rows(*places):
        return [{"generator": g, "region": r, "perturbation": "none"} for g, r in places]

    assert main_region(rows(("a", 64), ("a", 128), ("a", "whole")), 128) == 128
    assert main_region(rows(("a", 64), ("a", 128), ("b", 64), ("b", "whole")), 128) == 64
    assert main_region(rows(("a", 64), ("a", "whole"), ("b", "whole")), 128) == "whole"
    assert main_region(rows(("a", 64), ("b", "whole")), 128) is None
    assert main_region([], 128) is None


def test_curves_are_of_the_untouched_images():
    real = [scored(0, f"r{i}", none=float(i), blur=9.0) for i in range(5)]
    made = [scored(1, f"g{i}", none=i + 10.0, blur=-9.0) for i in range(4)]
    one = drawn_curves(real, {"a": made}, 64)["a"]
    assert one["roc"][-1] == [1, 1]
    assert [0, 1] in one["roc"]
    assert json.loads(json.dumps(one)) == one
    assert sum(share for _, _, share in one["reliability"]) == pytest.approx(1)


def test_sources_come_from_the_manifest(tmp_path, real_images):
    folder = write(tmp_path / "made", real_images[:2])
    manifest = [{"file": "sub/0.png", "source": "photo.jpg"}]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert [item.source for item in folder_items(folder, 1)] == ["photo.jpg", "1"]


def with_classes(model, real_of):
    """`model` with a hundred reals about each value of `real_of`, by class."""
    values, labels, names = [], [], []
    for name, center in real_of.items():
        values += [*(np.linspace(-0.1, 0.1, 100) + center), *np.linspace(-9, 9, 100)]
        labels += [0] * 100 + [1] * 100
        names += [name] * 200
    arrays = scores_to_arrays(group_scores(values, labels, names))
    extra = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return Model({**model.arrays, **extra}, model.card)


def test_a_cell_knows_its_class(linear_model, tmp_path):
    model = with_classes(linear_model, {"lossless 64": 0.0})
    image = np.random.default_rng(1).integers(0, 256, (150, 200), np.uint8)
    steps = named("none", "jpeg-95", "jpeg-75", "hard", "crf-35", "resize-0.75", "q50+blur2")
    items = folder_items(write(tmp_path / "real", image[None]), 0)
    (one,), _ = score_items(items, lambda item: model, perturbations=steps)
    assert set(one.classes) == set(one.cells)
    assert {step.name: one.classes[64, step.name] for step in steps} == {
        "none": "lossless 64",
        "jpeg-95": "JPEG high 64",
        "jpeg-75": "JPEG mid 64",
        "hard": "JPEG low 64",
        "crf-35": "JPEG low 64",
        "resize-0.75": "lossless 64",
        "q50+blur2": "soft 64",
    }
    assert one.classes[128, "none"] == one.classes[None, "none"] == "lossless 128"


def test_a_file_that_hides_a_jpeg_is_of_its_class(linear_model, tmp_path):
    image = np.random.default_rng(0).integers(90, 160, (150, 200), np.uint8)
    hidden = named("jpeg-50")[0].apply(torch.from_numpy(image)).numpy()
    items = folder_items(write(tmp_path / "real", hidden[None]), 0)
    model = with_classes(linear_model, {"lossless 64": 0.0})
    (one,), _ = score_items(items, lambda item: model, perturbations=[ORIGINAL])
    assert one.classes[64, "none"] == "JPEG low 64"
    (plain,), _ = score_items(items, lambda item: linear_model, perturbations=[ORIGINAL])
    assert plain.classes == {}


def test_each_image_is_judged_by_the_thresholds_of_its_class(linear_model):
    """Four reals and four generated images that score 1, two of each of a class whose reals do."""
    model = with_classes(linear_model, {"lossless 64": 0.0, "JPEG low 64": 1.0})
    images = [
        replace(
            scored(label, f"{label}{i}", none=1.05),
            classes={(64, "none"): "JPEG low 64" if i % 2 else "lossless 64"},
        )
        for label in (0, 1)
        for i in range(4)
    ]
    limits = model.thresholds(0.05, certify=False)

    def flagged(**options):
        (row,) = tabulate(images[:4], {"g": images[4:]}, limits, replicates=20, **options)
        return [row["at_threshold"][f"{name}_flagged"][0] for name in ("real", "generated")]

    assert flagged(classes=model.class_thresholds(0.05)) == [0.5, 0.5]
    expected = float(limits.generated < 1.05)
    assert flagged() == [expected, expected]


def delivered(name: str, region: int, auc: list[float]) -> dict[str, object]:
    return {"generator": "a", "perturbation": name, "region": region, "auc": auc}


def test_re_encoding_alike_convicts_files_whose_figures_it_takes_away() -> None:
    of_files, other = delivered("none", 64, [0.99, 0.97, 1.0]), delivered("jpeg-90", 128, [0.9] * 3)
    fallen = [of_files, delivered("jpeg-90", 64, [0.53, 0.44, 0.61]), other]
    told = reencoding_control(fallen, "a", 64)
    assert told.endswith(
        "0.53 [0.44, 0.61], for 0.99 [0.97, 1.00]: all of it may have been the files."
    )
    kept = reencoding_control([of_files, delivered("jpeg-90", 64, [0.9, 0.8, 0.95])], "a", 64)
    assert kept.endswith("is 0.90 [0.80, 0.95], for 0.99 [0.97, 1.00].")
    assert reencoding_control([of_files, other], "a", 64) == ""
    assert reencoding_control(fallen, "b", 64) == ""
