"""Verdicts by class of delivery: the right thresholds for each file, and rates that hold."""

from __future__ import annotations

import dataclasses
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from making_corpus import make_model
from making_media import noise, write_clip, write_video
from making_results import ask
from PIL import Image
from torch import Tensor

from gandetect.cli.info import command as info
from gandetect.cli.screen import command as screen_command
from gandetect.detect import Model, load_shipped
from gandetect.detect.calibration import (
    GENERATED_ARRAY,
    REAL_ARRAY,
    ClassScores,
    group_scores,
    scores_to_arrays,
)
from gandetect.screen import Summary, screen
from gandetect.screen.export import export
from gandetect.screen.frames import DELIVERIES, Frames
from gandetect.screen.store import iter_rows, run_info
from gandetect.screen.verdict import Judge


class Bright(Model):
    """Says how bright a picture is, in steps that JPEG does not move it across."""

    def logits(self, images: Tensor) -> Tensor:
        return ((images.double().mean((1, 2)) - 128) / 8).round().float()


def scores(
    centers: Mapping[str, float], counts: Mapping[str, int] | int = 200
) -> dict[str, ClassScores]:
    """Reals spread evenly over `center` -1 .. 1, generated images over -6 .. 6, by class."""
    values: list[float] = []
    labels: list[int] = []
    names: list[str] = []
    for name, center in centers.items():
        n = counts if isinstance(counts, int) else counts[name]
        values += [*np.linspace(center - 1, center + 1, n), *np.linspace(-6, 6, n)]
        labels += [0] * n + [1] * n
        names += [name] * (2 * n)
    return group_scores(values, labels, names)


def model_of(groups: Mapping[str, ClassScores], kind: type[Model] = Bright) -> Model:
    plain = make_model()
    arrays = {name: torch.from_numpy(array) for name, array in scores_to_arrays(groups).items()}
    return kind({**plain.arrays, **arrays}, plain.card)


# Reals of lossless files score about -4, those of small JPEG files about 2.
CENTERS = {"lossless 64": -4.0, "JPEG low 64": 2.0}


@pytest.fixture(scope="module")
def bright() -> Model:
    return model_of(scores(CENTERS))


def picture(logit: int, seed: int = 0) -> Image.Image:
    """A picture that Bright scores as `logit`; too crisp to be a class of its own."""
    rough = np.random.default_rng(seed).integers(-40, 41, (128, 128)).astype(float)
    gray = (rough - rough.mean()) / 2 + 128 + 8 * logit
    return Image.fromarray(gray.round().clip(0, 255).astype(np.uint8))


def soft_picture(logit: int) -> Image.Image:
    """The same, as soft as a blurred photograph."""
    smooth = noise(128, 128)[:, :, 1].astype(float)
    gray = (smooth - smooth.mean()) / 8 + 128 + 8 * logit
    return Image.fromarray(gray.round().clip(0, 255).astype(np.uint8))


def crisp(height: int, width: int) -> np.ndarray:
    """Noise without the smoothness that would make it a class of its own."""
    return np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue()))


def screened(folder: Path, model: Model, db: Path | None = None, **options: Any) -> Summary:
    return screen([folder], model=model, db=db or folder / "run.sqlite", workers=0, **options)


def by_name(summary: Summary, kind: str = "file") -> dict[str, dict[str, Any]]:
    return {Path(row["path"]).name: row for row in iter_rows(summary.db, summary.run, kind)}


def bare(summary: Summary) -> list[dict[str, Any]]:
    return [{**row, "run": None} for row in iter_rows(summary.db, summary.run)]


# --- the right class ---


