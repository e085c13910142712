"""Cards: what a data set says of itself, in JSON, and when its digest changes."""

import hashlib
import json

import pytest
import torch
from making_pictures import photographs

from gandetect.gans import Images
from gandetect.gans.data import folder_images, patches


def test_a_card_says_what_is_needed(tmp_path):
    photographs(tmp_path / "photos", 3)
    found = patches(tmp_path / "photos", 16, per_photograph=2, seed=4, source="a walk")
    card = found.card()
    assert json.loads(json.dumps(card)) == card
    assert card["name"] == "photos"
    assert card["source"] == "a walk"
    assert card["license"] == "not stated"
    assert (card["number"], card["shape"], card["sources"]) == (6, [3, 16, 16], 3)
    assert (card["cut"], card["seed"]) == ("random squares, mirrored by chance", 4)
    assert card["sha256"] == hashlib.sha256(found.images.numpy().tobytes()).hexdigest()
    # A run goes on wherever its data were moved.
    assert str(tmp_path) not in json.dumps(card)


def test_licenses_come_from_the_manifest_unless_told(tmp_path):
    photographs(tmp_path, 3)
    licenses = ("CC0", "MIT", "CC0")
    rows = [{"file": f"photo{n}.jpg", "license": one} for n, one in enumerate(licenses)]
    (tmp_path / "manifest.json").write_text(json.dumps({"photographs": rows}))
    assert folder_images(tmp_path, 16).card()["license"] == "CC0; MIT"
    assert folder_images(tmp_path, 16, license="mine").card()["license"] == "mine"


@pytest.mark.parametrize("text", ["{", "[1, 2]", '{"photographs": 3}', '{"name": "web app"}'])
def test_a_manifest_of_another_kind_is_passed_over(text, tmp_path):
    photographs(tmp_path, 2)
    (tmp_path / "manifest.json").write_text(text)
    assert folder_images(tmp_path, 16).sources == ("photo0", "photo1")


def test_the_digest_is_of_pixels_and_labels():
    pixels = torch.arange(3000 * 16, dtype=torch.int32).to(torch.uint8).view(3000, 1, 4, 4)
    plain = Images(pixels, {}).sha256
    other = pixels.clone()
    other[2999, 0, 3, 3] += 1
    assert Images(other, {}).sha256 != plain
    labels = torch.zeros(3000, dtype=torch.int64)
    assert len({plain, *(Images(pixels, {}, labels + n).sha256 for n in (0, 1))}) == 3
    assert Images(pixels.flip(0).flip(0), {}).sha256 == plain


def test_what_does_not_fit_together_is_refused():
    pixels = torch.zeros(3, 1, 4, 4, dtype=torch.uint8)
    with pytest.raises(ValueError, match="uint8"):
        Images(pixels.float(), {})
    with pytest.raises(ValueError, match="at least one"):
        Images(pixels[:0], {})
    with pytest.raises(ValueError, match="labels of shape"):
        Images(pixels, {}, torch.zeros(2))
    with pytest.raises(ValueError, match="2 sources for 3"):
        Images(pixels, {}, sources=["a", "b"])


def test_without_labels_the_classes_are_gone():
    pixels = torch.zeros(3, 1, 4, 4, dtype=torch.uint8)
    found = Images(pixels, {"classes": ["a"]}, torch.zeros(3)).without_labels()
    assert "labels" not in found.batch(2)
    assert "classes" not in found.card()
