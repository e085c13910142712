"""Detector networks: what they look at, how they train, and what the model file lets through."""

from functools import partial

import numpy as np
import pytest
import torch

from gandetect.detect import Model
from gandetect.detect.classifiers import fit_classifier
from gandetect.detect.networks import NETWORKS, PixelNetwork, rebuild
from gandetect.detect.networks.residual import neighbor_residual
from gandetect.detect.networks.spectrum import scaled_log_spectrum
from gandetect.detect.networks.training import Examples, Schedule, train
from gandetect.detect.planes import PlaneSpec

SHORT = Schedule(epochs=4, batch=16, patience=4)
SMALL = {
    "pixels": {"widths": (4, 8), "hidden": 16},
    "spectrum": {"widths": (4, 8, 8), "hidden": 16},
    "residual": {"widths": (4, 8)},
    "fingerprint": {"widths": (4, 8), "hidden": 16},
    "discriminant": {"side": 64},
    "mask": {"widths": (4, 8)},
    "warp": {"widths": (4, 8), "dilations": (1, 2)},
}


@pytest.fixture(scope="module")
def tiles(real_images, generated_images):
    return np.concatenate([real_images, generated_images])


@pytest.fixture(scope="module")
def labels(real_images, generated_images):
    return np.repeat([0, 1], [len(real_images), len(generated_images)])


@pytest.fixture(scope="module", params=["cnn", "cnn-spectrum", "cnn-residual"])
def fitted(request, tiles, labels):
    name = {"cnn": "pixels", "cnn-spectrum": "spectrum", "cnn-residual": "residual"}[request.param]
    return fit_classifier(
        request.param, tiles, labels, seed=0,
        schedule=Schedule(epochs=12, batch=16, rate=3e-3, patience=12), **SMALL[name],
    )  # fmt: skip


def test_one_value_in_four_of_the_residual_is_zero():
    x = torch.rand(2, 1, 9, 8)
    residual = neighbor_residual(x)
    assert residual.shape == (2, 1, 8, 8)
    assert (residual[..., ::2, ::2] == 0).all()
    assert residual[1, 0, 3, 5] == pytest.approx(float(x[1, 0, 3, 5] - x[1, 0, 2, 4]) * 2 / 3)
    doubled = x[..., :4, :4].repeat_interleave(2, -1).repeat_interleave(2, -2)
    assert (neighbor_residual(doubled) == 0).all()


def test_the_scaled_spectrum_ignores_gain_and_offset():
    tile = torch.from_numpy(np.random.default_rng(1).uniform(60, 120, (1, 64, 64)))
    plain, changed = scaled_log_spectrum(tile), scaled_log_spectrum(tile * 1.7 + 20)
    torch.testing.assert_close(plain, changed, atol=5e-3, rtol=0)
    assert plain.shape == (1, 1, 64, 33)
    assert float(plain.min()) == -1
    assert float(plain.max()) == 1
    assert 0.045 < float((plain == 1).float().mean()) < 0.055


def test_a_network_learns_to_tell_up_sampled_noise(fitted, tiles, labels):
    scores = fitted.logits(tiles)
    assert ((scores > 0) == labels).mean() > 0.9


def test_a_score_does_not_depend_on_the_others(fitted, tiles):
    together = fitted.logits(tiles[:13])
    alone = np.concatenate([fitted.logits(tiles[i : i + 1]) for i in range(13)])
    assert (together == alone).all()


