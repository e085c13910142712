"""Images drawn from a generator with our ops and from its twin on torch's, interleaved in one run.

    python bench/generators.py --json bench/results/generators.json

All sides are the same generator, of its `run` preset, with the same weights, latents and noise, in
eval and inference mode. Ours is prepared by `for_inference`. The twins' layers are what a user
would write with torch alone, with a transposed convolution and a filter where StyleGAN2 up-samples:
once as the module is, and twice with the norms of weights computed beforehand as in ours, in each
of torch's two layouts. All must have equal images before they are timed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from measure import interleaved, parsed, ratio, ratio_interval, set_threads, summary, write
from torch import Tensor
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations
from twins import as_torch

from gandetect.gans import GenerativeModel, model_class, preset
from gandetect.gans.inference import for_inference
from gandetect.gans.modulation import ModulatedConv2d, StyledConv

# Largest difference of images whose values are in -1..1.
LIMIT = 1e-5
# As published, and StyleGAN2 with an interpolation in the place of its filter too.
GENERATORS = (("stylegan2", "fir"), ("stylegan2", "bilinear"), ("biggan", "nearest"))
COUNTS = (1, 16)


def twin(model: GenerativeModel) -> GenerativeModel:
    """The same model on torch's layers."""
    other = type(model)(model.config)
    other.load_state_dict(model.state_dict())
    as_torch(other)
    return other.eval().requires_grad_(False)


def trained_alike(model: GenerativeModel) -> None:
    """Leave no weight at zero, which would hide what is computed with it; norms see a batch."""
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for one in model.parameters():
            if one.eq(0).all():
                one.add_(0.1 * torch.randn(one.shape, generator=rng))
        model.train().draw(model.latents(16))
    model.eval()


def prepared(model: GenerativeModel, layout: torch.memory_format) -> GenerativeModel:
    """The same model with what depends on its weights alone computed once."""
    for layer in model.modules():
        if is_parametrized(layer):
            for name in list(layer.parametrizations):  # type: ignore[arg-type]
                remove_parametrizations(layer, name)
        if isinstance(layer, ModulatedConv2d | StyledConv):
            layer.prepare()
    return model.to(memory_format=layout)  # type: ignore[call-overload, no-any-return]


def drawing(model: GenerativeModel, latents: Tensor) -> Callable[[], Tensor]:
    def draw() -> Tensor:
        torch.manual_seed(7)
        with torch.inference_mode():
            return model.draw(latents)

    return draw


def measured(name: str, up: str, count: int, seconds: float) -> dict[str, Any]:
    torch.manual_seed(0)
    config = replace(preset(name, "run"), up=up)
    model = model_class(name)(config).eval().requires_grad_(False)
    trained_alike(model)
    latents = model.latents(count)
    layouts = {
        "torch prepared": torch.contiguous_format,
        "torch prepared, channels_last": torch.channels_last,
    }
    sides = {
        "ours": for_inference(model),
        "torch": twin(model),
        **{who: prepared(twin(model), layout) for who, layout in layouts.items()},
    }
    draws = {who: drawing(one, latents) for who, one in sides.items()}
    images = {who: draw() for who, draw in draws.items()}
    error = max(float((one - images["ours"]).abs().max()) for one in images.values())
    if error > LIMIT:
        raise SystemExit(f"{name}: images differ by {error:.1e}, more than {LIMIT:.0e}")
    times = interleaved(draws, seconds)
    others = [who for who in draws if who != "ours"]
    rivals = {who: ratio(times[who], times["ours"]) for who in others}
    intervals = {who: ratio_interval(times[who], times["ours"]) for who in others}
    return {
        "model": name,
        "up": up,
        "size": model.config.size,
        "count": count,
        "error": error,
        "spread": float(images["ours"].std()),
        "times": {who: summary(found, count) for who, found in times.items()},
        "over_ours": rivals,
        "intervals": intervals,
    }


def main() -> int:
    arguments = parsed((__doc__ or "").splitlines()[0])
    set_threads(arguments.threads)
    found = []
    for name, up in GENERATORS:
        if arguments.only not in name:
            continue
        for count in COUNTS:
            row = measured(name, up, count, arguments.seconds)
            found.append(row)
            rivals = ", ".join(f"{who} {times:.2f}x" for who, times in row["over_ours"].items())
            per_image = row["times"]["ours"]["median_us"]
            told = (
                f"{name} {up} n={count}: {per_image:.0f} us an image; {rivals}; {row['error']:.1e}"
            )
            print(told, file=sys.stderr, flush=True)
    write(found, arguments, LIMIT)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
