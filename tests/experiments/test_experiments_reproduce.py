"""What is measured: splits, votes, scores, and equality with tables made by another program."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from experiments_by_hand import FEATURES
from PIL import Image
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

from gandetect.experiments import SETTINGS, Reported, Samples, read_folders, reproduce
from gandetect.experiments.classifiers import CLASSIFIERS, LinearLayer
from gandetect.experiments.features import published_features
from gandetect.experiments.runner import cloaking_score, votes
from gandetect.experiments.splits import TooFewError, draw_splits
from gandetect.media import read_luma


def blobs(count: int, distance: float, features: int = 4, seed: int = 0) -> Samples:
    """`count` samples of each class, normal about two points `distance` apart, a source each."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], count)
    x = rng.normal(size=(2 * count, features)) + distance * labels[:, None]
    return Samples(x, labels, np.arange(2 * count).astype(str))


def table_by_hand(name, folders) -> Samples:
    """The features of a folder layout by the independent implementation."""
    features, labels, sources = [], [], []
    for label, folder in enumerate(("real", "generated")):
        for path in sorted((folders / folder).rglob("*.png")):
            features.append(FEATURES[name](read_luma(path).pixels.numpy(), label))
            labels.append(label)
            below = path.relative_to(folders / folder)
            sources.append(str(below.parent) if len(below.parts) > 1 else path.stem)
    return Samples(np.stack(features), np.array(labels), np.array(sources))


def measured(result, variant="as published"):
    return [
        (row.classifier, row.unit, row.samples, row.values, row.reason)
        for row in result.rows
        if row.features == variant
    ]


@pytest.mark.parametrize(
    ("name", "fixture"), [("celeba", "celeba_folders"), ("deepfake-detection", "frames")]
)
def test_folders_and_a_table_of_another_program_give_the_same_results(name, fixture, request):
    folders = request.getfixturevalue(fixture)
    setting = SETTINGS[name]
    here = reproduce(setting, read_folders(folders / "real", folders / "generated", setting))
    there = reproduce(setting, table_by_hand(name, folders))
    assert measured(here) == measured(there)
    assert any(values for _, _, _, values, _ in measured(here))


def test_simulated_upsampling_of_photographs_is_found(celeba_folders):
    setting = SETTINGS["celeba"]
    samples = read_folders(celeba_folders / "real", celeba_folders / "generated", setting)
    rows = {row.classifier: row for row in reproduce(setting, samples).rows if row.values}
    assert len(rows["svm-rbf"].values) == 10
    assert rows["svm-rbf"].mean > 0.65


def test_the_audit_of_the_files_is_part_of_the_result(celeba_folders, frames):
    sized = read_folders(celeba_folders / "real", celeba_folders / "generated", SETTINGS["celeba"])
    assert reproduce(SETTINGS["celeba"], sized).audit.leaks
    setting = SETTINGS["deepfake-detection"]
    alike = read_folders(frames / "real", frames / "generated", setting)
    assert reproduce(setting, alike).audit.auc.value == 0.5


def test_eps_alone_tells_faint_spectra_apart_until_it_is_corrected():
    """Sums of a row and a column: off the axes of the spectrum there are rounding errors only."""
    setting, rng = SETTINGS["deepfake-detection"], np.random.default_rng(3)
    setting = dataclasses.replace(setting, counts=(), reported=(Reported("logistic"),))
    labels = np.repeat([0, 1], 30)
    planes = [
        torch.from_numpy(rng.integers(0, 128, (93, 1)) + rng.integers(0, 128, 93)) for _ in labels
    ]
    pairs = list(zip(planes, labels, strict=True))
    samples = Samples(
        np.stack([published_features(p, setting, eps=setting.eps[label]) for p, label in pairs]),
        labels,
        np.arange(60).astype(str),
        np.stack([published_features(p, setting) for p in planes]),
    )
    means = {row.features: row.mean for row in reproduce(setting, samples).rows}
    assert means["as published"] > 0.95
    assert means["corrected"] < 0.7


