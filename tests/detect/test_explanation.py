"""Explanations as data: terms sum to the logit, for every family; changes change the verdict."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from gandetect.detect import Model, Thresholds, load_shipped
from gandetect.detect.changes import MOST_DECIBEL, Metric, metric_of
from gandetect.detect.classifiers import CLASSIFIERS, MAPS, fit_classifier, spec_for
from gandetect.detect.contributions import BANDS, PIXELS, PLANE, features_of, parts_of
from gandetect.detect.explanation import contributions, evidence, nearest_family, what_would_change
from gandetect.detect.features import FeatureSpec, extract
from gandetect.detect.members import BIAS, FUSION, WEIGHT, prefix
from gandetect.detect.networks.training import Schedule
from gandetect.detect.planes import PlaneSpec
from gandetect.detect.reference import MEANINGS, References
from gandetect.detect.scorers import SCORERS

SETTINGS = {
    "forest": {"n_estimators": 20},
    "boosted": {"n_estimators": 40},
    "kmeans": {"n_clusters": 4},
    "cnn": {"widths": (4, 8), "hidden": 16, "schedule": Schedule(3, 16)},
    "cnn-spectrum": {"widths": (4, 8, 8), "hidden": 16, "schedule": Schedule(3, 16)},
    "cnn-residual": {"widths": (4, 8), "schedule": Schedule(3, 16)},
}
PROFILES = ["logistic", "additive", "svm", "forest", "boosted", "kmeans"]
PLANES = ["spectrum", "dct"]
NETWORKS = ["cnn", "cnn-spectrum", "cnn-residual"]


def wrap(name, kind, spec, arrays, **more):
    return Model.create(
        "test", name, kind, spec, arrays, tile=64, platt=(1.0, 0.0),
        real_scores=torch.linspace(-3, 0, 100), generated_scores=torch.linspace(0, 3, 100), **more,
    )  # fmt: skip


@pytest.fixture(scope="session")
def fitted(real_images, generated_images):
    """fitted(classifier) -> what was fitted to the first 40 images of each class."""
    tiles = np.concatenate([real_images[:40], generated_images[:40]])
    labels = np.repeat([0, 1], 40)
    # A sixth of the labels are wrong, so that a tree needs more than one question.
    labels = np.where(np.random.default_rng(0).random(80) < 1 / 6, 1 - labels, labels)
    made = {}

    def fit(name):
        if name not in made:
            spec = spec_for(name, 64)
            features = extract(torch.from_numpy(tiles), spec).numpy()
            settings = dict(SETTINGS.get(name, {}))
            made[name] = fit_classifier(name, features, labels, seed=0, **settings)
        return made[name]

    return fit


@pytest.fixture(scope="session")
def model_of(fitted, real_images):
    def make(name):
        fit, spec = fitted(name), spec_for(name, 64)
        references = {}
        if isinstance(spec, FeatureSpec):
            features = extract(torch.from_numpy(real_images), spec).double()
            real = torch.quantile(features, torch.tensor([0.05, 0.5, 0.95]).double(), dim=0)
            references = References(real, {}).to_arrays()
        details = {"network": fit.network} if fit.network else {}
        return wrap(name, fit.kind, spec, fit.arrays, details=details, references=references)

    return make


@pytest.fixture(scope="session")
def fused(fitted):
    """A fusion of a profile, a plane and a network."""
    return fusion_of(fitted, ("logistic", "dct", "cnn"), [0.5, 0.25, 2.0])


@pytest.fixture(scope="session")
def fused_profiles(fitted):
    """A fusion of three that look at the same profile."""
    return fusion_of(fitted, ("logistic", "boosted", "svm"), [0.5, 0.25, 2.0])


def fusion_of(fitted, names, weights):
    described, arrays = [], {WEIGHT: torch.tensor(weights).double(), BIAS: torch.tensor([0.7])}
    for number, name in enumerate(names):
        fit = fitted(name)
        entry = {"classifier": name, "kind": fit.kind, "features": spec_for(name, 64).to_dict()}
        described.append({**entry, **({"network": fit.network} if fit.network else {})})
        arrays |= {f"{prefix(number)}{key}": array for key, array in fit.arrays.items()}
    details = {"members": described, "min_side": 64}
    return wrap(FUSION, FUSION, spec_for("logistic", 64), arrays, details=details)


@pytest.fixture(scope="session")
def squares(real_images, generated_images):
    """Tiles that no model of this file was fitted to, as if of one image."""
    return torch.from_numpy(np.concatenate([real_images[50:53], generated_images[50:54]]))


@pytest.mark.parametrize("name", PROFILES + PLANES + NETWORKS)
def test_terms_and_bias_sum_to_the_logit(model_of, squares, name):
    model = model_of(name)
    found = contributions(model, squares)
    (member,) = found.members
    logit = float(model.logits(squares).double().mean())
    assert found.logit == logit
    assert found.exact == (name not in [*NETWORKS, "svm"])
    assert found.tolerance == {True: 1e-4, False: 1e-3 if name == "svm" else 1e-2}[found.exact]
    assert found.total == pytest.approx(logit, abs=found.tolerance)
    assert member.total == found.total
    assert torch.isfinite(member.values).all()
    assert float(member.values.abs().max()) > 0


@pytest.mark.parametrize("name", sorted(set(CLASSIFIERS) - set(MAPS)))
def test_values_are_laid_out_as_their_kind_says(model_of, squares, name):
    (member,) = contributions(model_of(name), squares).members
    shapes = {
        "spectrum": (PLANE, (33, 33)),
        "dct": (PLANE, (64, 64)),
        "cnn-spectrum": (PLANE, (64, 33)),
        "cnn": (PIXELS, (7, 64, 64)),
        "cnn-residual": (PIXELS, (7, 64, 64)),
    }
    assert (member.kind, tuple(member.values.shape)) == shapes.get(name, (BANDS, (120,)))
    assert (member.extent is None) == (member.kind != PLANE)


def test_terms_of_a_linear_plane_are_weight_times_distance(model_of, squares):
    model = model_of("dct")
    (member,) = contributions(model, squares).members
    features = model.features(squares).double().mean(dim=0)
    wanted = (features - model.arrays["center"]) * model.arrays["weight"]
    torch.testing.assert_close(member.values, wanted.reshape(64, 64))
    assert member.bias == model.bias


def stump_forest(shares, kind="forest"):
    """One tree: feature 3 parts at 0, and what is larger is parted again by feature 5."""
    names = {"forest": "share", "boosted": "value"}
    arrays = {
        "roots": torch.tensor([0]).int(),
        "feature": torch.tensor([3, 0, 5, 0, 0]).int(),
        "threshold": torch.zeros(5).double(),
        "left": torch.tensor([1, 1, 3, 3, 4]).int(),
        "right": torch.tensor([2, 1, 4, 3, 4]).int(),
        names[kind]: torch.tensor(shares).double(),
    }
    if kind == "boosted":
        arrays["base"] = torch.tensor(0.5).double()
    return wrap(kind, kind, FeatureSpec(), arrays)


def with_features(monkeypatch, values):
    features = torch.zeros(1, 120)
    for place, value in values.items():
        features[0, place] = value
    monkeypatch.setattr("gandetect.detect.contributions.extract", lambda *_: features)
    monkeypatch.setattr("gandetect.detect.members.extract", lambda *_: features)


def test_path_of_a_boosted_tree_by_hand(monkeypatch, squares):
    """Inner nodes of the file are ignored: both answers count alike."""
    model = stump_forest([99.0, -1.0, 99.0, 2.0, 6.0], "boosted")
    with_features(monkeypatch, {3: 1.0, 5: 1.0})
    (member,) = contributions(model, squares[:1]).members
    assert member.bias == 0.5 + (-1 + 4) / 2
    assert float(member.values[3]) == 4 - 1.5
    assert float(member.values[5]) == 6 - 4
    assert int((member.values != 0).sum()) == 2
    assert contributions(model, squares[:1]).logit == 6.5


def test_path_of_a_forest_by_hand(monkeypatch, squares):
    """The shares of its training images, of which 0.3, then 0.6, then 0.9 were generated."""
    model = stump_forest([0.3, 0.0, 0.6, 0.5, 0.9])
    with_features(monkeypatch, {3: 1.0, 5: 1.0})
    (member,) = contributions(model, squares[:1]).members
    start, end = math.log(0.8 / 1.2), math.log(1.4 / 0.6)
    assert member.bias == pytest.approx(start)
    assert float(member.values[3]) == pytest.approx((end - start) / 2)
    assert float(member.values[5]) == pytest.approx((end - start) / 2)


def test_a_forest_that_says_what_it_expected_has_no_terms(monkeypatch, squares):
    model = stump_forest([0.3, 0.0, 0.6, 0.5, 0.3])
    with_features(monkeypatch, {3: 1.0, 5: 1.0})
    found = contributions(model, squares[:1])
    (member,) = found.members
    assert found.total == pytest.approx(found.logit, abs=1e-6)
    slope = 1 / 0.8 + 1 / 1.2
    assert float(member.values[3]) == pytest.approx(0.3 * slope)
    assert float(member.values[5]) == pytest.approx(-0.3 * slope)


def test_a_feature_that_no_tree_asks_for_has_no_term(model_of, squares):
    model = model_of("boosted")
    inner = model.arrays["left"] != torch.arange(len(model.arrays["left"]))
    asked = set(model.arrays["feature"][inner].tolist())
    (member,) = contributions(model, squares).members
    others = [i for i in range(120) if i not in asked]
    assert others
    assert (member.values[others] == 0).all()
    assert (member.values[sorted(asked)] != 0).sum() > 3


def test_gradients_of_a_kernel_that_is_almost_linear_are_those_of_the_line(model_of, squares):
    """As gamma goes to 0, dual exp(-gamma d²) becomes a quadratic whose terms are known."""
    model = model_of("svm")
    features = features_of(model.spec, squares)
    tiny = {**model.arrays, "gamma": torch.tensor(1e-9).double()}
    tiny["dual"] = model.arrays["dual"] * 1e9
    z = (features - tiny["center"]) / tiny["scale"]
    support, dual = tiny["support"], tiny["dual"] * 1e-9
    wanted = (2 * z * (dual @ support) - z.square() * dual.sum()).mean(dim=0)
    (member,) = contributions(Model(tiny, model.card), squares).members
    torch.testing.assert_close(member.values, wanted, rtol=1e-3, atol=1e-4)


def test_pixels_that_a_network_does_not_see_have_no_term(model_of, squares):
    """The residual network cuts an odd last row off; the pixels of a flat tile are its baseline."""
    model = model_of("cnn")
    flat = torch.full((1, 64, 64), 90.0)
    flat[0, 20:30, 40:50] += 60
    values = contributions(model, flat).members[0].values[0]
    touched = values != 0
    inside = torch.zeros(64, 64, dtype=torch.bool)
    inside[20:30, 40:50] = True
    # What lies outside differs from the mean of the tile by a little, and so counts for little.
    assert float(values[inside].abs().mean()) > 5 * float(values[~inside & touched].abs().mean())


def test_maps_of_a_larger_square_lie_where_its_tiles_do(model_of, squares):
    model = model_of("cnn")
    large = torch.zeros(1, 132, 132, dtype=torch.uint8)
    large[0, 2:66, 2:66], large[0, 2:66, 66:130] = squares[0], squares[1]
    large[0, 66:130, 2:66], large[0, 66:130, 66:130] = squares[4], squares[5]
    found = contributions(model, large)
    alone = contributions(model, squares[[0, 1, 4, 5]])
    assert found.total == pytest.approx(alone.total, abs=1e-5)
    values, parts = found.members[0].values[0], alone.members[0].values
    torch.testing.assert_close(values[2:66, 66:130], parts[1])
    torch.testing.assert_close(values[66:130, 2:66], parts[2])
    assert (values[:2] == 0).all()
    assert (values[:, 130:] == 0).all()


def test_members_of_a_fusion_sum_to_its_logit(fused, model_of, squares):
    found = contributions(fused, squares)
    assert [member.classifier for member in found.members] == ["logistic", "dct", "cnn"]
    assert [member.kind for member in found.members] == [BANDS, PLANE, PIXELS]
    assert found.bias == pytest.approx(0.7)
    assert found.total == pytest.approx(found.logit, abs=found.tolerance)
    assert found.tolerance == pytest.approx(0.75 * 1e-4 + 2 * 1e-2)
    assert not found.exact
    alone = contributions(model_of("dct"), squares).members[0]
    torch.testing.assert_close(found.members[1].values, 0.25 * alone.values)
    assert found.members[1].total == pytest.approx(0.25 * alone.total)
    pixels = contributions(model_of("cnn"), squares).members[0]
    torch.testing.assert_close(found.members[2].values, 2 * pixels.values)


def logit_after(model, squares, shift):
    """By the scorer, not by what is tested."""
    features = features_of(model.spec, squares) + shift
    return float(model.score_features(features).double().mean())


def edges(logit, real=-1.0, generated=1.0):
    """Thresholds beside `logit`."""
    return Thresholds(logit + generated, logit + real, 0.05, True, 100)


def now(model, squares):
    return float(model.logits(squares).double().mean())


@pytest.mark.parametrize("name", ["logistic", "spectrum", "dct"])
@pytest.mark.parametrize(
    ("real", "generated", "verdict"),
    [
        (-3.0, -0.5, "inconclusive"),
        (0.5, 3.0, "inconclusive"),
        (-0.5, 3.0, "real"),
        (-3.0, 0.5, "generated"),
        (-0.4, -0.4, "real"),
    ],
)
def test_the_smallest_change_leads_to_the_edge(model_of, squares, name, real, generated, verdict):
    model = model_of(name)
    thresholds = edges(now(model, squares), real, generated)
    before = thresholds.verdict(now(model, squares))
    change = what_would_change(model, squares, thresholds).smallest
    after = [
        thresholds.verdict(logit_after(model, squares, change.shift * (1 + e)))
        for e in (-1e-4, 1e-4)
    ]
    assert after == [before, verdict]
    assert change.verdict == verdict
    assert change.logit in (thresholds.real, thresholds.generated)
    assert float(change.shift.sum()) == pytest.approx(0, abs=1e-9)


def with_covariance(linear):
    """`linear` with the references of the shipped model, which has the same features."""
    references = {n: a for n, a in load_shipped().arrays.items() if n.startswith("reference.")}
    return Model({**linear.arrays, **references}, linear.card)


@pytest.mark.parametrize("covariance", [False, True])
def test_no_change_in_a_random_direction_is_smaller(model_of, squares, covariance):
    model = with_covariance(model_of("logistic")) if covariance else model_of("logistic")
    thresholds = edges(now(model, squares))
    found = what_would_change(model, squares, thresholds)
    metric = metric_of(model, 120)
    assert ("covariance" in metric.name) == covariance
    best, missing = found.smallest, found.smallest.logit - now(model, squares)
    generator = torch.Generator().manual_seed(0)
    weight = model.arrays["weight"]
    for spread in (1.0, 0.1, 0.01):
        others = best.shift + spread * best.shift.norm() * torch.randn(
            2000, 120, generator=generator, dtype=torch.float64
        )
        others -= others.mean(dim=1, keepdim=True)
        amounts = missing / (others @ weight)
        lengths = metric.lengths(others) * amounts.abs()
        assert float(lengths.min()) > best.distance
    assert float(metric.lengths(best.shift[None])) == pytest.approx(best.distance)


def test_a_model_without_references_counts_all_features_alike(linear_model):
    squares = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 64, 64), np.uint8))
    found = what_would_change(linear_model, squares, edges(now(linear_model, squares)))
    assert found.metric == "units of the features"
    weight = linear_model.arrays["weight"] - linear_model.arrays["weight"].mean()
    shift = found.smallest.shift
    torch.testing.assert_close(shift / shift.norm(), weight / weight.norm() * shift.sign()[0] *
                               weight.sign()[0])  # fmt: skip


@pytest.mark.parametrize("name", PROFILES)
def test_a_single_band_changes_the_verdict_at_its_edge(model_of, squares, name):
    model = model_of(name)
    # Steps as large as those of trees must be climbed.
    thresholds = edges(now(model, squares), -8.0, -0.05)
    change = what_would_change(model, squares, thresholds).single
    before, after = (
        thresholds.verdict(logit_after(model, squares, change.shift * (1 + e)))
        for e in (-1e-4, 1e-4)
    )
    assert (before, after) == ("generated", "inconclusive")
    assert change.verdict == "inconclusive"
    (band,) = change.decibel.nonzero().flatten().tolist()
    assert band == change.band
    assert 0 < abs(float(change.decibel[band])) <= MOST_DECIBEL
    # As much power in one band: 10 ln P there, and its mean less everywhere.
    amount = float(change.decibel[band]) * math.log(10)
    wanted = torch.full((120,), -amount / 120).double()
    wanted[band] += amount
    torch.testing.assert_close(change.shift, wanted)


def test_a_single_band_changes_the_verdict_of_a_fusion_on_one_profile(fused_profiles, squares):
    model = fused_profiles
    thresholds = edges(now(model, squares), -8.0, -0.05)
    change = what_would_change(model, squares, thresholds).single
    features, parts = features_of(model.spec, squares), parts_of(model)

    def verdict(share):
        """By the members' own scorers, weighed by hand."""
        moved = features + share * change.shift
        logits = [SCORERS[part.kind](part.arrays, moved).double().mean() for part in parts]
        return thresholds.verdict(float(np.dot([0.5, 0.25, 2.0], logits)) + 0.7)

    assert [verdict(share) for share in (0.0, 1 - 1e-4, 1 + 1e-4)] == [
        "generated", "generated", "inconclusive",
    ]  # fmt: skip
    assert 0 < abs(float(change.decibel[change.band])) <= MOST_DECIBEL


