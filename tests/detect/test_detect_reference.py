"""References explain a verdict and change none; a family is named only where it was measured to be
tellable, and a model file with bent references is refused."""

from __future__ import annotations

import itertools
import json
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from gandetect.detect import load_shipped
from gandetect.detect.features import FeatureSpec, extract
from gandetect.detect.model import Model
from gandetect.detect.phases import phase_count, phase_features
from gandetect.detect.reference import (
    FAMILIES,
    NAMED_FROM,
    REAL,
    UNKNOWN,
    Examples,
    References,
    likeness,
    make_references,
    traces_of,
)
from gandetect.detect.simulate import MODES, simulate, upsampled
from gandetect.detect.tiles import cut_tiles
from gandetect.detect.training import (
    Dataset,
    Sample,
    fit_model,
    references_from,
    simulate_folder,
)
from gandetect.media import read_luma

MEDIA = Path(__file__).resolve().parents[2] / "examples" / "media"
SIZE = 12
# Of the traces: the features, and as many again beyond them.
TRACES = 2 * SIZE


@pytest.fixture(scope="module")
def shipped():
    return load_shipped()


@pytest.fixture
def examples():
    """Reals are noise; each family adds its own direction to their traces, well apart, the first
    of them beyond the features. A third are compressed and tell nothing."""
    rng = np.random.default_rng(3)
    modes = ["", *(mode for members in FAMILIES.values() for mode in members)]
    offsets = {"": np.zeros(TRACES)}
    for place, members in enumerate(FAMILIES.values()):
        offsets |= dict.fromkeys(members, 8.0 * np.eye(TRACES)[place - 1])
    chosen = [modes[i % len(modes)] for i in range(630)]
    # Features of real images are far from zero, and not all alike.
    level = np.linspace(-40, 60, TRACES)
    traces = [level + offsets[mode] + rng.standard_normal(TRACES) for mode in chosen]
    features = np.stack(traces)[:, :SIZE]
    groups = [f"photo{i // 14}" for i in range(630)]
    kept = [one if i % 3 else None for i, one in enumerate(traces)]
    return Examples(features, groups, chosen, kept)


def folds_of(examples):
    numbers = np.array([int(group.removeprefix("photo")) % 5 for group in examples.groups])
    everything = np.arange(len(numbers))
    return [(everything[numbers != k], everything[numbers == k]) for k in range(5)]


def test_every_simulated_mode_belongs_to_one_family():
    members = [mode for modes in FAMILIES.values() for mode in modes]
    assert sorted(members) == sorted(MODES)


def test_the_band_is_the_quantiles_of_the_reals_alone(examples):
    references, card = make_references(examples, folds_of(examples), tile=64)
    reals = examples.features[[mode == "" for mode in examples.modes]]
    np.testing.assert_allclose(references.real, np.quantile(reals, (0.05, 0.5, 0.95), axis=0))
    assert card["band_images"] == len(reals)
    outside = references.outside(torch.from_numpy(reals)).float().mean()
    assert float(outside) == pytest.approx(0.1, abs=0.02)


def test_a_signature_is_what_its_family_adds(examples):
    references, _ = make_references(examples, folds_of(examples), tile=64)
    for place, name in enumerate(FAMILIES):
        expected = 8.0 * torch.eye(TRACES)[place - 1].double()
        torch.testing.assert_close(references.signatures[name], expected, atol=0.6, rtol=0)


def test_families_far_apart_are_told_apart(examples):
    _, card = make_references(examples, folds_of(examples), tile=64)
    figures = card["held_out"]
    for name in FAMILIES:
        assert figures["right_when_named"][name][0] > 0.97
        assert figures["named"][name][0] > 0.9
    assert figures["reals_named"][0] < 0.03
    assert figures["forced_balanced_accuracy"] > 0.97
    # The two members of one family add the same here, so they cannot be.
    apart = card["every_mode_apart"]["confusion"]["bilinear"]
    assert apart["bilinear"] < 50
    assert apart["bilinear"] + apart["bicubic"] > 50


