"""`gandetect explain`: the numbers add up, the pictures are pictures, and no file breaks it."""

from __future__ import annotations

import html
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from making_media import noise, write_clip
from PIL import Image
from skimage import data

from gandetect.cli.explain import command
from gandetect.detect import Model, cut_tiles, load_evaluation, load_shipped
from gandetect.detect.contributions import Contributions
from gandetect.detect.features import spec_from_dict
from gandetect.detect.members import BIAS, WEIGHT, prefix
from gandetect.detect.networks import PixelNetwork
from gandetect.detect.planes import PlaneSpec
from gandetect.detect.reference import UNKNOWN, Likeness
from gandetect.media import MediaError, VideoReader, read_luma
from gandetect.report import explain as explain_module
from gandetect.report.explain import (
    Explanation,
    InputOptions,
    explain,
    explain_inputs,
    member_sums,
)
from gandetect.report.explain_show import explanation_page, explanation_png, headline
from gandetect.report.explain_words import changes_in_words, generators_in_words, worth_in_words
from gandetect.screen import screen
from gandetect.screen.isolation import IsolationError, isolated
from gandetect.screen.store import iter_rows

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "media"
HOSTILE = '<img src=x onerror=alert(1)>"&$\\frac{$\u202e.png'
KEYS = {
    "path", "media", "frame", "time_s", "chosen_among", "width", "height", "facts", "model",
    "verdict", "logit", "p_generated", "thresholds", "tiles", "bias", "bands", "contributions",
    "breakdown", "outside", "what_if", "likeness", "no_likeness", "likeness_measured", "caveats",
    "limits",
}  # fmt: skip


@pytest.fixture(scope="module")
def model() -> Model:
    return load_shipped()