def test_the_same_score_is_judged_by_the_class_of_its_file(bright: Model, tmp_path: Path) -> None:
    picture(1).save(tmp_path / "a.png")
    picture(1).save(tmp_path / "a.jpg", quality=60)
    rows = by_name(screened(tmp_path, bright))
    assert [rows[name]["logit"] for name in ("a.png", "a.jpg")] == [1.0, 1.0]
    assert (rows["a.png"]["verdict"], rows["a.jpg"]["verdict"]) == ("generated", "inconclusive")
    assert (rows["a.png"]["delivery"], rows["a.jpg"]["delivery"]) == ("lossless 64", "JPEG low 64")
    assert rows["a.jpg"]["reason"] == "between_thresholds"
    # 400 pooled reals of the model itself lie far below both.
    assert rows["a.png"]["p_value"] == pytest.approx(1 / 201)
    assert 0.8 < rows["a.jpg"]["p_value"] <= 1.0


def test_a_suspicious_png_that_hides_a_jpeg_is_judged_as_one(bright: Model, tmp_path: Path) -> None:
    as_jpeg(picture(1), 60).save(tmp_path / "hidden.png")
    picture(1).save(tmp_path / "honest.png")
    rows = by_name(screened(tmp_path, bright))
    assert {name: row["delivery"] for name, row in rows.items()} == {
        "hidden.png": "JPEG low 64",
        "honest.png": "lossless 64",
    }
    assert {name: row["verdict"] for name, row in rows.items()} == {
        "hidden.png": "inconclusive",
        "honest.png": "generated",
    }


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_soft_image_is_called_nothing(suffix: str, bright: Model, tmp_path: Path) -> None:
    """However high it scores: a blurred photograph lacks what a smooth generator does not draw."""
    picture(4).save(tmp_path / f"crisp.{suffix}", quality=60)
    soft_picture(4).save(tmp_path / f"soft.{suffix}", quality=60)
    rows = by_name(screened(tmp_path, bright))
    soft, other = rows[f"soft.{suffix}"], rows[f"crisp.{suffix}"]
    assert soft["logit"] == other["logit"] == 4
    assert (soft["delivery"], soft["verdict"], soft["reason"]) == (
        "soft 64", "inconclusive", "soft",
    )  # fmt: skip
    assert other["verdict"] == "generated"


def test_soft_images_certify_a_verdict_on_soft_images(tmp_path: Path) -> None:
    model = model_of(scores({"lossless 64": -4.0, "soft 64": 2.0}))
    for name, logit in (("high", 4), ("between", 2)):
        soft_picture(logit).save(tmp_path / f"{name}.png")
    rows = by_name(screened(tmp_path, model))
    assert {row["delivery"] for row in rows.values()} == {"soft 64"}
    assert rows["high.png"]["verdict"] == "generated"
    assert rows["between.png"]["reason"] == "between_thresholds"


def test_a_png_that_is_not_suspicious_is_not_looked_into(bright: Model, tmp_path: Path) -> None:
    assert -6 < bright.suspicious_from(0.1)["64"] < 4
    as_jpeg(picture(-6), 60).save(tmp_path / "hidden.png")
    (row,) = by_name(screened(tmp_path, bright)).values()
    assert (row["logit"], row["delivery"], row["verdict"]) == (-6.0, "lossless 64", "real")


def test_at_high_rates_more_images_are_looked_into(bright: Model, tmp_path: Path) -> None:
    """Where they were not before, they are screened anew."""
    folder, db = tmp_path / "in", tmp_path / "run.sqlite"
    folder.mkdir()
    as_jpeg(picture(-6), 60).save(folder / "hidden.png")
    found = {}
    for fpr in (0.05, 0.1, 0.3, 0.5, 0.9, 0.05):
        summary = screened(folder, bright, db, fpr=fpr)
        (row,) = by_name(summary).values()
        found[fpr] = row["delivery"], summary.n_known
    lowest = bright.suspicious_from(0.5)["64"]
    assert found[0.1] == ("lossless 64", 1)
    assert found[0.3] == ("JPEG low 64" if lowest < -6 else "lossless 64", 0)
    assert found[0.5] == (found[0.3][0], 1)
    assert found[0.9] == ("JPEG low 64", 0)
    assert found[0.05] == ("lossless 64", 1)