def test_only_images_without_compression_are_compared(examples):
    """Compressed images without any trace of their own change nothing but the band."""
    references, card = make_references(examples, folds_of(examples), tile=64)
    kept = [i for i, one in enumerate(examples.traces) if one is not None]
    counts = Counter(examples.modes[i] for i in kept)
    assert card["images"][REAL] == counts[""]
    assert sum(card["images"].values()) == len(kept)
    for name, row in card["held_out"]["confusion"].items():
        assert sum(row.values()) == card["images"][name]
    features = examples.features.copy()
    features[[i for i, one in enumerate(examples.traces) if one is None]] = 0.0
    other, _ = make_references(
        Examples(features, examples.groups, examples.modes, examples.traces),
        folds_of(examples),
        tile=64,
    )
    assert not torch.equal(other.real, references.real)
    assert torch.equal(other.covariance, references.covariance)
    assert all(
        torch.equal(other.signatures[name], references.signatures[name]) for name in FAMILIES
    )


def test_traces_are_the_means_over_the_tiles_of_features_and_phases():
    tiles = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 64, 64), np.uint8))
    features = extract(tiles, FeatureSpec())
    found = traces_of(features, tiles)
    assert found.shape == (features.shape[1] + phase_count(),)
    torch.testing.assert_close(found[: features.shape[1]], features.double().mean(dim=0))
    torch.testing.assert_close(
        found[features.shape[1] :], phase_features(tiles).double().mean(dim=0)
    )


def test_labels_without_meaning_are_measured_as_such(examples):
    rng = np.random.default_rng(0)
    traces = rng.standard_normal((len(examples.traces), TRACES))
    shuffled = Examples(traces[:, :SIZE], examples.groups, examples.modes, list(traces))
    _, card = make_references(shuffled, folds_of(shuffled), tile=64)
    assert card["held_out"]["forced_balanced_accuracy"] < 0.5
    assert max(values[0] for values in card["held_out"]["named"].values()) < 0.05


def test_measured_figures_come_from_photographs_not_seen(examples):
    """A group that alone carries a trait must not be recognized by it."""
    rng = np.random.default_rng(1)
    trait = {group: 30.0 * rng.standard_normal(TRACES) for group in sorted(set(examples.groups))}
    modes = dict(zip(trait, itertools.cycle(MODES), strict=False))
    traces = np.stack([trait[g] + rng.standard_normal(TRACES) for g in examples.groups])
    chosen = ["" if i % 2 else modes[g] for i, g in enumerate(examples.groups)]
    confounded = Examples(traces[:, :SIZE], examples.groups, chosen, list(traces))
    _, card = make_references(confounded, folds_of(confounded), tile=64)
    assert card["held_out"]["forced_balanced_accuracy"] < 0.6


def test_unknown_where_nothing_is_near_or_clear(examples):
    references, _ = make_references(examples, folds_of(examples), tile=64)
    nearest, learned = (references.signatures[name] for name in ("nearest", "learned"))
    center = references.center
    assert likeness(references, center + nearest).family == "nearest"
    assert likeness(references, center).reason.startswith("most like the photographs")
    between = likeness(references, center + nearest / 2 + learned / 2)
    assert between.family == UNKNOWN
    # In the direction of a family, but twice and thrice as far as it ever goes.
    far = likeness(references, center + 3 * nearest)
    assert far.shares["nearest"] > 0.99
    assert far.distance > far.farthest
    assert (far.family, far.reason.split()[0]) == (UNKNOWN, "unlike")
    assert sum(far.shares.values()) == pytest.approx(1)


def test_a_share_below_the_bound_names_nothing(examples):
    references, _ = make_references(examples, folds_of(examples), tile=64)
    along = references.signatures["nearest"]
    for step in np.linspace(0, 1, 41):
        one = likeness(references, references.center + step * along)
        assert (one.family == "nearest") == (one.shares["nearest"] >= NAMED_FROM)


def test_too_few_of_a_family_give_the_band_alone(examples):
    few = [mode if mode != "nearest" else None for mode in examples.modes]
    without = Examples(examples.features, examples.groups, few, examples.traces)
    references, card = make_references(without, folds_of(without), tile=64)
    assert not references.signatures
    assert set(references.to_arrays()) == {"reference.real"}
    assert card["families"] == {}
    with pytest.raises(ValueError, match="no signatures"):
        likeness(references, torch.from_numpy(examples.traces[1]))


