"""Two sets of images: unpaired ones drawn apart, paired ones together."""

import pytest
import torch

from gandetect.gans import Images
from gandetect.gans.domains import Domains, Pairs


def numbered(count, name, **shape):
    """Images that are their numbers."""
    side = shape.get("side", 4)
    images = torch.arange(count, dtype=torch.uint8)[:, None, None, None]
    return Images(images.expand(-1, 3, side, side).contiguous(), {"name": name, "license": "CC0"})


def numbers(batch):
    return [batch[key][:, 0, 0, 0].tolist() for key in ("images", "sources")]


def test_domains_draw_apart_and_pairs_together():
    sets = numbered(200, "photographs"), numbered(200, "drawings")
    images, sources = numbers(Domains(*sets).batch(500))
    assert sum(a == b for a, b in zip(images, sources, strict=True)) < 20
    assert len(set(images)) > 100
    assert len(set(sources)) > 100
    images, sources = numbers(Pairs(*sets).batch(500))
    assert images == sources
    assert len(set(images)) > 100


def test_domains_may_have_other_numbers_of_images():
    images, sources = numbers(Domains(numbered(9, "a"), numbered(3, "b")).batch(100))
    assert max(images) == 8
    assert max(sources) == 2


def test_what_is_drawn_follows_from_torchs_random_numbers():
    data = Domains(numbered(50, "a"), numbered(50, "b"))
    drawn = []
    for _ in range(2):
        torch.manual_seed(4)
        drawn.append(numbers(data.batch(8)))
    assert drawn[0] == drawn[1]


def test_the_card_tells_of_both():
    sets = numbered(9, "photographs"), numbered(3, "drawings")
    card = Domains(*sets).card()
    assert card["name"] == "drawings to photographs"
    assert card["license"] == "CC0"
    assert (card["kind"], card["number"], card["shape"]) == ("unpaired", 9, [3, 4, 4])
    assert [card[key]["number"] for key in ("images", "sources")] == [9, 3]
    assert Domains(*sets[::-1]).card()["sha256"] != card["sha256"]


def test_sets_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="shape"):
        Domains(numbered(3, "a"), numbered(3, "b", side=8))
    with pytest.raises(ValueError, match="one for each"):
        Pairs(numbered(3, "a"), numbered(4, "b"))


def test_pairs_of_other_names_are_refused():
    def named(*names):
        card = {"name": "files"}
        return Images(torch.zeros(len(names), 3, 4, 4, dtype=torch.uint8), card, sources=names)

    Pairs(named("ant", "bee"), named("ant", "bee"))
    with pytest.raises(ValueError, match="image 1 is of 'bee', its source of 'wasp'"):
        Pairs(named("ant", "bee"), named("ant", "wasp"))
