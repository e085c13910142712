"""`folder_images`: middle squares of pictures of every kind, and a reason for each that is out."""

import numpy as np
import pytest
import torch
from making_pictures import photographs, ramp, smooth
from PIL import ExifTags, Image

from gandetect.gans.data import folder_images


def only(folder, size=16, **options):
    """The one image of a folder."""
    found = folder_images(folder, size, **options)
    assert len(found) == 1
    return found.images[0]


def test_the_middle_square_is_taken_as_it_is_where_the_size_fits(tmp_path):
    ramp(40, 16).save(tmp_path / "a.png")
    image = only(tmp_path)
    assert torch.equal(image[0], torch.arange(12, 28, dtype=torch.uint8).expand(16, 16))
    assert torch.equal(image[1], torch.arange(16, dtype=torch.uint8)[:, None].expand(16, 16))


def test_reduction_does_not_alias(tmp_path):
    checkers = np.indices((64, 64)).sum(axis=0) % 2 * 255
    Image.fromarray(checkers.astype(np.uint8)).save(tmp_path / "checkers.png")
    assert only(tmp_path)[:, 2:-2, 2:-2].float().sub(127.5).abs().max() <= 1


def test_pictures_lie_in_the_order_of_their_names_below_all_folders(tmp_path):
    for name, level in (("b/x", 30), ("a", 20), ("c", 10)):
        path = tmp_path / "one" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (level,) * 3).save(path)
    (tmp_path / "two").mkdir()
    Image.new("RGB", (20, 20), (40,) * 3).save(tmp_path / "two" / "a.png")
    found = folder_images([tmp_path / "one", tmp_path / "two"], 16)
    assert found.images[:, 0, 0, 0].tolist() == [20, 30, 10, 40]
    assert found.sources == ("a", "b/x", "c", "a")


def test_an_orientation_tag_is_followed(tmp_path):
    upright = smooth(40, 24, seed=1)
    (tmp_path / "turned").mkdir()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    # 6 says: turn clockwise by 90 degrees to see it upright.
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned" / "a.png", exif=exif)
    (tmp_path / "plain").mkdir()
    upright.save(tmp_path / "plain" / "a.png")
    assert torch.equal(only(tmp_path / "turned"), only(tmp_path / "plain"))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_broken_orientation_tag_is_none(tmp_path):
    upright = smooth(40, 24, seed=1)
    for name, exif in (("broken", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"), ("plain", b"")):
        (tmp_path / name).mkdir()
        upright.save(tmp_path / name / "a.jpg", exif=exif)
    assert torch.equal(only(tmp_path / "broken"), only(tmp_path / "plain"))


def test_gray_palette_and_alpha_become_rgb(tmp_path):
    gray = smooth(20, 20, seed=2).convert("L")
    kinds = {
        "L": gray,
        "P": gray.convert("P"),
        "LA": gray.convert("LA"),
        "RGBA": Image.merge("RGBA", [gray] * 3 + [Image.new("L", gray.size, 7)]),
        "I;16": Image.fromarray(np.array(gray).astype(np.uint16) * 257),
    }
    images = []
    for name, picture in kinds.items():
        folder = tmp_path / name.replace(";", "")
        folder.mkdir()
        picture.save(folder / "a.png")
        images.append(only(folder))
    for image in images:
        assert image.shape == (3, 16, 16)
        assert torch.equal(image, images[0])


def test_gray_is_one_channel_of_brightness(tmp_path):
    Image.new("RGB", (20, 20), (200, 100, 50)).save(tmp_path / "a.png")
    image = only(tmp_path, gray=True)
    assert image.shape == (1, 16, 16)
    assert image.unique().tolist() == [round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)]


def test_what_is_out_has_a_reason(tmp_path):
    photographs(tmp_path, 2)
    whole = (tmp_path / "photo0.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "page.jpg").write_text("<html>not found</html>")
    (tmp_path / "same.jpg").write_bytes(whole)
    ramp(15, 200).save(tmp_path / "small.png")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.jpg").write_bytes(whole)
    found = folder_images(tmp_path, 16)
    assert len(found) == 2
    reasons = {path.rpartition("/")[2]: reason for path, reason in found.failed.items()}
    assert sorted(reasons) == ["cut.jpg", "empty.png", "page.jpg", "same.jpg", "small.png"]
    assert "too early" in reasons["cut.jpg"]
    assert "empty" in reasons["empty.png"]
    assert "not an image" in reasons["page.jpg"]
    assert "photo0.jpg" in reasons["same.jpg"]
    assert "15 x 200 pixels; want at least 16" in reasons["small.png"]


def test_classes_are_the_folders_right_below(tmp_path):
    for name, level in (("zebra/far/1", 30), ("ant/1", 10), ("ant/2", 11)):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (level,) * 3).save(path)
    found = folder_images(tmp_path, 16, labels=True)
    assert found.labels.tolist() == [0, 0, 1]
    assert found.card()["classes"] == ["ant", "zebra"]
    batch = found.batch(64)
    wanted = (batch["images"][:, 0, 0, 0] == 30).long()
    assert torch.equal(batch["labels"], wanted)
    assert 0 < wanted.sum() < 64


def test_a_picture_without_a_class_is_refused(tmp_path):
    photographs(tmp_path / "class")
    smooth(20, 20, seed=9).save(tmp_path / "stray.png")
    with pytest.raises(ValueError, match=r"stray\.png: lies in no folder of a class"):
        folder_images(tmp_path, 16, labels=True)


def test_a_folder_that_gives_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not a folder"):
        folder_images(tmp_path / "missing", 16)
    with pytest.raises(ValueError, match="no images found"):
        folder_images(tmp_path, 16)
    ramp(15, 15).save(tmp_path / "small.png")
    with pytest.raises(ValueError, match=r"none of 1 pictures.*small\.png: 15 x 15"):
        folder_images(tmp_path, 16)