def unseen():
    """Luma of real pictures that no part of the shipped model was made from, (256, 256) float."""
    paths = [MEDIA / f"real_{name}.jpg" for name in ("bridge", "dogs", "messenger")]
    planes = [read_luma(path).as_uint8_range() for path in paths]
    planes += [torch.from_numpy(load().copy()) for load in (data.brick, data.gravel)]
    return [plane.float()[-256:, :256] for plane in planes]


def test_the_shipped_model_names_rightly_or_not_at_all(shipped):
    references = References.from_model(shipped.arrays, shipped.card)

    def named(plane):
        tiles = cut_tiles(plane.clamp(0, 255).round(), shipped.tile)
        return likeness(references, traces_of(shipped.features(tiles), tiles)).family

    found = Counter()
    for number, plane in enumerate(unseen()):
        assert named(plane) == UNKNOWN
        for family, modes in FAMILIES.items():
            for seed in range(8):
                rng = np.random.default_rng([number, seed])
                name = named(upsampled(plane, (modes[seed % len(modes)],), rng))
                found["unknown" if name == UNKNOWN else name == family] += 1
    assert found[True] >= 2 * found[False]
    assert found[True] >= 0.25 * sum(found.values())


def test_the_card_of_the_shipped_model_holds_the_figures(shipped):
    card = shipped.card["reference"]
    counts = card["held_out"]["confusion"]
    assert {name: sum(row.values()) for name, row in counts.items()} == card["images"]
    rates = {
        name: {k: v / sum(row.values()) for k, v in row.items()} for name, row in counts.items()
    }
    for name in FAMILIES:
        value, low, high = card["held_out"]["right_when_named"][name]
        assert value == pytest.approx(rates[name][name] / sum(rates[f][name] for f in FAMILIES))
        assert low <= value <= high


def test_fitting_stores_references_that_the_file_keeps(real_images, tmp_path):
    (tmp_path / "photos").mkdir()
    for number, image in enumerate(real_images[:12]):
        Image.fromarray(np.tile(image, (3, 3))).save(tmp_path / "photos" / f"{number}.png")
    dataset, spec = Dataset(), FeatureSpec(bands=10)
    simulate_folder(dataset, tmp_path / "photos", spec, (64,), pairs=60, seed=0)
    model = fit_model(dataset, spec, name="own", tile=64).model
    model.save(tmp_path / "own.safetensors")
    loaded = Model.load(tmp_path / "own.safetensors")
    references = References.from_model(loaded.arrays, loaded.card)
    assert set(references.signatures) == set(FAMILIES)
    assert references.real.shape == (3, 30)
    assert references.farthest == loaded.card["reference"]["farthest"]


@pytest.fixture
def with_references(linear_model):
    size = linear_model.arrays["probe"].numel()
    traces = size + phase_count()
    band = torch.linspace(-1, 1, 3)[:, None].expand(3, size).contiguous()
    extra = References(
        band, {"nearest": torch.ones(traces)}, torch.zeros(traces), torch.eye(traces)
    ).to_arrays()
    return Model({**linear_model.arrays, **extra}, linear_model.card)


def changed(model, name, array):
    return Model({**model.arrays, name: array}, model.card)


def test_references_change_no_score(linear_model, with_references, real_images):
    images = torch.from_numpy(real_images[:3])
    assert torch.equal(with_references.logits(images), linear_model.logits(images))


def test_references_are_covered_by_the_digest(with_references, tmp_path):
    path = tmp_path / "model.safetensors"
    with_references.save(path)
    data = bytearray(path.read_bytes())
    place = data.find(np.float32(1).tobytes() * 100)
    assert place > 0
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="changed after it was saved"):
        Model.load(path)


