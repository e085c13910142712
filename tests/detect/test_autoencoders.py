"""Trained generators: repeatable, kept in files that nothing else passes for, quick to use."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from skimage import data

from gandetect.detect.autoencoders import draw_config, train_autoencoder
from gandetect.detect.simulate import MODES
from gandetect.detect.simulation.network import (
    TASKS,
    GeneratorNetwork,
    Network,
    NetworkConfig,
    load_bank,
    load_network,
    network_input,
)

TINY = NetworkConfig("superresolver", "transposed", (2,), width=8, blocks=1)


@pytest.fixture(scope="module")
def photograph():
    return torch.from_numpy(data.astronaut().transpose(2, 0, 1).copy())


@pytest.fixture(scope="module")
def picture():
    return Image.fromarray(data.chelsea()[40:137, 100:190])


@pytest.fixture(scope="module")
def trained(photograph):
    return train_autoencoder([lambda: photograph], TINY, seed=3, steps=4)


def same(a, b):
    weights = zip(a.module.state_dict().values(), b.module.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in weights)


def test_seed_and_steps_decide_the_network(photograph, trained):
    torch.manual_seed(12345)
    assert same(trained, train_autoencoder([lambda: photograph], TINY, seed=3, steps=4))
    assert not same(trained, train_autoencoder([lambda: photograph], TINY, seed=4, steps=4))
    assert not same(trained, train_autoencoder([lambda: photograph], TINY, seed=3, steps=5))


def test_the_random_numbers_of_the_caller_are_left_alone(photograph):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    train_autoencoder([lambda: photograph], TINY, seed=3, steps=1)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("losses", [{}, {"adversarial": 0.05}, {"spectral": 0.01}])
def test_training_brings_the_network_nearer(photograph, picture, losses, monkeypatch):
    monkeypatch.setattr("gandetect.detect.autoencoders.WARM_UP", 30)
    config = replace(TINY, skip="nearest", **losses)
    distances = []
    for steps in (0, 60):
        network = train_autoencoder([lambda: photograph], config, seed=1, steps=steps)
        drawn = network.regenerated(picture, np.random.default_rng(0))
        distances.append(np.abs(np.asarray(drawn).astype(int) - np.asarray(picture)).mean())
    assert distances[1] < 0.7 * distances[0]


def test_a_gray_photograph_trains_too(photograph):
    network = train_autoencoder([lambda: photograph[0]], TINY, seed=3, steps=1)
    assert network.steps == 1


def test_seconds_end_with_a_number_of_steps(photograph):
    seen = []
    network = train_autoencoder(
        [lambda: photograph], TINY, seed=3, seconds=0.2, progress=lambda *said: seen.append(said)
    )
    assert network.steps == len(seen) > 0
    assert same(network, train_autoencoder([lambda: photograph], TINY, 3, steps=network.steps))


@pytest.mark.parametrize("end", [{}, {"steps": 1, "seconds": 1.0}])
def test_one_end_is_wanted(photograph, end):
    with pytest.raises(ValueError, match="one of the two"):
        train_autoencoder([lambda: photograph], TINY, 0, **end)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("factors", [(2,), (3,), (4,), (2, 2)])
def test_every_network_draws_an_image_of_the_size(mode, task, factors, picture):
    torch.manual_seed(0)
    config = NetworkConfig(task, mode, factors, width=8, smoothing=True)
    network = GeneratorNetwork(Network(config), 0, 0)
    for original in (picture, picture.convert("L")):
        drawn = network.regenerated(original, np.random.default_rng(0))
        assert (drawn.size, drawn.mode) == (original.size, original.mode)


@pytest.mark.parametrize("mode", MODES)
def test_drawn_configurations_are_valid_and_of_their_seed(mode):
    for seed in range(30):
        config = draw_config(seed, mode=mode)
        assert config == draw_config(seed, mode=mode)
        assert config.mode == mode
        if config.task == "autoencoder":
            assert config.code < 3 * config.scale**2


def test_a_code_is_smaller_than_the_image():
    config = NetworkConfig("autoencoder", "nearest", (2, 2), code=8)
    code = Network(config).entry[:-1](torch.zeros(1, 3, 32, 32))
    assert code.shape == (1, 8, 8, 8)


def test_a_super_resolver_sees_a_reduced_and_damaged_image(picture):
    square = picture.crop((0, 0, 80, 80))
    clean, damaged = (
        network_input(square, replace(TINY, degraded=value), np.random.default_rng(1))
        for value in (False, True)
    )
    assert clean.shape == damaged.shape == (3, 40, 40)
    assert -1 <= clean.min() < clean.max() <= 1
    assert (clean - damaged).abs().max() > 2 / 255


def test_a_saved_network_comes_back(trained, picture, tmp_path):
    path = trained.save(tmp_path)
    loaded = load_network(path)
    assert path.name == f"{trained.id}.safetensors"
    assert (loaded.id, loaded.config, loaded.seed, loaded.steps) == (trained.id, TINY, 3, 4)
    drawn = [
        network.regenerated(picture, np.random.default_rng(2)) for network in (trained, loaded)
    ]
    np.testing.assert_array_equal(*(np.asarray(image) for image in drawn))
    assert loaded.save(tmp_path / "again").read_bytes() == path.read_bytes()


def test_networks_have_ids_of_their_own(trained, photograph):
    other = train_autoencoder([lambda: photograph], TINY, seed=4, steps=4)
    assert trained.id != other.id


def rewritten(path, target, change):
    """A copy of the file with its document and arrays `change`d."""
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    document = json.loads(header["__metadata__"]["gandetect_network"])
    arrays = safetensors.torch.load(data)
    change(document, arrays)
    safetensors.torch.save_file(arrays, target, {"gandetect_network": json.dumps(document)})
    return target


def changed_weight(document, arrays):
    arrays["exit.bias"][0] += 1


def other_type(document, arrays):
    arrays["exit.bias"] = arrays["exit.bias"].double()


def other_shape(document, arrays):
    arrays["exit.bias"] = torch.zeros(4)


def one_missing(document, arrays):
    del arrays["exit.bias"]


def one_too_many(document, arrays):
    arrays["other"] = torch.zeros(1)


def later_version(document, arrays):
    document["version"] = 2


def unknown_setting(document, arrays):
    document["config"]["noise"] = 1


def other_mode(document, arrays):
    document["config"]["mode"] = "deconvolution"


def huge(document, arrays):
    document["config"]["width"] = 10**6


def other_seed(document, arrays):
    document["seed"] = 8


@pytest.mark.parametrize(
    "change",
    [
        changed_weight, other_type, other_shape, one_missing, one_too_many,
        later_version, unknown_setting, other_mode, huge, other_seed,
    ],
)  # fmt: skip
def test_a_changed_file_is_refused(trained, tmp_path, change):
    path = trained.save(tmp_path)
    with pytest.raises(ValueError, match="not a network that can be used"):
        load_network(rewritten(path, tmp_path / "changed.safetensors", change))


def test_a_network_that_broke_in_training_is_refused(tmp_path):
    module = Network(TINY)
    torch.nn.init.constant_(module.exit.bias, float("nan"))
    with pytest.raises(ValueError, match="weights are not finite"):
        load_network(GeneratorNetwork(module, 0, 0).save(tmp_path))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a pickle", b"\xff" * 64, None])
def test_a_foreign_file_is_refused(content, tmp_path):
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(content or safetensors.torch.save({"weight": torch.zeros(2)}))
    with pytest.raises(ValueError, match="not a network that can be used"):
        load_network(path)


def test_a_cut_file_is_refused(trained, tmp_path):
    path = trained.save(tmp_path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="not a network that can be used"):
        load_network(path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"task": "vae"}, {"mode": "up"}, {"kernel": 4}, {"skip": "lanczos"}, {"factors": ()},
        {"factors": (2, 2, 2, 2)}, {"factors": (5,)}, {"width": 4}, {"blocks": -1}, {"code": 0},
        {"width": 24.0}, {"tanh": 1}, {"adversarial": -1.0}, {"spectral": float("nan")},
    ],
)  # fmt: skip
def test_settings_without_meaning_are_refused(wrong):
    with pytest.raises(ValueError, match="given; "):
        NetworkConfig(**{**asdict(TINY), **wrong})


def test_a_bank_leaves_out_what_is_asked(trained, photograph, tmp_path):
    other = train_autoencoder([lambda: photograph], TINY, seed=4, steps=1)
    for network in (trained, other):
        network.save(tmp_path)
    assert [n.id for n in load_bank(tmp_path)] == sorted([trained.id, other.id])
    assert [n.id for n in load_bank(tmp_path, leave_out=[trained.id])] == [other.id]
    with pytest.raises(ValueError, match="no networks \\['nobody'\\]"):
        load_bank(tmp_path, leave_out=["nobody"])


def test_an_empty_bank_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no networks found"):
        load_bank(tmp_path)