@pytest.fixture(autouse=True)
def decoded_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode in this process, where it takes no second to start another."""
    monkeypatch.setattr(explain_module, "isolated", lambda f, *args, limits: f(*args))


@pytest.fixture(scope="module")
def bridge(model: Model) -> Explanation:
    # Before any test may change how files are decoded, so in a process of its own.
    return explain(EXAMPLES / "generated_bridge.png", model=model)


@pytest.fixture
def bare(model: Model) -> Model:
    """The shipped model as it was before there were references."""
    arrays = {n: a for n, a in model.arrays.items() if not n.startswith("reference.")}
    card = {name: value for name, value in model.card.items() if name != "reference"}
    return Model(arrays, card)


@pytest.fixture
def kmeans(model: Model) -> Model:
    """A model that is not linear: one cluster of each class."""
    size = model.arrays["probe"].numel()
    calibration = {n: a for n, a in model.arrays.items() if n.startswith(("calib", "probe"))}
    center = model.arrays["reference.real"][1].double()
    arrays = {
        "center": center,
        "scale": torch.ones(size, dtype=torch.float64),
        "clusters": torch.stack([torch.zeros(size), torch.ones(size)]).double(),
        "labels": torch.tensor([0.0, 1.0], dtype=torch.float64),
    }
    card = {**model.card, "kind": "kmeans", "classifier": "kmeans"}
    return Model({**arrays, **calibration}, card)


def picture(path: Path, height: int, width: int, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(height, width, seed)).save(path)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments])


def test_logit_is_that_of_the_tiles_screening_scores(model: Model, bridge: Explanation) -> None:
    plane = read_luma(EXAMPLES / "generated_bridge.png").as_uint8_range()
    expected = model.logits(cut_tiles(plane, model.tile)).double().mean()
    assert bridge.logit == pytest.approx(float(expected), abs=1e-6)
    assert bridge.p_generated == pytest.approx(float(model.probability(expected)))
    assert model.verdict(float(expected), model.thresholds(0.05)) == "generated"
    # As soft as a blurred photograph, but it shows the network that enlarged it.
    assert bridge.verdict == "generated"


def test_a_soft_image_that_shows_no_up_sampler_is_not_judged(model: Model) -> None:
    board = explain(EXAMPLES / "generated_board.png", model=model)
    assert model.verdict(board.logit, model.thresholds(0.05)) == "generated"
    assert board.verdict == "inconclusive"
    assert any("blurred or enlarged" in caveat for caveat in board.caveats)
    assert board.limits_in_words == "no score decides on images of its class"


@pytest.mark.parametrize("fpr", [0.05, 0.3])
def test_images_are_judged_as_by_screen(model: Model, fpr: float, tmp_path: Path) -> None:
    """By the same class, whether their pixels are asked for it or not."""
    names = sorted(one.name for one in EXAMPLES.glob("*.[pj][np]g") if one.stem != "truncated")
    made = [name for name in names if name.endswith("png")]
    for name in made:
        # A file without loss that hides a JPEG.
        hidden = Image.open(io.BytesIO(compressed(EXAMPLES / name)))
        hidden.save(tmp_path / f"hidden_{name}")
    files = [*(EXAMPLES / name for name in names), *tmp_path.glob("hidden_*")]
    summary = screen(files, model=model, fpr=fpr, db=tmp_path / "run.sqlite", workers=0)
    rows = {Path(row["path"]).name: row for row in iter_rows(summary.db, kind="file")}
    asked = 0
    for path in files:
        one, row = explain(path, model=model, fpr=fpr), rows[path.name]
        assert one.facts["class"] == row["delivery"], path.name
        assert one.verdict == row["verdict"], path.name
        asked += row["delivery"].startswith("soft")
    assert 0 < asked < len(files)


def compressed(path: Path) -> bytes:
    buffer = io.BytesIO()
    Image.open(path).convert("L").save(buffer, "JPEG", quality=60)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["generated_bridge.png", "real_dogs.jpg", "generated_face_1.png"])
def test_contributions_and_bias_sum_to_the_logit(model: Model, name: str) -> None:
    one = explain(EXAMPLES / name, model=model)
    contributions = [band.contribution for band in one.bands]
    assert one.bias == model.bias
    assert one.bias + sum(contributions) == pytest.approx(one.logit, abs=1e-5)
    sums = [row["contribution"] for row in one.sums()]
    assert one.bias + sum(sums) == pytest.approx(one.logit, abs=1e-5)
    # Each is what its own band adds, not just any split of the logit.
    plane = read_luma(EXAMPLES / name).as_uint8_range()
    terms = model.contributions(cut_tiles(plane, model.tile)).double().mean(dim=0)
    torch.testing.assert_close(torch.tensor(contributions).double(), terms, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["real_board.png", "generated_face_2.jpg"])
def test_the_verdict_is_that_of_screening(model: Model, name: str, tmp_path: Path) -> None:
    one = explain(EXAMPLES / name, model=model)
    screen([EXAMPLES / name], model=model, db=tmp_path / "a.sqlite")
    (row,) = iter_rows(tmp_path / "a.sqlite", kind="file")
    assert one.verdict == row["verdict"]
    assert one.facts["class"] == row["delivery"]
    own = model.class_thresholds(0.05)[row["delivery"]].thresholds
    assert one.thresholds == own != model.thresholds(0.05)


def test_bands_are_the_features_and_the_band_of_the_reals(
    model: Model, bridge: Explanation
) -> None:
    plane = read_luma(EXAMPLES / "generated_bridge.png").as_uint8_range()
    features = model.features(cut_tiles(plane, model.tile)).double().mean(dim=0)
    axes = model.spec.axes()
    real = model.arrays["reference.real"].double()
    assert [(b.projection, b.low, b.high) for b in bridge.bands] == axes
    torch.testing.assert_close(torch.tensor([b.value for b in bridge.bands]).double(), features)
    assert [b.real for b in bridge.bands] == [tuple(column) for column in real.T.tolist()]
    for band, value, (low, _, high) in zip(bridge.bands, features, real.T, strict=True):
        expected = "below" if value < low else "above" if value > high else None
        assert band.outside == expected
    assert bridge.n_outside == sum(band.outside is not None for band in bridge.bands) > 12


def test_map_shows_where_each_tile_stands(model: Model, tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png", 700, 1000)
    one = explain(path, model=model)
    plane = read_luma(path).as_uint8_range()
    assert len(one.tiles) == (700 // 128) * (1000 // 128)
    assert one.n_used == 16
    for tile in one.tiles:
        square = plane[tile.top : tile.top + one.side, tile.left : tile.left + one.side]
        assert tile.logit == pytest.approx(float(model.logits(square[None])), abs=1e-4)
    used = [tile.logit for tile in one.tiles if tile.used]
    assert one.logit == pytest.approx(np.mean(used), abs=1e-5)


def test_map_leaves_flat_squares_out(model: Model, tmp_path: Path) -> None:
    pixels = noise(256, 384)
    pixels[:128, 128:256] = 90
    Image.fromarray(pixels).save(tmp_path / "a.png")
    places = {(t.top, t.left) for t in explain(tmp_path / "a.png", model=model).tiles}
    everything = {(top, left) for top in (0, 128) for left in (0, 128, 256)}
    assert places == everything - {(0, 128)}


def test_map_of_a_picture_of_very_many_tiles(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = picture(tmp_path / "a.png", 700, 1000)
    whole = explain(path, model=model)
    monkeypatch.setattr(explain_module, "MAP_TILES", 20)
    some = explain(path, model=model)
    assert some.logit == whole.logit
    assert some.n_used == 16
    known = {(t.top, t.left): t.logit for t in whole.tiles}
    assert all(known[t.top, t.left] == pytest.approx(t.logit, abs=1e-4) for t in some.tiles)


def test_spectrum_has_its_peak_where_the_wave_is(model: Model, tmp_path: Path) -> None:
    y, x = np.mgrid[:128, :128]
    wave = 128 + 60 * np.cos(2 * np.pi * (0.25 * y + 0.125 * x))
    pixels = wave + np.random.default_rng(0).standard_normal((128, 128))
    Image.fromarray(pixels.round().astype(np.uint8)).save(tmp_path / "a.png")
    spectrum = explain(tmp_path / "a.png", model=model).spectrum
    assert spectrum.shape == (128, 128)
    peaks = {divmod(int(i), 128) for i in np.argsort(spectrum.ravel())[-2:]}
    assert peaks == {(64 + 32, 64 + 16), (64 - 32, 64 - 16)}


def test_video_frame_with_the_highest_score(model: Model, tmp_path: Path) -> None:
    path = str(write_clip(tmp_path / "a.mp4", 40))
    scores = {}
    for frame in VideoReader(path, max_frames=explain_module.CANDIDATES):
        plane = frame.luma.as_uint8_range().contiguous()
        scores[frame.index] = float(model.logits(cut_tiles(plane, model.tile)).mean())
    one = explain(path, model=model)
    assert one.frame == max(scores, key=lambda index: scores[index])
    assert one.logit == pytest.approx(max(scores.values()), abs=1e-5)
    assert one.n_frames == len(scores)
    assert any(f"one of {len(scores)}" in caveat for caveat in one.caveats)


def test_video_frame_by_number_and_by_time(model: Model, tmp_path: Path) -> None:
    path = str(write_clip(tmp_path / "a.mp4", 20))
    by_number = explain(path, model=model, frame=7)
    by_time = explain(path, model=model, time_s=0.25)
    assert (by_number.frame, by_number.time_s) == (7, pytest.approx(0.28))
    assert (by_time.frame, by_time.logit) == (7, by_number.logit)
    frames = list(VideoReader(path))
    expected = frames[7].luma.as_uint8_range().contiguous()
    logit = float(model.logits(cut_tiles(expected, model.tile)).mean())
    assert by_number.logit == pytest.approx(logit, abs=1e-5)
    with pytest.raises(ValueError, match="both given"):
        explain(path, model=model, frame=7, time_s=0.25)


def test_a_model_without_references_says_so(bare: Model) -> None:
    one = explain(EXAMPLES / "generated_bridge.png", model=bare)
    assert not one.has_references
    assert one.likeness is None
    assert any("carries no references" in caveat for caveat in one.caveats)
    assert one.bias + sum(b.contribution for b in one.bands) == pytest.approx(one.logit, abs=1e-5)
    assert "bands unlike photographs" not in explanation_page(one)
    assert explanation_png(one).startswith(b"\x89PNG")
    assert one.to_dict()["outside"] is None


def test_a_model_that_is_not_linear_adds_up_too(kmeans: Model) -> None:
    one = explain(EXAMPLES / "generated_bridge.png", model=kmeans)
    assert one.bias == 0
    assert sum(band.contribution for band in one.bands) == pytest.approx(one.logit, rel=1e-6)
    assert one.exactness == "exact"
    page = explanation_page(one)
    for row in one.sums():
        assert f"{row['contribution']:+.2f}" in page


def plane_arrays(side: int) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    arrays = {
        "weight": torch.randn(side**2, generator=generator, dtype=torch.float64) / side,
        "center": torch.zeros(side**2, dtype=torch.float64),
        "bias": torch.tensor(-0.3, dtype=torch.float64),
    }
    described = {"classifier": "dct", "kind": "linear"}
    return {**described, "features": PlaneSpec("dct", side).to_dict()}, arrays


def network_arrays() -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = PixelNetwork((2, 3), 4)
    described = {"classifier": "cnn", "kind": "network"}
    described["network"] = {"name": "pixels", "settings": network.settings}
    return {**described, "features": PlaneSpec("pixels", 32).to_dict()}, dict(network.state_dict())


def created(entry: dict[str, Any], arrays: dict[str, torch.Tensor], **details: Any) -> Model:
    if "network" in entry:
        details["network"] = entry["network"]
    spec = spec_from_dict(entry["features"])
    return Model.create(
        entry["classifier"], entry["classifier"], entry["kind"], spec, arrays, tile=32,
        platt=(1.0, 0.0), real_scores=torch.linspace(-3, -1, 100),
        generated_scores=torch.linspace(1, 3, 100), details=details,
    )  # fmt: skip


@pytest.fixture(scope="module")
def plane() -> Model:
    return created(*plane_arrays(32))


@pytest.fixture(scope="module")
def network() -> Model:
    return created(*network_arrays())


@pytest.fixture(scope="module")
def fusion(model: Model) -> Model:
    """The shipped weights on 32 pixels, a plane and a network."""
    own = {name: model.arrays[name] for name in ("knots", "values", "bias")}
    additive = {"classifier": "additive", "kind": "additive", "features": model.spec.to_dict()}
    members = [(additive, own), plane_arrays(32), network_arrays()]
    arrays = {WEIGHT: torch.tensor([0.5, 1.0, 3.0]).double(), BIAS: torch.tensor([0.25]).double()}
    for number, (_, part) in enumerate(members):
        arrays |= {f"{prefix(number)}{name}": array for name, array in part.items()}
    whole = {"classifier": "fusion", "kind": "fusion", "features": additive["features"]}
    return created(whole, arrays, members=[entry for entry, _ in members], min_side=32)


@pytest.fixture(params=["kmeans", "plane", "network", "fusion"])
def family(request: pytest.FixtureRequest) -> Model:
    model: Model = request.getfixturevalue(request.param)
    return model


def test_values_in_the_json_sum_to_the_logit(family: Model) -> None:
    document = explain(EXAMPLES / "generated_face_1.png", model=family).to_dict()
    parts = json.loads(json.dumps(document, allow_nan=False))["breakdown"]
    totals = [np.sum(member["values"]) + member["bias"] for member in parts["members"]]
    assert totals == pytest.approx([member["total"] for member in parts["members"]], abs=1e-3)
    assert parts["bias"] + sum(totals) == pytest.approx(
        document["logit"], abs=parts["tolerance"] + 1e-3
    )
    assert parts["exact"] == ("pixels" not in [m["kind"] for m in parts["members"]])


def test_every_family_is_shown(family: Model) -> None:
    one = explain(EXAMPLES / "generated_face_1.png", model=family)
    page = explanation_page(one)
    assert page.count("<svg") == 2 + bool(one.bands) + bool(one.maps)
    assert not re.search(r"https?:|<script|<link|url\((?!#)", page)
    assert "What would have changed the verdict" in page
    assert one.exactness in page
    image = Image.open(io.BytesIO(explanation_png(one)))
    assert image.width == 2080
    assert 1500 < image.height < 3500


def test_every_family_is_said_in_words(family: Model, tmp_path: Path) -> None:
    family.save(tmp_path / "model.safetensors")
    result = run(EXAMPLES / "generated_face_1.png", "--model", tmp_path / "model.safetensors")
    assert result.exit_code == 0, result.output
    one = explain(EXAMPLES / "generated_face_1.png", model=family)
    assert f"({one.exactness})" in result.stdout
    assert f"{one.logit:+.2f}" in result.stdout
    for member in one.breakdown.members:
        assert f"{member.bias:+.2f}" in result.stdout
    assert "What would have changed the verdict" in result.stdout


def test_a_fusion_shows_the_bands_of_the_member_that_has_some(fusion: Model) -> None:
    one = explain(EXAMPLES / "generated_face_1.png", model=fusion)
    profile, *others = one.breakdown.members
    assert one.bias is None
    assert [member.classifier for member in one.maps] == ["dct", "cnn"]
    assert [band.contribution for band in one.bands] == profile.values.tolist()
    total = sum(band.contribution for band in one.bands) + profile.bias
    whole = one.breakdown.bias + total + sum(member.total for member in others)
    assert whole == pytest.approx(one.logit, abs=0.03)
    assert "No change is offered for a fusion" in changes_in_words(one)[0]


def test_sums_of_a_plane_are_by_distance_from_zero_frequency() -> None:
    values = torch.zeros(33, 33).double()
    values[0, 1], values[32, 0], values[32, 32], values[16, 0] = 1.0, 2.0, 4.0, 8.0
    member = Contributions("dct", "plane", values, 0.0, True, 0.0, "", "", 1.0, (0, 0.5, 0, 0.5))
    found = {row["stretch"]: row["contribution"] for row in member_sums(member)}
    assert found == {
        "coarse": 1, "middle": 8, "fine": 0, "around every other pixel": 2, "diagonal corner": 4
    }  # fmt: skip


def test_the_sentence_names_the_change_that_leads_to_the_edge(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "moon.png"
    Image.fromarray(data.moon()[:300, :300]).save(path)
    face = explain(path, model=model)
    words = changes_in_words(face)
    single = words[0]
    change = face.what_if.single
    band = face.bands[change.band]
    assert f"{abs(float(change.decibel[change.band])):.1f} dB higher" in single
    assert f"{band.low:.3f} and {band.high:.3f} cycles per pixel (" in single
    assert single.startswith("The verdict would be generated if")
    document = face.to_dict()["what_if"]
    assert document["words"] == words
    plane = read_luma(path).as_uint8_range()
    features = model.features(cut_tiles(plane, model.tile)).double()
    assert document["single"]["decibel"] == pytest.approx(float(change.decibel[change.band]))
    assert float(model.score_features(features + change.shift).mean()) == pytest.approx(
        face.thresholds.generated, abs=1e-3
    )


def test_png_is_one_picture_of_sane_size(bridge: Explanation) -> None:
    image = Image.open(io.BytesIO(explanation_png(bridge)))
    assert image.format == "PNG"
    assert 1500 < image.width < 3000
    assert 1200 < image.height < 3000
    assert np.asarray(image.convert("L")).std() > 20


def test_page_refers_to_nothing_outside_itself(bridge: Explanation) -> None:
    page = explanation_page(bridge)
    assert not re.search(r"https?:|<script|<link|url\((?!#)", page)
    assert all(ref.startswith(("data:", "#")) for ref in re.findall(r'href="([^"]*)"', page))
    assert page.count("<svg") == 3
    for row in bridge.sums():
        assert f"{row['contribution']:+.2f}" in page


def test_hostile_names_are_escaped(bridge: Explanation) -> None:
    limit = "<b>limit</b>"
    one = replace(bridge, path=f"/tmp/{HOSTILE}", facts={"format": "<i>png</i>"}, limits=[limit])
    page = explanation_page(one)
    assert "<img src=x" not in page
    assert html.escape("<img src=x onerror=alert(1)>") in page
    assert "\u202e" not in page
    assert "<i>png</i>" not in page
    assert limit not in page
    assert explanation_png(one).startswith(b"\x89PNG")
    assert "\u202e" not in headline(one)


def test_name_with_a_lone_surrogate_can_be_written(bridge: Explanation, tmp_path: Path) -> None:
    one = replace(bridge, path="/tmp/\udcff\udcfe.png")
    explanation_page(one).encode("utf-8", errors="backslashreplace")
    assert explanation_png(one).startswith(b"\x89PNG")
    assert json.loads(json.dumps(one.to_dict()))["path"] == one.path


def test_json_has_the_documented_keys(bridge: Explanation) -> None:
    document = bridge.to_dict()
    assert set(document) == KEYS
    text = json.dumps(document, allow_nan=False)
    assert len(document["bands"]) == 120
    documented = (EXAMPLES.parents[1] / "docs" / "explaining.md").read_text("utf-8")
    assert {key for key in KEYS if f"`{key}`" not in documented} == set()
    assert json.loads(text)["logit"] == bridge.logit


def test_likeness_comes_with_what_it_is_worth(model: Model, bridge: Explanation) -> None:
    document = bridge.to_dict()
    card = model.card["reference"]
    assert document["likeness_measured"]["held_out"] == card["held_out"]
    names = load_evaluation()["names"]
    assert document["likeness_measured"]["generators"] == names
    assert sum(document["likeness"]["shares"].values()) == pytest.approx(1)
    assert any("real generators" in caveat for caveat in bridge.caveats)
    page = explanation_page(bridge)
    for generator in names:
        assert f"<td>{generator}</td>" in page
    for counts in card["held_out"]["confusion"].values():
        assert all(f">{count:,}<" in page for count in counts.values())


@pytest.mark.parametrize(
    ("family", "words"),
    [("nearest", "70%"), ("interpolation", "clear enough"), (UNKNOWN, "20% and 40%")],
)
def test_worth_in_words_is_what_was_measured(family: str, words: str) -> None:
    worth = {
        "right_when_named": {"nearest": [0.7, 0.6, 0.8], "interpolation": None},
        "named": {"nearest": [0.2, 0.1, 0.3], "interpolation": [0.4, 0.3, 0.5]},
    }
    alike = Likeness(family, None, {}, 0.1, 1.0)
    assert words in worth_in_words(alike, worth)


def test_counts_on_generators_in_words() -> None:
    assert "was not measured" in generators_in_words({})
    given = {
        "one": {"family": "learned", "named": {"learned": 3, "nearest": 1, "unknown": 16}},
        "two": {"family": "nearest", "named": {"unknown": 10}},
    }
    text = generators_in_words(given)
    assert "Of 30 images by 2 real generators 4 got a name, 3 of them rightly" in text


def test_command_writes_each_kind(tmp_path: Path) -> None:
    outs = [tmp_path / f"why.{extension}" for extension in ("png", "html", "json")]
    arguments = [part for out in outs for part in ("--out", out)]
    result = run(EXAMPLES / "real_dogs.jpg", *arguments)
    assert result.exit_code == 0, result.output
    heads = (b"\x89PNG", b"<!DOCTYPE html>", b"{")
    assert all(out.read_bytes().startswith(head) for out, head in zip(outs, heads, strict=True))
    assert set(json.loads(outs[2].read_text())) == KEYS
    assert sorted(tmp_path.iterdir()) == sorted(outs)


def test_command_says_it_in_words(bridge: Explanation) -> None:
    result = run(EXAMPLES / "generated_bridge.png")
    assert result.exit_code == 0, result.output
    assert "generated_bridge.png: generated, p(generated)" in result.stdout
    assert f"score {bridge.logit:+.2f}" in result.stdout
    first = bridge.strongest(1)[0]
    assert f"{first.contribution:+.2f}" in result.stdout
    assert f"{first.low:.3f} to {first.high:.3f}" in result.stdout
    assert "shares: photographs" in result.stdout


def test_command_prints_json_alone(bridge: Explanation) -> None:
    result = run(EXAMPLES / "generated_bridge.png", "--json")
    document = json.loads(result.stdout)
    assert document["logit"] == pytest.approx(bridge.logit)
    assert document["path"].endswith("generated_bridge.png")


def bad_files(folder: Path) -> dict[str, Path]:
    good = picture(folder / "good.png", 128, 128)
    files = {
        "not_found": folder / "none.png",
        "not_media": folder / "notes.png",
        "empty": folder / "empty.png",
        "truncated": folder / "cut.png",
        "too_small": picture(folder / "small.png", 20, 20),
        "flat": folder / "flat.png",
        "unreadable": folder,
    }
    files["not_media"].write_text("no picture at all, but long enough to look at")
    files["empty"].write_bytes(b"")
    files["truncated"].write_bytes(good.read_bytes()[:3000])
    Image.fromarray(np.full((200, 200), 77, np.uint8)).save(files["flat"])
    return files


@pytest.mark.parametrize(
    "reason",
    ["not_found", "not_media", "empty", "truncated", "too_small", "flat", "unreadable"],
)
def test_files_that_give_nothing_end_with_their_reason(tmp_path: Path, reason: str) -> None:
    path = bad_files(tmp_path / "bad")[reason]
    out = tmp_path / "why.html"
    result = run(path, "--out", out, "--json")
    assert result.exit_code == 3, result.output
    said: dict[str, Any] = json.loads(result.stdout)
    assert said["error"] == reason
    assert said["detail"]
    assert f": {reason}: " in result.stderr
    assert "Traceback" not in result.output
    assert not out.exists()


def test_frames_that_are_not_there(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", 10)
    comb = write_clip(tmp_path / "b.mp4", 8, options={"x264-params": "interlaced=1:tff=1"})
    for arguments, reason in (
        ((clip, "--frame", 10), "no_frame"),
        ((clip, "--time", 1e9), "no_frame"),
        ((comb,), "interlaced"),
        ((comb, "--frame", 2), "interlaced"),
        ((EXAMPLES / "real_dogs.jpg", "--frame", 0), "no_video"),
    ):
        result = run(*arguments)
        assert result.exit_code == 3
        assert reason in result.stderr


def test_usage_errors(tmp_path: Path) -> None:
    image = EXAMPLES / "real_dogs.jpg"
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    twice = tmp_path / "a.png"
    for arguments, message in (
        ((), "Missing argument"),
        ((image, "--out", "why.gif"), "cannot write"),
        ((image, "--out", tmp_path / "none" / "why.png"), "there is no folder"),
        ((image, "--out", twice, "--out", twice), "same file"),
        ((image, "--frame", 1, "--time", 1), "give one"),
        ((image, "--time", "nan"), "nan given"),
        ((image, "--frame", -1), "not in the range"),
        ((image, "--fpr", 0.0001), "certifies no less"),
        ((image, "--model", tmp_path / "bad.safetensors"), "not a gandetect model"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2, result.output
        assert message in result.output


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    result = run(EXAMPLES / "real_dogs.jpg", "--out", tmp_path / "why.json")
    assert result.exit_code == 3
    assert "No space left on device" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_missing_extras_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = run(EXAMPLES / "real_dogs.jpg", "--out", tmp_path / "why.png")
    assert result.exit_code == 2
    assert "gandetect[report]" in result.stderr
    assert run(EXAMPLES / "real_dogs.jpg", "--out", tmp_path / "why.json").exit_code == 0


def test_words_and_json_need_no_matplotlib() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = sys.modules['jinja2'] = None\n"
        "from click.testing import CliRunner\n"
        "from gandetect.cli.explain import command\n"
        "from gandetect.cli import main\n"
        f"done = CliRunner().invoke(command, [{str(EXAMPLES / 'real_dogs.jpg')!r}, '--json'])\n"
        "sys.exit(done.exit_code)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_imports_no_torch() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from gandetect.cli import main\n"
        "out = CliRunner().invoke(main, ['explain', '--help']).output\n"
        "assert 'Examples:' in out and 'torch' not in sys.modules, out"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_decoding_is_one_function_that_another_process_can_run(tmp_path: Path) -> None:
    import pickle

    options = InputOptions(128, 32)
    call = pickle.loads(pickle.dumps((explain_inputs, options)))
    clip = write_clip(tmp_path / "a.mp4", 10)
    for path in (EXAMPLES / "real_dogs.jpg", clip):
        inputs = call[0](str(path), call[1])
        copy = pickle.loads(pickle.dumps(inputs))
        assert (copy.media, copy.facts) == (inputs.media, inputs.facts)
        if inputs.plane is not None:
            assert np.array_equal(copy.plane, inputs.plane)
        assert [n for n, _ in copy.candidates] == [n for n, _ in inputs.candidates]
    with pytest.raises(MediaError) as raised:
        call[0](str(tmp_path / "none"), options)
    assert pickle.loads(pickle.dumps(raised.value)).reason == "not_found"


def test_decoding_happens_in_another_process(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain_module, "isolated", isolated)
    here = explain_inputs(str(EXAMPLES / "real_dogs.jpg"), InputOptions(128, 32))
    there = explain_module._decode(str(EXAMPLES / "real_dogs.jpg"), InputOptions(128, 32))
    assert np.array_equal(here.plane, there.plane)
    with pytest.raises(MediaError) as raised:
        explain(tmp_path / "none.png", model=model)
    assert raised.value.reason == "not_found"


def test_a_file_that_kills_its_decoder_is_an_error(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, limits: object) -> None:
        raise IsolationError("crashed", "signal 6")

    monkeypatch.setattr(explain_module, "isolated", killed)
    result = run(EXAMPLES / "real_dogs.jpg", "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["error"] == "crashed"