@pytest.mark.parametrize("options", [{"batch_size": 1}, {"batch_size": 3}, {"batch_size": 500}])
def test_windows_wait_for_their_own_score(
    options: dict[str, int], bright: Model, tmp_path: Path
) -> None:
    """However files share batches, and where one in their middle fails."""
    hidden = {}
    for i in range(9):
        hidden[f"{i}.png"] = i % 2 == 0
        image = picture(1, i)
        (as_jpeg(image, 60) if i % 2 == 0 else image).save(tmp_path / f"{i}.png")
    cut = (tmp_path / "4.png").read_bytes()[:2000]
    (tmp_path / "4.png").write_bytes(cut)
    rows = by_name(screened(tmp_path, bright, **options))
    assert rows.pop("4.png")["delivery"] is None
    for name, row in rows.items():
        assert row["delivery"] == ("JPEG low 64" if hidden[name] else "lossless 64")


def test_the_size_is_that_of_the_squares_that_were_scored(tmp_path: Path) -> None:
    model = model_of(scores({"lossless 128": -4.0}))
    Image.fromarray(crisp(300, 200)).save(tmp_path / "large.png")
    Image.fromarray(crisp(40, 200)).save(tmp_path / "small.png")
    tiles = by_name(screened(tmp_path, model))
    assert {row["delivery"] for row in tiles.values()} == {"lossless 64"}
    frames = by_name(screened(tmp_path, model, tmp_path / "f.sqlite", region="frame"), "frame")
    assert frames["large.png"]["delivery"] == "lossless 128"
    assert frames["small.png"]["delivery"] == "lossless 64"


def test_videos_and_what_is_not_scored_have_no_class(bright: Model, tmp_path: Path) -> None:
    write_frames(tmp_path / "a.mkv", [picture(9, seed) for seed in range(5)])
    Image.fromarray(noise(20, 20)).save(tmp_path / "tiny.png")
    summary = screened(tmp_path, bright)
    assert {row["delivery"] for row in iter_rows(summary.db)} == {None}
    assert by_name(summary)["tiny.png"]["reason"] == "too_small"


