"""`split`: no photograph on two sides, every image on one, shares about as asked for."""

import json

import numpy as np
import pytest
import torch
from making_pictures import photographs

from gandetect.gans import Images
from gandetect.gans.data import patches, split


def numbered(sources):
    """Images whose first pixel counts them."""
    images = torch.zeros(len(sources), 1, 4, 4, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(len(sources))
    return Images(images, {"name": "numbers"}, torch.arange(len(sources)), sources=sources)


@pytest.mark.parametrize("seed", range(20))
def test_no_source_is_on_two_sides(seed):
    rng = np.random.default_rng(seed)
    sources = [f"s{number}" for number in rng.integers(0, 30, 200)]
    images = numbered(sources)
    parts = split(images, (0.6, 0.2, 0.2), seed)
    sides = [side for part in parts for side in set(part.sources)]
    assert sorted(sides) == sorted(set(sources))
    kept = torch.cat([part.images[:, 0, 0, 0] for part in parts]).sort().values
    assert torch.equal(kept, images.images[:, 0, 0, 0])
    for part, share in zip(parts, (0.6, 0.2, 0.2), strict=True):
        # No source has more than 8 % of these images.
        assert abs(len(part) / 200 - share) < 0.08
        assert torch.equal(part.labels, part.images[:, 0, 0, 0].long())
        of = [sources[number] for number in part.labels.tolist()]
        assert tuple(of) == part.sources


def test_the_seed_decides():
    images = numbered([f"s{number // 4}" for number in range(100)])
    first, again, other = (split(images, (0.5, 0.5), seed)[0] for seed in (1, 1, 2))
    assert first.sources == again.sources
    assert first.sources != other.sources
    assert first.card()["split"] == {"shares": [0.5, 0.5], "seed": 1, "part": 0}


def test_photographs_of_a_group_stay_together(tmp_path):
    photographs(tmp_path, 8)
    rows = [
        {"file": f"photo{number}.jpg", "group": f"series{number // 2}", "license": "CC0"}
        for number in range(8)
    ]
    (tmp_path / "manifest.json").write_text(json.dumps({"photographs": rows}))
    squares = patches(tmp_path, 16, per_photograph=3)
    assert squares.card()["sources"] == 4
    train, test = split(squares, (0.5, 0.5))
    assert len(train) == len(test) == 12
    assert not set(train.sources) & set(test.sources)
    # The manifest that `gandetect evaluate` reads.
    listed = [{"file": row["file"], "source": "one"} for row in rows]
    (tmp_path / "manifest.json").write_text(json.dumps(listed))
    assert set(patches(tmp_path, 16, per_photograph=1).sources) == {"one"}


def test_what_cannot_be_split_is_refused():
    images = numbered(["a", "a", "b"])
    for shares in ((0.5, 0.4), (1.5, -0.5), ()):
        with pytest.raises(ValueError, match="sum to 1"):
            split(images, shares)
    with pytest.raises(ValueError, match="2 sources leave nothing"):
        split(images, (0.4, 0.3, 0.3))
    without = Images(images.images, {})
    with pytest.raises(ValueError, match="what they stem from"):
        split(without, (0.5, 0.5))
