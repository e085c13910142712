"""What the progress of a training says of an iteration."""

from dataclasses import replace

import pytest
import torch

from gandetect.gans import Images, Settings, preset, train
from gandetect.gans.logs import read_log
from gandetect.gans.preparing import prepared


def told(name, folder, steps=2, settings=None):
    config = replace(preset(name, "smoke"), steps=steps)
    pixels = torch.randint(256, (8, 3, config.size, config.size), dtype=torch.uint8)
    data, words = prepared(name, config, Images(pixels, {"name": "noise"})), []
    train(
        name,
        config,
        data,
        folder,
        settings=settings,
        progress=lambda what, done, total: words.append(what),
    )
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


def test_how_fast_images_are_drawn_once_some_were(tmp_path):
    words = told("dcgan", tmp_path, steps=4, settings=Settings(sample_every=2))
    speeds = [one.split()[-3] for one in words if one.endswith(" images/s drawn")]
    assert (len(words), len(speeds)) == (4, 2)
    looks = [line for line in read_log(tmp_path) if "samples/images_per_s" in line]
    assert f"{looks[0]['samples/images_per_s']:.0f}" == speeds[0]
    assert int(speeds[0]) > 0