def test_a_video_is_judged_as_by_a_model_without_classes(bright: Model, tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", 30)
    plain = Bright(make_model().arrays, make_model().card)
    rows = [
        by_name(screened(tmp_path, model, tmp_path / f"{i}.sqlite"))["a.mp4"]
        for i, model in enumerate((bright, plain))
    ]
    names = ("verdict", "reason", "logit", "p_generated", "p_value")
    assert [rows[0][name] for name in names] == [rows[1][name] for name in names]


def write_frames(path: Path, pictures: Sequence[Image.Image]) -> None:
    """A video without loss, whose luma is that of the gray `pictures`."""
    gray = {"source_format": "gray", "codec": "ffv1", "pix_fmt": "gray"}
    write_video(path, [np.asarray(one) for one in pictures], **gray)


@pytest.mark.parametrize(("soft", "verdict"), [(0, "generated"), (3, "generated"), (5, "soft")])
def test_a_video_of_soft_frames_is_called_nothing(
    soft: int, verdict: str, bright: Model, tmp_path: Path
) -> None:
    """As enlarged footage is; half of the weight decides."""
    frames = [soft_picture(9)] * soft + [picture(9, seed) for seed in range(9 - soft)]
    write_frames(tmp_path / "a.mkv", frames)
    summary = screened(tmp_path, bright)
    (row,) = by_name(summary).values()
    found = [one["delivery"] for one in iter_rows(summary.db, summary.run, "frame")]
    assert found == ["soft 64"] * soft + [None] * (9 - soft)
    assert verdict in (row["verdict"], row["reason"])
    assert (row["verdict"] == "generated") is (verdict == "generated")
    # A model without classes knows nothing of softness.
    plain = Bright(make_model().arrays, make_model().card)
    (same,) = by_name(screened(tmp_path, plain, tmp_path / "plain.sqlite")).values()
    assert same["verdict"] == "generated"
    assert same["logit"] == row["logit"]


def test_soft_videos_are_judged_where_real_videos_set_the_threshold() -> None:
    """They may have been as soft."""
    plain = Judge(model_of(scores(CENTERS)), 0.05)
    frames = Frames()
    for number in range(9):
        row = (number, None, 64, 64, None, 99.0, 1, None, None, 0, "soft 64")
        frames.add_scored(row)
    assert plain.video_file(frames).reason == "soft"
    plain.video = dataclasses.replace(plain.video, n_videos=99)
    assert plain.video_file(frames).verdict == "generated"


# --- classes with too few images ---


def frames_of(logits: Sequence[float], delivery: str | None) -> Frames:
    frames = Frames()
    for i, logit in enumerate(logits):
        frames.add_scored((i, None, 64, 64, None, logit, 1, None, None, None, delivery))
    return frames


def test_a_class_without_images_gives_no_verdict_and_says_why() -> None:
    judge = Judge(model_of(scores({"lossless 64": -4.0})), 0.05)
    _, words, reasons = judge.frames(frames_of([-99.0, 0.0, 99.0], "JPEG low 64"))
    assert words == ["inconclusive"] * 3
    assert reasons == ["uncertified_class"] * 3
    assert judge.classes["JPEG low 64"].basis == "none"


def test_a_class_that_borrows_says_so() -> None:
    few = {"lossless 64": 10, "JPEG low 64": 200}
    judge = Judge(model_of(scores(CENTERS, few)), 0.05)
    assert judge.classes["lossless 64"].basis == "pooled"
    _, words, reasons = judge.frames(frames_of([1.0, 99.0], "lossless 64"))
    assert words == ["inconclusive", "generated"]
    assert reasons == ["between_pooled_thresholds", None]


def test_a_rate_that_no_class_certifies_is_refused() -> None:
    with pytest.raises(ValueError, match=r"certifies no less than 0\.0149 for any class"):
        Judge(model_of(scores(CENTERS)), 0.001)


def test_p_values_are_by_the_reals_of_the_class(bright: Model) -> None:
    judge = Judge(bright, 0.05)
    values = {
        name: judge.image(-1.0, 0.5, "inconclusive", None, name).p_value
        for name in ("lossless 64", "JPEG low 64", "JPEG mid 64", None)
    }
    assert values["lossless 64"] == pytest.approx(1 / 201)
    assert values["JPEG low 64"] == 1.0
    # No reals of its own: those of all images.
    assert values["JPEG mid 64"] == values[None]


# --- models without classes ---


def shipped_without_classes() -> Model:
    model = load_shipped()
    of_classes = (REAL_ARRAY, GENERATED_ARRAY)
    arrays = {name: a for name, a in model.arrays.items() if not name.startswith(of_classes)}
    return Model(arrays, model.card)


@pytest.mark.parametrize(
    "model", [make_model(), shipped_without_classes()], ids=["arbitrary", "shipped"]
)
def test_without_classes_the_delivery_changes_nothing(model: Model) -> None:
    judge, fpr = Judge(model, 0.05), 0.05
    limits = model.thresholds(fpr)
    logits = [*np.random.default_rng(0).normal(scale=4, size=200), limits.generated, limits.real]
    expected = judge.frames(frames_of(logits, None))
    assert judge.classes == {}
    assert expected[1] == [limits.verdict(logit) for logit in logits]
    assert expected[0] == [float(p) for p in model.probability(torch.tensor(logits).double())]
    for delivery in DELIVERIES:
        assert judge.frames(frames_of(logits, delivery)) == expected
        assert judge.image(0.5, 0.5, "real", None, delivery) == judge.image(0.5, 0.5, "real", None)


# --- another rate, another prevalence ---


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    folder = tmp_path / "mixed"
    folder.mkdir()
    for i, logit in enumerate((-6, -3, -2, 1, 3, 5)):
        picture(logit, i).save(folder / f"{i}.png")
        picture(logit, i).save(folder / f"{i}.jpg", quality=60)
        as_jpeg(picture(logit, i), 60).save(folder / f"hidden{i}.png")
    write_clip(folder / "a.mp4", 10)
    return folder


@pytest.mark.parametrize(
    "changed",
    [
        {"fpr": 0.1},
        {"confidence": None},
        {"prevalence": 0.01},
        {"fpr": 0.1, "prevalence": 0.01},
        {},
        # More images are looked into: nothing is known.
        {"fpr": 0.3},
        {"fpr": 0.6, "prevalence": 0.01},
    ],
)
def test_judging_again_equals_a_fresh_run(
    changed: dict[str, Any], mixed: Path, bright: Model, tmp_path: Path
) -> None:
    screened(mixed, bright, tmp_path / "a.sqlite")
    again = screened(mixed, bright, tmp_path / "a.sqlite", **changed)
    fresh = screened(mixed, bright, tmp_path / "b.sqlite", **changed)
    assert again.n_known == (0 if changed.get("fpr", 0) > 0.1 else again.n_files)
    assert bare(again) == bare(fresh)
    assert again.verdicts == fresh.verdicts


def test_workers_agree(mixed: Path, tmp_path: Path) -> None:
    """Also where the model travels to other processes."""
    model = model_of(scores({"lossless 64": -4.0, "JPEG low 64": 2.0}), Model)
    runs = [screen([mixed], model=model, db=tmp_path / f"{n}.sqlite", workers=n) for n in (0, 2)]
    assert bare(runs[0]) == bare(runs[1])


def test_a_prevalence_moves_probabilities_and_nothing_else(
    mixed: Path, bright: Model, tmp_path: Path
) -> None:
    even = screened(mixed, bright, tmp_path / "a.sqlite")
    rare = screened(mixed, bright, tmp_path / "b.sqlite", prevalence=0.01)
    for a, b in zip(bare(even), bare(rare), strict=True):
        p = a["p_generated"]
        moved = p * 0.01 / (p * 0.01 + (1 - p) * 0.99)
        assert b == {**a, "p_generated": pytest.approx(moved)}
    assert run_info(rare.db)["prevalence"] == 0.01
    assert run_info(even.db)["prevalence"] == 0.5


@pytest.mark.parametrize("prevalence", [0.0, 1.0, math.nan])
def test_a_prevalence_out_of_range_is_refused(
    prevalence: float, bright: Model, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="prevalence"):
        screened(tmp_path, bright, prevalence=prevalence)


# --- rates ---


def test_the_rate_of_every_class_holds_from_scores_to_verdicts() -> None:
    """Over calibrations; the reals of a class are uniform, so that a fine grid has its rate."""
    rng, sets, rate = np.random.default_rng(0), 300, 0.1
    centers = {"lossless 64": 0.0, "JPEG high 64": 3.0, "JPEG low 64": -3.0}
    counts = {"lossless 64": 120, "JPEG high 64": 90, "JPEG low 64": 70}
    grid = (np.arange(1000) + 0.5) / 1000
    broken = dict.fromkeys(centers, 0)
    for _ in range(sets):
        values = [rng.random(counts[name]) + center for name, center in centers.items()]
        groups = group_scores(
            np.concatenate([*values, rng.random(300) - 20]),
            [0] * sum(counts.values()) + [1] * 300,
            [*np.repeat([*centers], [counts[name] for name in centers]), *(100 * [*centers])],
        )
        judge = Judge(model_of(groups), rate)
        for name, center in centers.items():
            assert judge.classes[name].basis == "own"
            _, words, _ = judge.frames(frames_of(list(grid + center), name))
            broken[name] += words.count("generated") / len(grid) > rate
    assert max(broken.values()) <= sets * (0.05 + 2.5 * math.sqrt(0.05 * 0.95 / sets))


# --- what is shown ---


def test_the_class_is_exported(mixed: Path, bright: Model, tmp_path: Path) -> None:
    summary = screened(mixed, bright, tmp_path / "a.sqlite")
    export(summary.db, str(tmp_path / "rows.jsonl"), kind="frame")
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    found = {Path(row["path"]).name: row["delivery"] for row in rows}
    assert (found["3.png"], found["3.jpg"], found["hidden3.png"]) == (
        "lossless 64", "JPEG low 64", "JPEG low 64",
    )  # fmt: skip
    assert found["a.mp4"] == "soft 64"
    counts = dict(ask(summary.db, "SELECT delivery, count(*) FROM files GROUP BY 1"))
    assert sum(counts.values()) == summary.n_files
    assert counts[None] == 1


def test_a_run_records_the_thresholds_of_its_classes(bright: Model, tmp_path: Path) -> None:
    picture(1).save(tmp_path / "a.png")
    recorded = run_info(screened(tmp_path, bright).db)["class_thresholds"]
    found = bright.class_thresholds(0.05)
    assert (
        recorded["lossless 64"]["threshold_generated"] == found["lossless 64"].thresholds.generated
    )
    assert recorded["lossless 64"]["n_own"] == 200
    assert recorded["soft 64"] == {
        "n_real": 0, "n_generated": 0, "n_own": 0, "smallest_fpr": 1.0, "basis": "none",
        "threshold_generated": None, "threshold_real": None,
    }  # fmt: skip


@pytest.fixture
def file_with_classes(tmp_path: Path) -> Path:
    """JPEG files of high quality have enough reals, those of low quality do not."""
    counts = {"JPEG high 64": 100, "JPEG low 64": 10}
    model = model_of(scores({"JPEG high 64": 0.0, "JPEG low 64": 0.0}, counts), Model)
    model.save(tmp_path / "classes.safetensors")
    return tmp_path / "classes.safetensors"


def test_the_summary_says_what_each_class_rests_on(
    file_with_classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "in"
    folder.mkdir()
    for i, quality in enumerate((90, 90, 40)):
        picture(0, i).save(folder / f"{i}.jpg", quality=quality)
    arguments = [str(folder), "--model", str(file_with_classes), "--workers=0"]
    result = CliRunner().invoke(screen_command, [*arguments, "--fpr=0.03"])
    assert result.exit_code == 0, result.output
    lines = {line[:12]: line.split() for line in result.output.splitlines()}
    assert lines["JPEG high 64"][3:6] == ["2", "100", "0.03"]
    assert lines["JPEG low 64 "][3:6] == ["1", "10", "0.26"]
    assert "no image of JPEG low 64 can be called generated at 0.03 false alarms" in result.output
    as_json = CliRunner().invoke(screen_command, [*arguments, "--fpr=0.03", "--json"])
    classes = json.loads(as_json.stdout)["classes"]
    assert {name: one["files"] for name, one in classes.items()} == {
        "JPEG high 64": 2,
        "JPEG low 64": 1,
    }
    assert classes["JPEG low 64"]["threshold_generated"] is None


def test_the_thresholds_shown_are_at_the_prevalence(tmp_path: Path) -> None:
    make_model().save(tmp_path / "plain.safetensors")
    model = Model.load(tmp_path / "plain.safetensors")
    p = float(model.probability(model.thresholds(0.05).generated))
    for prevalence in (0.5, 0.9):
        result = CliRunner().invoke(
            screen_command,
            [
                str(tmp_path), "--model", str(tmp_path / "plain.safetensors"),
                "--db", str(tmp_path / f"{prevalence}.sqlite"), f"--prevalence={prevalence}",
            ],
        )  # fmt: skip
        moved = p * prevalence / (p * prevalence + (1 - p) * (1 - prevalence))
        assert f"generated above p {moved:.2f}" in result.output


def test_a_rate_that_no_class_certifies_is_bad_usage(
    file_with_classes: Path, tmp_path: Path
) -> None:
    arguments = [str(tmp_path), "--model", str(file_with_classes), "--fpr=0.01"]
    result = CliRunner().invoke(screen_command, arguments)
    assert result.exit_code == 2
    assert "certifies no less than 0.0295 for any class" in result.output


def test_a_rate_on_average_needs_fewer_reals(file_with_classes: Path, tmp_path: Path) -> None:
    """A hundred reals certify 3 % and hold 1 % on average: the threshold is their largest score."""
    folder = tmp_path / "in"
    folder.mkdir()
    picture(0, 0).save(folder / "a.jpg", quality=90)
    model = Model.load(file_with_classes)
    highest = float(model.class_scores["JPEG high 64"].real.max())
    shared = [str(folder), "--model", str(file_with_classes), "--workers=0", "--fpr=0.01"]
    db = tmp_path / "run.sqlite"
    result = CliRunner().invoke(screen_command, [*shared, "--db", str(db), "--conformal"])
    assert result.exit_code == 0, result.output
    assert "false alarms at most 0.01 on average" in result.output
    assert "generated above, logit (fpr 0.01 on average)" in result.output
    told = CliRunner().invoke(info, [*shared[1:3], "--fpr=0.01", "--conformal"])
    assert "average" in told.output
    info_of_run = run_info(db)
    assert info_of_run["args"]["confidence"] is None
    found = info_of_run["class_thresholds"]["JPEG high 64"]
    assert found["threshold_generated"] == highest
    assert found["smallest_fpr"] == pytest.approx(1 / 101)


@pytest.mark.parametrize("confidence", [0.0, 0.4, 1.0, 7.0])
def test_a_confidence_that_is_none_is_refused(confidence: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="confidence="):
        screen([tmp_path], db=tmp_path / "run.sqlite", confidence=confidence)


def test_class_thresholds_of_another_kind_judge_again(
    file_with_classes: Path, tmp_path: Path
) -> None:
    """The thresholds of no known class may be the same."""
    folder = tmp_path / "in"
    folder.mkdir()
    picture(0, 0).save(folder / "a.jpg", quality=90)
    arguments = {"model": file_with_classes, "db": tmp_path / "run.sqlite", "workers": 0}
    for confidence in (0.95, None, 0.95):
        summary = screen([folder], fpr=0.05, confidence=confidence, **arguments)
        judge = Judge(Model.load(file_with_classes), 0.05, confidence=confidence)
        row = next(iter_rows(arguments["db"], summary.run, "file"))
        limits = judge.classes["JPEG high 64"].thresholds
        assert row["verdict"] == limits.verdict(row["logit"])
        known = run_info(arguments["db"])["class_thresholds"]["JPEG high 64"]
        assert known["threshold_generated"] == limits.generated


def test_info_shows_the_classes(file_with_classes: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(info, ["--model", str(file_with_classes), "--fpr=0.04"])
    assert result.exit_code == 0, result.output
    for text in ("fpr 0.04", "JPEG high 64", "JPEG low 64", "too few"):
        assert text in " ".join(result.output.split())
    make_model().save(tmp_path / "plain.safetensors")
    plain = CliRunner().invoke(info, ["--model", str(tmp_path / "plain.safetensors")])
    assert "class of images" not in plain.output
    as_json = CliRunner().invoke(info, ["--model", str(file_with_classes), "--json"])
    described = json.loads(as_json.stdout)["model"]["classes"]
    assert described["JPEG high 64"]["n_own"] == 100
