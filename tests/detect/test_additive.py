"""The additive classifier: one piecewise linear function of each band."""

import numpy as np
import pytest
import torch

from gandetect.detect import scorers
from gandetect.detect.classifiers import fit_classifier


def two_sided(count, seed):
    """Reals near 0, generated ones far from it on either side: no line parts them."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], count)
    x = rng.standard_normal((2 * count, 4))
    x[labels == 1, 0] += 4 * rng.choice([-1, 1], count)
    return x, labels


@pytest.fixture(scope="module")
def fitted():
    x, labels = two_sided(800, 0)
    return fit_classifier("additive", x, labels, C=0.01)


def test_it_sees_what_no_line_can(fitted):
    x, labels = two_sided(500, 1)
    linear = fit_classifier("logistic", *two_sided(800, 0))
    assert ((fitted.logits(x) > 0) == labels).mean() > 0.9
    assert ((linear.logits(x) > 0) == labels).mean() < 0.6


def test_its_terms_are_those_of_numpy(fitted):
    x, _ = two_sided(20, 2)
    knots, values = (fitted.arrays[name].numpy() for name in ("knots", "values"))
    inside = x.clip(knots[:, 0], knots[:, -1])
    wanted = np.stack(
        [np.interp(inside[:, f], knots[f], values[f]) for f in range(x.shape[1])], axis=1
    )
    found = scorers.additive_terms(fitted.arrays, torch.from_numpy(inside)).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    total = found.sum(axis=1) + fitted.arrays["bias"].item()
    np.testing.assert_allclose(fitted.logits(inside), total, atol=1e-12)


def test_it_goes_on_linearly_beyond_the_knots(fitted):
    last = fitted.arrays["knots"][0, -1].item()
    points = np.zeros((3, 4))
    points[:, 0] = last + np.array([1.0, 2.0, 3.0])
    first, second, third = scorers.additive_terms(fitted.arrays, torch.from_numpy(points))[:, 0]
    assert third - second == pytest.approx(float(second - first), abs=1e-9)


def test_the_average_real_has_no_terms(fitted):
    x, labels = two_sided(800, 0)
    terms = scorers.additive_terms(fitted.arrays, torch.from_numpy(x[labels == 0]))
    np.testing.assert_allclose(terms.mean(dim=0), 0, atol=1e-9)


def test_a_constant_feature_does_no_harm():
    x, labels = two_sided(200, 3)
    x[:, 2] = 5.0
    fitted = fit_classifier("additive", x, labels, C=0.01)
    assert np.isfinite(fitted.logits(x)).all()
    assert (fitted.arrays["knots"].diff(dim=1) > 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: {**a, "knots": a["knots"].flip(1)}, "ascend"),
        (lambda a: {**a, "knots": a["knots"][:, :3]}, "the same"),
        (lambda a: {**a, "knots": a["knots"][:, :1], "values": a["values"][:, :1]}, "the same"),
    ],
)
def test_knots_that_make_no_function_are_refused(fitted, change, message):
    with pytest.raises(ValueError, match=message):
        scorers.build("additive", change(fitted.arrays))
