"""Transfer between generators and the learning curve, by folds of sources."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from gandetect.detect.metrics import Estimate
from gandetect.detect.training import Sample
from gandetect.detect.transfer import (
    SIZES,
    Transfer,
    classifier_fit,
    learning_curve,
    transfer_matrix,
)

# Which feature gives each generator away; "both" shares the first with "first".
TRACES = {"first": (0,), "second": (1,), "both": (0, 1)}


def samples_of(trace: Sequence[int], label: int, count: int, seed: int) -> list[Sample]:
    """`count` images of two tiles each, two images to a source, with a trace in some features."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((count, 2, 4)).astype(np.float32)
    features[..., list(trace)] += 3
    return [Sample(f"source {i // 2}", label, 64, tiles) for i, tiles in enumerate(features)]


@pytest.fixture(scope="module")
def reals() -> list[Sample]:
    return samples_of((), 0, 60, 0)


@pytest.fixture(scope="module")
def generated() -> dict[str, list[Sample]]:
    return {name: samples_of(trace, 1, 60, 9) for name, trace in TRACES.items()}


@dataclass
class Recorder:
    """A fit that notes what it saw, and a detector that notes what it is asked for."""

    trainings: list[list[Sample]]
    tests: list[Any]

    def __call__(self, samples: Sequence[Sample]) -> Recorder:
        self.trainings.append(list(samples))
        self.tests.append([])
        return self

    def logits(self, features: np.ndarray) -> np.ndarray:
        self.tests[-1].append(features)
        return features[:, 0]


def test_what_is_shared_transfers_and_what_is_not_does_not(reals, generated):
    found = transfer_matrix(reals, generated, classifier_fit("logistic"), replicates=200)
    auc = {cell: estimate.value for cell, estimate in found.cells.items()}
    assert all(auc[name, name] > 0.97 for name in TRACES)
    assert auc["first", "both"] > 0.97
    assert auc["first", "second"] < 0.7
    assert auc["second", "first"] < 0.7
    assert found.left_out["both"].value > 0.97
    assert found.diagonal == pytest.approx(np.mean([auc[name, name] for name in TRACES]))
    assert found.off_diagonal == pytest.approx(
        np.mean([value for (a, b), value in auc.items() if a != b])
    )
    assert set(found.worst) == {"first", "second"}
    assert all(one.low <= one.value <= one.high for one in found.cells.values())


@pytest.mark.parametrize("classifier", ["logistic", "boosted"])
def test_processes_fit_what_one_does_even_after_fits_in_this_one(reals, generated, classifier):
    fit, two = classifier_fit(classifier), {n: generated[n] for n in ("first", "second")}
    # Threads of OpenMP that are there when the process is forked must not be waited for.
    fit([*reals, *generated["first"]])
    alone, shared = (
        transfer_matrix(reals, two, fit, replicates=20, workers=workers) for workers in (0, 2)
    )
    assert alone == shared
    curves = (
        learning_curve(reals, two["first"], fit, sizes=(16,), draws=3, workers=workers)
        for workers in (0, 2)
    )
    assert len({json.dumps(curve.to_dict()) for curve in curves}) == 1


def test_a_single_generator_has_no_others():
    alone = Transfer(("one",), {("one", "one"): Estimate(0.9, 0.8, 1.0)}, {})
    assert alone.off_diagonal is None
    assert json.loads(json.dumps(alone.to_dict(), allow_nan=False))["off_diagonal"] is None


def test_no_source_is_on_both_sides_and_every_sample_is_tested_once(reals, generated):
    recorder = Recorder([], [])
    transfer_matrix(reals, generated, recorder, replicates=2)
    everything = [*reals, *(one for samples in generated.values() for one in samples)]
    source = {id(sample.features): sample.group for sample in everything}
    # Three generators alone and three times two of them, five folds each.
    assert len(recorder.trainings) == 6 * 5
    for trained, tested in zip(recorder.trainings, recorder.tests, strict=True):
        assert not {one.group for one in trained} & {source[id(one)] for one in tested}
        assert {one.label for one in trained} == {0, 1}
    for training in range(6):
        tested = [id(x) for part in recorder.tests[5 * training : 5 * training + 5] for x in part]
        assert sorted(tested) == sorted(source)


