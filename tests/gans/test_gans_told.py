"""What the progress of a training says of an iteration."""

from dataclasses import replace

import pytest
import torch

from gandetect.gans import Images, preset, train
from gandetect.gans.preparing import prepared


def told(name, folder):
    config = replace(preset(name, "smoke"), steps=2)
    pixels = torch.randint(256, (8, 3, config.size, config.size), dtype=torch.uint8)
    data, words = prepared(name, config, Images(pixels, {"name": "noise"})), []
    train(name, config, data, folder, progress=lambda what, done, total: words.append(what))
    return [one for one in words if "D " in one and "G " in one]


@pytest.mark.parametrize("name", ["dcgan", "wgan-gp"])
def test_probabilities_of_real_and_drawn_images_where_logits_are_some(name, tmp_path):
    words = told(name, tmp_path)
    assert words
    assert all(one.startswith(name) for one in words)
    for what in ("D(x) ", "D(G(z)) "):
        found = [one.split(what)[1].split()[0] for one in words if what in one]
        assert len(found) == (len(words) if name == "dcgan" else 0)
        assert all(0 <= float(value) <= 1 for value in found)
