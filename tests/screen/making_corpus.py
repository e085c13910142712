"""A folder of good, bad and odd files, and a detector to screen them with."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from making_media import image_bytes, noise, write_clip, write_sound
from PIL import Image

from gandetect.detect import FeatureSpec, Model

# Name -> what becomes of it: ok, partial, the reason of an error, or skip: and a reason.
CORPUS: dict[str, str] = {
    "good.jpg": "ok",
    "odd.png": "ok",
    "sixteen.png": "ok",
    "palette.png": "ok",
    "alpha.png": "ok",
    "cmyk.jpg": "ok",
    "turned.jpg": "ok",
    "animated.gif": "ok",
    "animated.webp": "ok",
    "tiny.png": "ok",
    "flat.png": "ok",
    "good.mp4": "ok",
    "ten_bit.mp4": "ok",
    "vp9.webm": "ok",
    "interlaced.mp4": "ok",
    "jpeg.mp4": "ok",
    "video.jpg": "ok",
    "line\nbreak.jpg": "ok",
    os.fsdecode(b"caf\xe9.jpg"): "ok",
    "\x1b[31mred.jpg": "ok",
    "no_extension": "ok",
    "link.jpg": "ok",
    "faststart_cut.mp4": "partial",
    "hole.mp4": "partial",
    "cut.mkv": "partial",
    "cut.mp4": "truncated",
    "cut.jpg": "truncated",
    "cut.png": "truncated",
    "bomb.png": "too_large",
    "empty.mp4": "empty",
    "text.mp4": "not_media",
    "list.mp4": "not_media",
    "sound.mp4": "no_video",
    "notes.txt": "skip:not_media",
    "nothing.bin": "skip:empty",
    ".hidden.jpg": "skip:hidden",
    "fifo.jpg": "skip:fifo",
    "gone.jpg": "skip:broken_link",
    "folder/self": "skip:loop",
}


def make_model(tile: int = 64) -> Model:
    """A linear model with random weights: what it says is arbitrary, how it is said is real."""
    spec = FeatureSpec()
    generator = torch.Generator().manual_seed(0)
    size = len(spec.axes())
    return Model.create(
        "arbitrary",
        "logistic",
        "linear",
        spec,
        {
            "weight": torch.randn(size, generator=generator, dtype=torch.float64) / size,
            "center": torch.zeros(size, dtype=torch.float64),
            "bias": torch.tensor(0.0, dtype=torch.float64),
        },
        tile=tile,
        platt=(1.0, 0.0),
        real_scores=torch.randn(200, generator=generator) - 2,
        generated_scores=torch.randn(200, generator=generator) + 2,
    )


def make_corpus(folder: Path) -> None:
    """Every file of CORPUS."""
    _make_images(folder)
    _make_videos(folder)
    _make_oddities(folder)


def _make_images(folder: Path) -> None:
    rgb = noise(97, 131)
    photo = image_bytes(rgb, "JPEG")
    exif = Image.Exif()
    exif[0x0112] = 6
    alpha = np.concatenate([rgb, rgb[:, :, :1]], axis=2)
    frames = [Image.fromarray(noise(64, 64, seed)) for seed in range(3)]
    files = {
        "good.jpg": photo,
        "odd.png": image_bytes(rgb, "PNG"),
        "sixteen.png": image_bytes(rgb[:, :, 0].astype(np.uint16) * 257, "PNG"),
        "palette.png": image_bytes(rgb, "PNG", mode="P"),
        "alpha.png": image_bytes(alpha, "PNG"),
        "cmyk.jpg": image_bytes(rgb, "JPEG", mode="CMYK"),
        "turned.jpg": image_bytes(rgb, "JPEG", exif=exif),
        "tiny.png": image_bytes(noise(20, 500), "PNG"),
        "flat.png": image_bytes(np.full((128, 128), 255, np.uint8), "PNG"),
        "jpeg.mp4": photo,
        "line\nbreak.jpg": photo,
        os.fsdecode(b"caf\xe9.jpg"): photo,
        "\x1b[31mred.jpg": photo,
        "no_extension": photo,
        ".hidden.jpg": photo,
        "cut.jpg": photo[: len(photo) // 2],
        "cut.png": image_bytes(rgb, "PNG")[:4000],
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    for kind in ("gif", "webp"):
        frames[0].save(folder / f"animated.{kind}", save_all=True, append_images=frames[1:])
    body = b"IHDR" + struct.pack(">IIBBBBB", 50000, 50000, 8, 2, 0, 0, 0)
    head = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    (folder / "bomb.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + head + b"\x00\x00\x10\x00IDAT" + bytes(4096)
    )


def _make_videos(folder: Path) -> None:
    fast = {"movflags": "faststart"}
    good = write_clip(folder / "good.mp4", container_options=fast).read_bytes()
    write_clip(folder / "ten_bit.mp4", 20, pix_fmt="yuv420p10le")
    write_clip(folder / "vp9.webm", 12, codec="libvpx-vp9")
    write_clip(folder / "interlaced.mp4", 8, options={"x264-params": "interlaced=1:tff=1"})
    (folder / "video.jpg").write_bytes(good)
    (folder / "faststart_cut.mp4").write_bytes(good[: len(good) // 2])
    middle, hole = len(good) // 2, len(good) // 8
    (folder / "hole.mp4").write_bytes(good[:middle] + bytes(hole) + good[middle + hole :])
    late = write_clip(folder / "cut.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(late[: len(late) // 2])
    matroska = write_clip(folder / "cut.mkv").read_bytes()
    (folder / "cut.mkv").write_bytes(matroska[: len(matroska) // 2])
    write_sound(folder / "sound.mp4")


def _make_oddities(folder: Path) -> None:
    (folder / "empty.mp4").touch()
    (folder / "nothing.bin").touch()
    (folder / "text.mp4").write_text("hello " * 300)
    (folder / "list.mp4").write_text("ffconcat version 1.0\nfile good.mp4\n")
    (folder / "notes.txt").write_text("nothing to see")
    os.mkfifo(folder / "fifo.jpg")
    (folder / "link.jpg").symlink_to(folder / "good.jpg")
    (folder / "gone.jpg").symlink_to(folder / "not there")
    (folder / "folder").mkdir()
    (folder / "folder" / "self").symlink_to(folder)
