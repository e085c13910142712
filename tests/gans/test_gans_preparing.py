"""What models learn from and are asked with that want more than images, made of images alone."""

import json

import pytest
import torch
from making_pictures import photographs

from gandetect.gans import Images, model_class, preset
from gandetect.gans.asking import asked
from gandetect.gans.preparing import asked_of, gray, is_gray, prepared

SIZE = 32


@pytest.fixture(scope="module")
def images():
    """40 smooth color images of ten photographs."""
    rng = torch.Generator().manual_seed(3)
    coarse = torch.rand(40, 3, 4, 4, generator=rng)
    smooth = torch.nn.functional.interpolate(coarse, size=(SIZE, SIZE), mode="bilinear")
    sources = [f"photo{n // 4}" for n in range(40)]
    return Images((255 * smooth).to(torch.uint8), {"name": "smooth"}, sources=sources)


def of(name, images, **given):
    return prepared(name, preset(name, "smoke"), images, **given)


@pytest.mark.parametrize("name", ["dcgan", "vae", "sngan"])
def test_most_models_learn_from_images_alone(name, images):
    assert of(name, images) is images
    model = model_class(name)(preset(name, "smoke"))
    assert asked_of(model, images, images.card()) == {}


def test_domains_share_no_photograph(images):
    found = of("cyclegan", images)
    color, other = (set(one.sources) for one in (found.images, found.sources))
    assert color | other == set(images.sources)
    assert not color & other
    assert is_gray(found.card())
    assert json.loads(json.dumps(found.card())) == found.card()


def test_pairs_are_the_images_and_their_gray_versions(images):
    batch = of("unet", images).batch(8)
    assert torch.equal(gray(Images(batch["images"], {})).images, batch["sources"])


def test_gray_is_the_luma_of_the_image():
    pixels = torch.tensor([255, 0, 0, 0, 255, 0, 0, 0, 255], dtype=torch.uint8)
    found = gray(Images(pixels.view(3, 3, 1, 1), {})).images
    assert found[:, :, 0, 0].tolist() == [[76] * 3, [150] * 3, [29] * 3]
    with pytest.raises(ValueError, match="no colors"):
        gray(Images(pixels.view(9, 1, 1, 1), {}))


def test_own_sources_are_taken_and_refused_where_none_are_wanted(images):
    other = Images(255 - images.images, {"name": "negative"})
    found = of("cyclegan", images, sources=other)
    assert found.sources is other
    assert not is_gray(found.card())
    with pytest.raises(ValueError, match="no sources are wanted"):
        of("dcgan", images, sources=other)


def test_maps_of_a_trained_model_mean_what_they_meant(images):
    data = of("gaugan", images)
    model = model_class("gaugan")(preset("gaugan", "smoke"))
    found = asked_of(model, images, data.card())
    assert torch.equal(found["maps"], data.extras["maps"])


def test_counts_are_drawn_onto_the_images(images):
    data = of("mc2-stylegan2", images)
    assert len(data) == len(images)
    assert set(data.sources) <= set(images.sources)
    model = model_class("mc2-stylegan2")(preset("mc2-stylegan2", "smoke"))
    assert asked_of(model, images, data.card())["counts"].shape == data.extras["counts"].shape


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("asked")
    photographs(place, 3)
    return place


def test_folders_are_what_draw_takes(images, folder):
    for name, given in (("unet", "sources"), ("gaugan", "maps")):
        model = model_class(name)(preset(name, "smoke")).eval()
        card = of(name, images).card()
        conditions = asked(model, card, **{given: [folder]})
        assert len(conditions[given]) == 3
        drawn = model.draw(model.latents(3), **conditions)
        assert drawn.shape == (3, 3, SIZE, SIZE)
    # The card says that the sources were made gray.
    unet = model_class("unet")(preset("unet", "smoke"))
    sources = asked(unet, of("unet", images).card(), sources=[folder])["sources"]
    assert torch.equal(sources[:, 0], sources[:, 2])


def test_counts_become_a_row_for_each_that_was_asked():
    model = model_class("mc2-stylegan2")(preset("mc2-stylegan2", "smoke"))
    found = asked(model, {}, counts=[[2, 0, 1], [0, 0, 3]])["counts"]
    assert found.tolist() == [[2, 0, 1], [0, 0, 3]]


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("dcgan", {"counts": [[1, 2]]}, "not asked with counts"),
        ("unet", {}, "--sources"),
        ("gaugan", {}, "--maps"),
        ("gaugan", {"maps": ["."]}, "label maps of its own"),
        ("mc2-stylegan2", {}, "--counts"),
        ("mc2-stylegan2", {"counts": [[1]]}, "want 3 numbers"),
        ("mc2-stylegan2", {"counts": [[1, 2, -1]]}, "from 0 up"),
        ("mc2-stylegan2", {"counts": [[1, 1, 1]], "sources": ["."]}, "not asked with sources"),
    ],
)
def test_what_was_not_wanted_is_refused(name, given, told):
    model = model_class(name)(preset(name, "smoke"))
    with pytest.raises(ValueError, match=told):
        asked(model, {}, **given)
