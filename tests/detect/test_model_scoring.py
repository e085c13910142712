"""What a model says of an image: logits, their parts, probabilities, verdicts."""

import pytest
import torch


def test_contributions_and_bias_sum_to_the_logit(linear_model, real_images):
    images = torch.from_numpy(real_images[:6])
    total = linear_model.contributions(images).double().sum(dim=1) + linear_model.bias
    torch.testing.assert_close(total.float(), linear_model.logits(images), atol=1e-4, rtol=1e-4)


def test_uint8_and_float_luma_score_alike(linear_model, real_images):
    images = torch.from_numpy(real_images[:6])
    torch.testing.assert_close(
        linear_model.logits(images), linear_model.logits(images.float()), atol=1e-3, rtol=0
    )


def test_a_rectangle_scores_as_its_central_square(linear_model, real_images):
    images = torch.from_numpy(real_images[:2])
    wide = torch.nn.functional.pad(images, (10, 10), value=7)
    assert torch.equal(linear_model.logits(wide), linear_model.logits(images))


def test_too_small_an_image_is_refused_with_the_limit(linear_model):
    with pytest.raises(ValueError, match="at least 32x32"):
        linear_model.logits(torch.zeros(1, 31, 200, dtype=torch.uint8))


def test_probability_rises_with_the_logit(linear_model):
    probability = linear_model.probability(torch.linspace(-5, 5, 11))
    assert (probability.diff() > 0).all()
    assert probability[5] == pytest.approx(torch.sigmoid(torch.tensor(-0.25)).item())


def test_three_verdicts(linear_model):
    thresholds = linear_model.thresholds(0.1)
    assert thresholds.real < thresholds.generated
    middle = (thresholds.real + thresholds.generated) / 2
    verdicts = [
        linear_model.verdict(logit, thresholds)
        for logit in (thresholds.real - 1, middle, thresholds.generated + 1)
    ]
    assert verdicts == ["real", "inconclusive", "generated"]


def test_no_verdict_on_a_score_that_is_no_number(linear_model):
    with pytest.raises(ValueError, match="NaN"):
        linear_model.verdict(float("nan"), linear_model.thresholds(0.1))