def test_the_same_seed_gives_the_same_weights(tiles, labels):
    first, second, other = (
        fit_classifier("cnn", tiles, labels, seed=seed, schedule=SHORT, **SMALL["pixels"])
        for seed in (0, 0, 1)
    )
    weights = [fit.arrays["dense2.weight"] for fit in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_training_leaves_the_random_state_alone(tiles, labels):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    fit_classifier("cnn", tiles, labels, seed=3, schedule=SHORT, **SMALL["pixels"])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_weights_of_the_best_epoch_are_kept(tiles, labels):
    """With a rate that ruins the network late, stopping keeps what was good."""
    examples = Examples(
        torch.from_numpy(tiles), torch.from_numpy(labels), torch.ones(len(tiles)),
        np.arange(len(tiles)),
    )  # fmt: skip
    losses = []

    class Watched(PixelNetwork):
        def losses(self, tiles, targets):
            values = super().losses(tiles, targets)
            if not self.training:
                losses.append(float(values.sum()))
            return values

    network = train(
        partial(Watched, **SMALL["pixels"]), examples, seed=0,
        schedule=Schedule(epochs=8, batch=8, rate=0.05, patience=8),
    )  # fmt: skip
    held_out = losses[:]
    assert min(held_out) < held_out[-1]
    losses.clear()
    again = train(
        partial(Watched, **SMALL["pixels"]), examples, seed=0,
        schedule=Schedule(epochs=8, batch=8, rate=0.05, patience=8),
    )  # fmt: skip
    assert torch.equal(network.dense2.weight, again.dense2.weight)
    assert losses == held_out


def model_of(fitted, **changes):
    described = {**fitted.network, **changes}
    return Model.create(
        "test-network", "cnn", "network", PlaneSpec("pixels", 64), fitted.arrays, tile=64,
        platt=(1.0, 0.0), real_scores=torch.randn(50), generated_scores=torch.randn(50) + 3,
        details={"network": described},
    )  # fmt: skip


def test_a_model_file_holds_a_network(fitted, tiles, tmp_path):
    model = model_of(fitted)
    model.save(tmp_path / "network.safetensors")
    loaded = Model.load(tmp_path / "network.safetensors")
    images = torch.from_numpy(tiles[:5])
    assert torch.equal(loaded.logits(images), model.logits(images))
    np.testing.assert_array_equal(loaded.logits(images), fitted.logits(tiles[:5]).astype("f4"))
    assert loaded.to_bytes() == model.to_bytes()


def test_a_larger_image_scores_the_mean_of_its_tiles(fitted, tiles):
    model = model_of(fitted)
    quarters = torch.from_numpy(tiles[:4])
    top, bottom = torch.cat([*quarters[:2]], 1), torch.cat([*quarters[2:]], 1)
    whole = torch.cat([top, bottom])[None]
    torch.testing.assert_close(model.logits(whole)[0], model.logits(quarters).mean())
    with pytest.raises(ValueError, match="at least 64x64"):
        model.logits(quarters[:, :48, :48])


@pytest.mark.parametrize(
    "described",
    [
        {"name": "pickle"},
        {"settings": {"widths": [4, 9999], "hidden": 16, "dropout": 0.5}},
        {"settings": {"widths": [4, 8], "hidden": 17, "dropout": 0.5}},
        {"settings": {"widths": [4, 8], "depth": 3}},
        {"settings": {"widths": "os.system", "hidden": 16}},
        {"settings": None},
    ],
)
def test_a_card_that_does_not_fit_its_weights_is_refused(described):
    weights = dict(PixelNetwork((4, 8), 16).state_dict())

    class Fitted:
        arrays = weights
        network = {"name": "pixels", "settings": PixelNetwork((4, 8), 16).settings}  # noqa: RUF012

    model_of(Fitted)
    with pytest.raises(ValueError):
        model_of(Fitted, **described)


@pytest.mark.parametrize("name", NETWORKS)
def test_settings_rebuild_a_network(name):
    network = NETWORKS[name](**SMALL[name])
    again = rebuild(NETWORKS[name], network.settings, network.state_dict())
    tiles = torch.randint(0, 256, (2, 64, 64), dtype=torch.uint8)
    assert torch.equal(network.eval()(tiles), again(tiles))


def test_a_class_of_one_source_is_no_training_set(tiles, labels):
    groups = np.where(labels == 1, "one", np.arange(len(labels)).astype(str))
    with pytest.raises(ValueError, match="1 source"):
        fit_classifier("cnn", tiles, labels, groups=groups, schedule=SHORT, **SMALL["pixels"])
