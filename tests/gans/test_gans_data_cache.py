"""The cache file of a data set: made once, the same pixels, made again where it must be."""

import pytest
import torch
from making_pictures import photographs, smooth

from gandetect.gans import gathering
from gandetect.gans.data import folder_images, patches


@pytest.fixture
def made(monkeypatch):
    """How often pictures were read."""
    times = []
    write = gathering._write

    def counted(*given):
        times.append(1)
        return write(*given)

    monkeypatch.setattr(gathering, "_write", counted)
    return times


def test_it_is_made_once_and_equals_what_memory_holds(tmp_path, made):
    photographs(tmp_path / "photos")
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"\xff\xd8\xff no more")
    plain = folder_images(tmp_path / "photos", 16)
    kept = [folder_images(tmp_path / "photos", 16, cache=tmp_path / "cache") for _ in range(3)]
    assert len(made) == 2
    for one in kept:
        assert torch.equal(one.images, plain.images)
        assert one.card() == plain.card()
        assert (one.failed, one.sources) == (plain.failed, plain.sources)


def test_another_option_seed_or_picture_makes_another(tmp_path, made):
    photos, cache = photographs(tmp_path / "photos"), tmp_path / "cache"
    folder_images(photos, 16, cache=cache)
    gray = folder_images(photos, 16, gray=True, cache=cache)
    assert gray.images.shape == (6, 1, 16, 16)
    folder_images(photos, 8, cache=cache)
    first, second = (patches(photos, 16, per_photograph=2, seed=s, cache=cache) for s in (0, 1))
    assert not torch.equal(first.images, second.images)
    smooth(60, 48, seed=99).save(photos / "photo0.jpg")
    after = folder_images(photos, 16, cache=cache)
    assert len(made) == 6
    assert torch.equal(after.images, folder_images(photos, 16).images)


@pytest.mark.parametrize("harm", ["cut", "changed", "listing", "gone"])
def test_a_damaged_cache_is_made_again(harm, tmp_path, made):
    photos, cache = photographs(tmp_path / "photos"), tmp_path / "cache"
    wanted = folder_images(photos, 16, cache=cache).images.clone()
    (pixels,), (listing,) = cache.glob("*.pixels"), cache.glob("*.json")
    data = bytearray(pixels.read_bytes())
    if harm == "cut":
        pixels.write_bytes(data[:-100])
    elif harm == "changed":
        data[50] ^= 1
        pixels.write_bytes(data)
    elif harm == "listing":
        listing.write_text("{")
    else:
        pixels.unlink()
    assert torch.equal(folder_images(photos, 16, cache=cache).images, wanted)
    assert len(made) == 2


def test_what_failed_leaves_nothing_behind(tmp_path, monkeypatch):
    photos, cache = photographs(tmp_path / "photos"), tmp_path / "cache"

    def full(*given):
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(gathering, "_write", full)
        with pytest.raises(OSError, match="no space"):
            folder_images(photos, 16, cache=cache)
    assert [path.suffix for path in cache.iterdir()] in ([], [".lock"])
    assert len(folder_images(photos, 16, cache=cache)) == 6


def test_drawing_leaves_the_file_as_it_is(tmp_path):
    photos, cache = photographs(tmp_path / "photos"), tmp_path / "cache"
    found = folder_images(photos, 16, cache=cache)
    (pixels,) = cache.glob("*.pixels")
    before = pixels.read_bytes()
    found.images.zero_()
    assert pixels.read_bytes() == before