@pytest.mark.parametrize(
    ("name", "bend", "message"),
    [
        ("reference.real", lambda a: a[:2], "want floating"),
        ("reference.real", lambda a: a.flip(0), "must ascend"),
        ("reference.nearest", lambda a: a[:-1], "want floating"),
        ("reference.center", lambda a: a[:-1], "want floating"),
        ("reference.nearest", lambda a: a.int(), "want floating"),
        ("reference.nearest", lambda a: a * float("nan"), "not finite"),
        ("reference.covariance", lambda a: -a, "positive definite"),
        ("reference.covariance", lambda a: a + torch.ones_like(a).triu(1), "symmetric"),
    ],
)
def test_bent_references_are_refused(with_references, name, bend, message):
    with pytest.raises(ValueError, match=message):
        changed(with_references, name, bend(with_references.arrays[name]))


def test_signatures_need_their_company(with_references):
    for missing in ("real", "center", "covariance", "nearest"):
        kept = {
            name: a for name, a in with_references.arrays.items() if name != f"reference.{missing}"
        }
        with pytest.raises(ValueError, match="signatures need"):
            Model(kept, with_references.card)


def test_unknown_arrays_are_still_refused(linear_model):
    with pytest.raises(ValueError, match="linear has"):
        changed(linear_model, "anything.else", torch.zeros(3))


def test_scores_of_videos_must_be_sorted(linear_model):
    ascending = torch.tensor([-1.0, 0.5, 2.0], dtype=torch.float64)
    assert "calibration.video" in changed(linear_model, "calibration.video", ascending).arrays
    for bent in (ascending.flip(0), ascending[None], ascending.long()):
        with pytest.raises(ValueError, match="ascending"):
            changed(linear_model, "calibration.video", bent)


def test_a_pickled_model_is_its_file(with_references, shipped, real_images):
    images = torch.from_numpy(real_images[:3])
    for model in (with_references, shipped):
        copy = pickle.loads(pickle.dumps(model))
        assert copy.sha256 == model.sha256
        assert copy.to_bytes() == model.to_bytes()
        assert torch.equal(copy.logits(images), model.logits(images))


def test_bytes_are_checked_as_files_are(shipped):
    data = shipped.to_bytes()
    assert Model.from_bytes(data, shipped.sha256).sha256 == shipped.sha256
    with pytest.raises(ValueError, match="was expected"):
        Model.from_bytes(data, "0" * 64)
    bent = bytearray(data)
    bent[-5] ^= 1
    with pytest.raises(ValueError, match="changed after it was saved"):
        Model.from_bytes(bytes(bent))


def test_a_tampered_pickle_is_refused(shipped):
    data = pickle.dumps(shipped)
    bent = bytearray(data)
    bent[data.rfind(b"upsampling-v2")] ^= 1
    with pytest.raises(ValueError):
        pickle.loads(bytes(bent))


def test_the_last_up_sampler_names_the_family():
    rng = np.random.default_rng(0)
    modes = [
        (),
        ("nearest", "bilinear"),
        ("bicubic", "transposed"),
        ("pixel_shuffle", "nearest"),
        ("nearest", "bed_of_nails"),
    ]
    samples = [
        Sample(
            f"p{i // 5}",
            int(i % 5 > 0),
            64,
            rng.standard_normal((2, 5)),
            modes=modes[i % 5],
            traces=rng.standard_normal(9),
        )
        for i in range(125)
    ]
    samples += [Sample("other", 0, 128, np.zeros((1, 5), np.float32))]
    _, card = references_from(samples, 64, seed=0)
    assert card["images"] == {REAL: 25, "nearest": 25, "interpolation": 25, "learned": 50}
    # Too few of a single up-sampler to say how well these are told apart.
    assert card["every_mode_apart"] is None
    json.dumps(card, allow_nan=False)


def test_samples_know_the_up_samplers_that_made_them(real_images, tmp_path):
    Image.fromarray(np.tile(real_images[0], (3, 3))).save(tmp_path / "a.png")
    dataset = Dataset()
    simulate_folder(dataset, tmp_path, FeatureSpec(), (64,), pairs=20, seed=0)
    plane = torch.from_numpy(np.tile(real_images[0], (3, 3)))
    expected = [pair.modes for pair in simulate([lambda: plane], pairs=20, seed=0)]
    generated = [sample.modes for sample in dataset.samples if sample.label]
    assert generated == expected
    assert all(sample.modes == () for sample in dataset.samples if not sample.label)