@pytest.mark.parametrize("name", ["logistic", "svm", "boosted"])
def test_no_other_single_band_is_nearer(model_of, squares, name):
    model = model_of(name)
    thresholds = edges(now(model, squares), -8.0, -0.05)
    best = what_would_change(model, squares, thresholds).single
    metric = metric_of(model, 120)
    for band in range(120):
        direction = -torch.full((1, 120), 1 / 120).double()
        direction[0, band] += 1
        reach = 0.98 * best.distance / float(metric.lengths(direction))
        for amount in (-reach, -reach / 2, reach / 2, reach):
            if abs(amount) / math.log(10) < MOST_DECIBEL:
                logit = logit_after(model, squares, amount * direction)
                assert thresholds.verdict(logit) == "generated"


def wide_ninth_feature():
    """References whose reals spread ten times as far in feature 9 as in the others."""
    spread = torch.ones(120)
    spread[9] = 10
    return References(torch.stack([-spread, 0 * spread, spread]), {}).to_arrays()


def test_the_nearest_band_of_a_linear_model_is_by_spread_not_by_decibels(squares):
    weight = torch.zeros(120).double()
    weight[5], weight[9] = 1.0, 0.8
    arrays = {"weight": weight, "center": torch.zeros(120).double(), "bias": torch.zeros(())}
    model = wrap("l", "linear", FeatureSpec(), arrays, references=wide_ninth_feature())
    change = what_would_change(model, squares, edges(now(model, squares))).single
    assert change.band == 9