def test_the_left_out_generator_is_never_trained_on(reals, generated):
    recorder = Recorder([], [])
    transfer_matrix(reals, generated, recorder, replicates=2)
    maker = {id(s.features): name for name, samples in generated.items() for s in samples}
    makers = [
        {maker.get(id(one.features), "real") for one in trained} for trained in recorder.trainings
    ]
    assert makers[::5] == [
        *({"real", name} for name in TRACES),
        *({"real", *TRACES} - {name} for name in TRACES),
    ]
    assert all(makers[i] == makers[i // 5 * 5] for i in range(30))


def test_two_generators_are_trained_on_once_each(reals, generated):
    recorder = Recorder([], [])
    two = {name: generated[name] for name in ("first", "second")}
    found = transfer_matrix(reals, two, recorder, replicates=20)
    assert len(recorder.trainings) == 2 * 5
    assert found.left_out["first"] == found.cells["second", "first"]


def test_the_interval_is_that_of_sources(reals, generated):
    many = {name: [s for s in samples for _ in range(10)] for name, samples in generated.items()}
    fit = Recorder([], [])
    once = transfer_matrix(reals, generated, fit, replicates=400).cells["first", "both"]
    copied = transfer_matrix(
        [s for s in reals for _ in range(10)], many, fit, replicates=400
    ).cells["first", "both"]
    assert copied.high - copied.low == pytest.approx(once.high - once.low, rel=0.3)


def test_one_generator_has_no_transfer(reals, generated):
    with pytest.raises(ValueError, match=r"1 generator\(s\) given"):
        transfer_matrix(reals, {"first": generated["first"]}, classifier_fit("logistic"))


def test_more_training_images_help_and_sizes_out_of_reach_are_said(reals, generated):
    found = learning_curve(reals, generated["first"], classifier_fit("logistic"), draws=10)
    assert set(found.points) == {16, 20}
    assert set(found.left_out) == {100, 1000} == set(SIZES) - set(found.points)
    assert "50 of each class are needed" in found.left_out[100]
    assert found.draws == 10
    for one in found.points.values():
        assert 0.8 < one.low <= one.value <= one.high
    wide = learning_curve(
        samples_of((), 0, 300, 3), samples_of((), 1, 300, 4), classifier_fit("logistic"),
        sizes=(16, 100), draws=10,
    )  # fmt: skip
    assert all(one.low < 0.5 < one.high for one in wide.points.values())
    assert wide.points[100].high < 0.7


def test_each_draw_has_its_size_half_of_it_real_and_its_own_images(reals, generated):
    recorder = Recorder([], [])
    learning_curve(reals, generated["first"], recorder, sizes=(16, 40), draws=7)
    assert [len(trained) for trained in recorder.trainings] == [16] * 7 + [40] * 7
    sources = {id(s.features): s.group for s in [*reals, *generated["first"]]}
    for trained, tested in zip(recorder.trainings, recorder.tests, strict=True):
        assert sum(one.label for one in trained) * 2 == len(trained)
        assert len({id(one.features) for one in trained}) == len(trained)
        assert not {one.group for one in trained} & {sources[id(one)] for one in tested}
    drawn = {frozenset(id(one.features) for one in trained) for trained in recorder.trainings}
    assert len(drawn) == 14


def test_the_same_seed_gives_the_same_curve(reals):
    fit, alike = classifier_fit("logistic"), samples_of((), 1, 60, 5)
    curves = [
        learning_curve(reals, alike, fit, sizes=(16,), draws=4, seed=seed).points
        for seed in (5, 5, 6)
    ]
    assert curves[0] == curves[1]
    assert curves[0] != curves[2]