def test_generated_folders_are_read_without_eps_and_corrected_with_it(tmp_path):
    rng = np.random.default_rng(3)
    faint = rng.integers(0, 128, (93, 1)) + rng.integers(0, 128, 93)
    for folder in ("real", "generated"):
        (tmp_path / folder).mkdir()
        Image.fromarray(faint.astype(np.uint8)).save(tmp_path / folder / "same.png")
    samples = read_folders(
        tmp_path / "real", tmp_path / "generated", SETTINGS["deepfake-detection"]
    )
    real, generated = samples.features
    assert np.abs(real - generated).max() > 0.1
    np.testing.assert_array_equal(samples.corrected[0], samples.corrected[1])
    np.testing.assert_array_equal(samples.corrected[0], real)


def test_splits_are_fresh_balanced_draws_of_four_fifths_and_a_fifth():
    samples = blobs(50, 1.0)
    splits = draw_splits("random", samples, None, 20, 10, seed=0)
    assert [(len(train), len(test)) for train, test in splits] == [(16, 4)] * 10
    for train, test in splits:
        assert train.count(0) + test.count(0) == 10
        assert not set(train.sources) & set(test.sources)
    assert len({tuple(sorted(test.sources)) for _, test in splits}) == 10
    again = draw_splits("random", samples, None, 20, 10, seed=0)
    assert [list(test.sources) for _, test in again] == [list(t.sources) for _, t in splits]


def test_without_a_test_set_no_video_is_on_both_sides():
    samples = blobs(40, 1.0)
    samples = dataclasses.replace(samples, sources=(np.arange(80) % 8).astype(str))
    for train, test in draw_splits("by-source", samples, None, None, 10, seed=0):
        assert not set(train.sources) & set(test.sources)


def test_the_whole_test_set_is_tested_whatever_is_drawn_for_training():
    splits = draw_splits("own-test", blobs(30, 1.0), blobs(9, 1.0, seed=1), 20, 10, seed=0)
    assert [(len(train), len(test)) for train, test in splits] == [(20, 18)] * 10
    assert len(draw_splits("own-test", blobs(30, 1.0), blobs(9, 1.0), None, 10, seed=0)) == 1


def test_accuracy_is_that_of_the_same_classifier_run_by_hand():
    samples = blobs(60, 0.7)
    setting = dataclasses.replace(SETTINGS["celeba"], counts=(), reported=(Reported("svm-rbf"),))
    (row,) = reproduce(setting, samples, seed=3).rows
    wanted = []
    for repeat in range(10):
        state = int(np.random.default_rng([3, repeat]).integers(2**31))
        x, x_test, y, y_test = train_test_split(
            samples.features, samples.labels, test_size=0.2, random_state=state
        )
        wanted.append(SVC(C=6.37, gamma=0.86).fit(x, y).score(x_test, y_test))
    assert row.values == pytest.approx(wanted)
    assert row.deviation == pytest.approx(np.std(wanted, ddof=1))


def test_a_number_of_samples_that_is_not_there_is_named_and_the_rest_measured():
    rows = reproduce(SETTINGS["faces-hq"], blobs(60, 9.0, features=5)).rows
    by_count = {row.samples: row for row in rows if row.classifier == "svm-linear"}
    assert by_count[4000].values == ()
    assert by_count[4000].reason == "needs 2000 of each class"
    assert by_count[4000].published == 1.0
    assert by_count[100].mean == by_count[120].mean == 1.0
    assert by_count[120].published is None


def test_a_fit_that_does_not_converge_is_said(monkeypatch):
    stopped = SVC(kernel="linear", max_iter=3)
    monkeypatch.setitem(CLASSIFIERS, "svm-linear", lambda seed: stopped)
    setting = dataclasses.replace(SETTINGS["celeba"], reported=(Reported("svm-linear"),))
    row = reproduce(setting, blobs(50, 0.2)).rows[-1]
    assert "did not converge in 10 of 10 splits" in row.notes


def test_what_a_classifier_raises_is_not_swallowed():
    samples = blobs(20, 1.0)
    corrected = samples.features.copy()
    corrected[3, 0] = np.nan
    setting = dataclasses.replace(SETTINGS["cloaking-score"], reported=(Reported("logistic"),))
    broken = dataclasses.replace(samples, corrected=corrected)
    with pytest.raises(ValueError, match="NaN"):
        reproduce(setting, broken)