def test_the_nearest_band_of_trees_is_by_spread_not_by_decibels(squares):
    """Either of two stumps would change the verdict: feature 5 by one unit, feature 9 by two."""
    features = features_of(FeatureSpec(), squares[:1])[0]
    arrays = {
        "roots": torch.tensor([0, 3]).int(),
        "feature": torch.tensor([5, 0, 0, 9, 0, 0]).int(),
        "threshold": torch.tensor([features[5] + 1, 0, 0, features[9] + 2, 0, 0]).double(),
        "left": torch.tensor([1, 1, 2, 4, 4, 5]).int(),
        "right": torch.tensor([2, 1, 2, 5, 4, 5]).int(),
        "value": torch.tensor([0.0, 0, -5, 0, 0, -5]).double(),
        "base": torch.tensor(1.0).double(),
    }
    for references, band, amount in (({}, 5, 1), (wide_ninth_feature(), 9, 2)):
        model = wrap("b", "boosted", FeatureSpec(), arrays, references=references)
        thresholds = edges(0.0, -8.0, 0.5)
        change = what_would_change(model, squares[:1], thresholds).single
        assert change.band == band
        wanted = amount / math.log(10) * 120 / 119
        assert float(change.decibel[band]) == pytest.approx(wanted, rel=1e-4)
        assert change.logit == -4


