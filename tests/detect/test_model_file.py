"""A model file comes back as it was saved, and nothing else is let in."""

import json

import pytest
import safetensors.torch
import torch

from gandetect.detect import model as model_module
from gandetect.detect.model import Model
from gandetect.tensorfile import content_digest


@pytest.fixture
def saved(linear_model, tmp_path):
    path = tmp_path / "model.safetensors"
    linear_model.save(path)
    return path


def document_of(path):
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return json.loads(header["__metadata__"]["gandetect"])


def rewrite(path, document, arrays=None):
    arrays = arrays or safetensors.torch.load(path.read_bytes())
    path.write_bytes(safetensors.torch.save(arrays, {"gandetect": json.dumps(document)}))


def test_round_trip_scores_alike(linear_model, saved, real_images):
    images = torch.from_numpy(real_images[:5])
    loaded = Model.load(saved)
    assert torch.equal(loaded.logits(images), linear_model.logits(images))
    assert loaded.card == linear_model.card
    assert loaded.sha256 == linear_model.sha256 != ""


def test_saving_twice_gives_the_same_bytes(linear_model, saved, tmp_path):
    again = tmp_path / "again.safetensors"
    Model.load(saved).save(again)
    assert again.read_bytes() == saved.read_bytes()


def test_a_changed_byte_is_refused(saved):
    data = bytearray(saved.read_bytes())
    data[-5] ^= 1
    saved.write_bytes(data)
    with pytest.raises(ValueError, match="changed after it was saved"):
        Model.load(saved)


def test_an_edited_card_is_refused(saved):
    document = document_of(saved)
    document["card"]["name"] = "somebody else's"
    rewrite(saved, document)
    with pytest.raises(ValueError, match="changed after it was saved"):
        Model.load(saved)


def test_an_unknown_format_version_is_refused(linear_model, saved):
    card = {**linear_model.card, "format_version": 99}
    rewrite(saved, {"card": card, "content_sha256": content_digest(linear_model.arrays, card)})
    with pytest.raises(ValueError, match="format version 99"):
        Model.load(saved)


def test_another_luma_is_refused(linear_model, saved, monkeypatch):
    monkeypatch.setattr(model_module, "LUMA_DEFINITION", "some other gray")
    with pytest.raises(ValueError, match="luma"):
        Model.load(saved)


def test_a_convention_that_computes_otherwise_is_refused(saved, monkeypatch):
    genuine = model_module.extract
    monkeypatch.setattr(model_module, "extract", lambda images, spec: genuine(images, spec) * 1.01)
    with pytest.raises(ValueError, match="installed convention"):
        Model.load(saved)


def test_an_unknown_convention_is_refused(linear_model, saved):
    features = {**linear_model.card["features"], "convention": "somebody's"}
    card = {**linear_model.card, "features": features}
    rewrite(saved, {"card": card, "content_sha256": content_digest(linear_model.arrays, card)})
    with pytest.raises(ValueError, match="convention"):
        Model.load(saved)


def test_size_is_checked_before_reading(saved, monkeypatch):
    monkeypatch.setattr(model_module, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match="at most 100"):
        Model.load(saved)


def test_a_pickle_is_refused(linear_model, tmp_path):
    path = tmp_path / "model.pt"
    torch.save(linear_model.arrays, path)
    with pytest.raises(ValueError, match="not a gandetect model file"):
        Model.load(path)


def test_infinite_weights_are_refused(linear_model):
    arrays = {**linear_model.arrays, "bias": torch.tensor(float("nan"), dtype=torch.float64)}
    with pytest.raises(ValueError, match="not finite"):
        Model(arrays, linear_model.card)