def test_a_video_is_real_from_the_published_share_of_its_frames_on():
    labels = np.repeat([0, 1], 40)
    samples = Samples(np.zeros((80, 1)), labels, np.tile(np.repeat(["a", "b"], 20), 2))
    predicted = np.ones(80, int)
    predicted[:11] = 0  # 55 % of video a of the reals
    predicted[20:30] = 0  # 50 % of video b
    truth, voted = votes(samples, predicted, 0.55)
    assert truth.tolist() == [0, 0, 1, 1]
    assert voted.tolist() == [0, 1, 1, 1]


def test_cloaking_score_of_accuracies():
    assert [cloaking_score(a) for a in (0.5, 1.0, 0.0)] == [1, 0, 0]
    assert cloaking_score(0.75) == cloaking_score(0.25) == 0.5


@pytest.fixture
def cloaking(monkeypatch):
    """The rows of the setting by how they were split, for two sets of profiles; fewer epochs."""
    monkeypatch.setitem(CLASSIFIERS, "linear-layer", lambda seed: LinearLayer(1000, 1000, seed))

    def rows(real: np.ndarray, generated: np.ndarray):
        labels = np.repeat([0, 1], [len(real), len(generated)])
        sources = np.arange(len(labels)).astype(str)
        samples = Samples(np.concatenate([real, generated]), labels, sources)
        return {row.splits: row for row in reproduce(SETTINGS["cloaking-score"], samples).rows}

    return rows


def test_the_same_images_on_both_sides_are_cloaked(cloaking):
    profiles = np.random.default_rng(0).random((40, 30))
    assert cloaking(profiles, profiles)["training"].mean == 1.0


def test_separable_images_are_not_cloaked(cloaking):
    profiles = np.random.default_rng(0).random((40, 30))
    apart = cloaking(profiles, profiles + np.tile([1.0, -1.0], 15))
    assert apart["training"].mean == apart["held-out"].mean == 0.0
    assert apart["held-out"].interval.low == 0.0
    assert 0.0 < apart["held-out"].interval.high < 0.2


def test_training_data_flatter_noise_and_the_held_out_interval_does_not(cloaking):
    rng = np.random.default_rng(1)
    noise = cloaking(rng.random((20, 60)), rng.random((20, 60)))
    assert noise["training"].mean < 0.6
    assert noise["held-out"].interval.high == 1.0


def test_the_linear_layer_is_the_one_that_torch_trains():
    samples = blobs(30, 1.0)
    found = LinearLayer(epochs=50).fit(samples.features, samples.labels).weight_
    generator = torch.Generator().manual_seed(0)
    start = torch.empty(5).uniform_(-0.5, 0.5, generator=generator)
    layer = torch.nn.Linear(4, 1)
    layer.load_state_dict({"weight": start[None, :4].clone(), "bias": start[4:].clone()})
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-3)
    loss = torch.nn.BCEWithLogitsLoss(reduction="sum")
    x, y = torch.from_numpy(samples.features).float(), torch.from_numpy(samples.labels).float()
    for _ in range(50):
        optimizer.zero_grad()
        loss(layer(x)[:, 0], y).backward()
        optimizer.step()
    wanted = torch.cat([layer.weight[0], layer.bias]).detach()
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="4 real and 4 generated samples given; at least 5"):
        reproduce(SETTINGS["celeba"], blobs(4, 1.0))
    one = dataclasses.replace(blobs(9, 1.0), sources=np.repeat(["a", "b"], 9))
    with pytest.raises(TooFewError, match="1 source"):
        draw_splits("by-source", one, None, None, 10, seed=0)


def test_folders_and_tables_are_not_mixed():
    read = dataclasses.replace(blobs(9, 1.0), corrected=np.ones((18, 4)))
    with pytest.raises(ValueError, match="folders for training and test, or tables for both"):
        reproduce(SETTINGS["deepfake-detection"], read, blobs(9, 1.0))


def test_a_test_set_is_refused_where_the_paper_had_none():
    with pytest.raises(ValueError, match="celeba has no test set of its own"):
        reproduce(SETTINGS["celeba"], blobs(9, 1.0), blobs(9, 1.0))