def test_power_changed_in_the_image_changes_the_features_as_said(model_of):
    """A gain on one ring of the spectrum is a shift of one band of all directions."""
    spec = replace(FeatureSpec(), projections=("azimuthal",), window=None)
    rng = np.random.default_rng(3)
    spectrum = np.fft.fft2(rng.standard_normal((64, 64)))
    radius = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64)[None, :])
    _, low, high = spec.axes()[30]
    ring = (np.floor(radius * 64) + 1 > low * 64) & (np.floor(radius * 64) < high * 64)
    images = [np.fft.ifft2(spectrum * np.where(ring, gain, 1.0)).real for gain in (1, 10**0.1)]
    before, after = extract(torch.from_numpy(np.stack(images)), spec).double()
    shift = after - before
    # 2 dB of power are 2 ln 10 / 10 * 10 units; the mean of all bands takes its part away.
    assert float(shift[30] - shift[10]) == pytest.approx(2 * math.log(10), rel=1e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_offer_no_change_and_say_why(model_of, squares, name):
    found = what_would_change(model_of(name), squares, edges(0.0))
    assert found.smallest is None
    assert found.single is None
    assert "pattern made against it" in found.reason


def test_a_fusion_offers_no_change_and_says_why(fused, fitted, squares):
    planes = (fusion_of(fitted, names, [1.0] * len(names)) for names in (["dct"], ["dct", "dct"]))
    for model in (fused, *planes):
        assert "offered for a fusion" in what_would_change(model, squares, edges(0.0)).reason


def test_features_that_are_no_logarithms_have_no_decibels(squares):
    spec = replace(FeatureSpec(), value="magnitude")
    arrays = {"weight": torch.ones(120), "center": torch.zeros(120), "bias": torch.zeros(())}
    model = wrap("logistic", "linear", spec, arrays)
    assert "no logarithms" in what_would_change(model, squares, edges(0.0)).reason


def test_a_verdict_too_far_for_one_band_says_so(model_of, squares):
    model = model_of("logistic")
    found = what_would_change(model, squares, edges(now(model, squares), -900.0, -500.0))
    assert found.single is None
    assert "No single band" in found.reason
    assert found.smallest is not None


def test_a_length_is_that_of_the_covariance():
    matrix = torch.tensor([[4.0, 1.0], [1.0, 9.0]]).double()
    shifts = torch.tensor([[1.0, 0.0], [2.0, -3.0]]).double()
    wanted = (shifts @ torch.linalg.inv(matrix) * shifts).sum(dim=1).sqrt()
    torch.testing.assert_close(Metric("", matrix).lengths(shifts), wanted)
    variances = torch.tensor([4.0, 9.0]).double()
    torch.testing.assert_close(
        Metric("", variances).lengths(shifts), Metric("", variances.diag()).lengths(shifts)
    )


def test_nearest_family_or_why_there_is_none(model_of, fused, linear_model, squares):
    shipped, _ = nearest_family(load_shipped(), squares)
    assert shipped.family in {*MEANINGS, "unknown"}
    alike, reason = nearest_family(load_shipped(), squares, lossless=False)
    assert alike is None
    assert "Compression" in reason
    for model, words in (
        (model_of("boosted"), "not fitted to enough simulated"),
        (linear_model, "carries no references"),
        (model_of("cnn"), "no detector of spectral profiles"),
        (fused, "no detector of spectral profiles"),
    ):
        alike, reason = nearest_family(model, squares)
        assert alike is None
        assert words in reason


def test_evidence_holds_all_of_it(model_of, squares):
    model = model_of("boosted")
    thresholds = edges(now(model, squares))
    found = evidence(model, squares, thresholds)
    assert found.breakdown.logit == contributions(model, squares).logit
    assert found.what_if.metric == what_would_change(model, squares, thresholds).metric
    assert found.likeness is None
    assert found.no_likeness


def test_members_are_read_as_the_model_reads_them(fused, squares):
    parts = parts_of(fused)
    assert [part.weight for part in parts] == [0.5, 0.25, 2.0]
    assert [isinstance(part.spec, PlaneSpec) for part in parts] == [False, True, True]
    assert set(parts[1].arrays) == {"weight", "center", "bias"}
