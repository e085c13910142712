"""From folders to a calibrated model: what `gandetect fit` does.

Tiles of one image are one score, images of one photograph one cluster. The scores that calibrate
come from folds that saw no tile of their photograph; the model that is stored is fitted to
everything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
import sklearn
import torch
from numpy.typing import NDArray
from torch import Tensor

from gandetect.detect.audit import Audit, LeakError, audit, describe
from gandetect.detect.calibration import (
    ClassScores,
    fit_platt,
    group_scores,
    smallest_certifiable_rate,
)
from gandetect.detect.classifiers import Fitted, fit_classifier
from gandetect.detect.delivery import (
    LOSSY,
    calibration_class,
    image_delivery,
    looks_enlarged,
    pixel_delivery,
    quality_class,
    size_class,
)
from gandetect.detect.features import FeatureSpec, Spec, extract
from gandetect.detect.folds import source_folds
from gandetect.detect.loading import in_order
from gandetect.detect.metrics import Estimate, proportion, ranking
from gandetect.detect.model import MIN_SIDE, Model, smallest_side
from gandetect.detect.networks.training import Progress
from gandetect.detect.planes import PlaneSpec
from gandetect.detect.reference import Examples, References, make_references, traces_of
from gandetect.detect.simulate import LARGEST_CROP, Pair, blocks_of, pairs_of
from gandetect.detect.simulation.network import GeneratorNetwork
from gandetect.detect.tiles import MAX_TILES, cut_tiles, usable_side
from gandetect.media import MediaError, read_luma, read_rgb, sniff
from gandetect.media.manifests import sources_in

# Networks see so many tiles of an image and no more: they train on every one of them many times.
MAX_TILES_OF_NETWORKS = 4


@dataclass(frozen=True)
class Sample:
    """One image: `features` (T, F) of tiles of `tile` pixels, or for networks the tiles (T, S, S);
    `group` is what it stems from.

    `delivery` names how it was compressed, for the error rates of the model card. `modes`: the
    up-samplers that made it, in order, where the simulation knows them. `calibration_class`: one of
    `delivery.calibration_harm`, for thresholds of its own; "" where it is not known. `traces` (M,):
    see `gandetect.detect.reference`; None where it was compressed, or no profile is fitted.
    """

    group: str
    label: int
    tile: int
    features: NDArray[Any]
    delivery: str = "as in the files"
    modes: tuple[str, ...] = ()
    calibration_class: str = ""
    traces: NDArray[Any] | None = None


@dataclass
class Dataset:
    """Samples, their audit rows, and why the files could not be used that have none."""

    samples: list[Sample] = field(default_factory=list)
    rows: list[dict[str, float]] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    hashes: dict[int, list[str]] = field(default_factory=lambda: {0: [], 1: []})

    def manifest(self) -> dict[str, Any]:
        """How many files of each class were used, and one hash over those of their contents."""
        return {
            name: {
                "files": len(self.hashes[label]),
                "sha256": hashlib.sha256(
                    "\n".join(sorted(self.hashes[label])).encode()
                ).hexdigest(),
            }
            for label, name in ((0, "real"), (1, "generated"))
            if self.hashes[label]
        }


@dataclass(frozen=True)
class Fit:
    """A fitted `model` and what its cross-fitted image scores show.

    `auc`: with the interval of its clusters. `accuracy`: at even odds, of the real and of the
    generated images, with exact intervals.
    """

    model: Model
    auc: Estimate
    accuracy: dict[str, Estimate]
    n_real: int
    n_generated: int
    audit: Audit | None = None

    @property
    def smallest_rate(self) -> float:
        """The smallest false-alarm rate that the calibration images can certify."""
        arrays = self.model.arrays
        fewest = min(len(arrays["calibration.real"]), len(arrays["calibration.generated"]))
        return smallest_certifiable_rate(fewest)


def image_files(folder: str | Path) -> list[Path]:
    """The still images below `folder`, known by their content, in order of their names.

    Raises ValueError where there are none.
    """
    files = [p for p in sorted(Path(folder).rglob("*")) if p.is_file() and sniff(p) == "image"]
    if not files:
        raise ValueError(f"{folder}: no images found; give a folder with photographs in it")
    return files


def load_folder(
    dataset: Dataset,
    folder: str | Path,
    label: int,
    spec: Spec,
    tile: int,
    progress: Progress | None = None,
    *,
    min_side: int = MIN_SIDE,
    beside: Sequence[str | Path] = (),
    workers: int = 0,
) -> None:
    """Add the images below `folder` to `dataset`; files that fail are noted there, not raised.

    Files of both classes with the same name, apart from the suffix, count as one source, a
    photograph and what was generated from it; a manifest of the folder, or of those `beside` it,
    may name another (`manifests.rows_in`). Images smaller than `min_side` fail. `workers` as in
    `loading.in_order`, whose errors are raised.
    """
    files = image_files(folder)
    sources = sources_in(folder, files, beside)
    read = partial(_read_image, label=label, spec=spec, tile=tile, min_side=min_side)
    for number, (path, found) in enumerate(zip(files, in_order(read, files, workers), strict=True)):
        if progress:
            progress(f"reading {Path(folder).name}", number, len(files))
        if isinstance(found, str):
            dataset.failed[str(path)] = found
            continue
        sample, row, digest = found
        dataset.samples.append(replace(sample, group=sources[path]))
        dataset.rows.append(row)
        dataset.hashes[label].append(digest)


def _read_image(
    path: Path, label: int, spec: Spec, tile: int, min_side: int
) -> tuple[Sample, dict[str, float], str] | str:
    """The sample of a file, of no group yet, its audit row and its hash, or why it failed."""
    try:
        data = path.read_bytes()
        luma = read_luma(data)
        pixels = luma.as_uint8_range()
        features = extract(_squares(pixels, tile, spec, min_side), spec).numpy()
        row = describe(data, pixels)
        known = _class_of(pixels, tile, image_delivery(luma, data))
    except (MediaError, ValueError, OSError) as error:
        return str(error)
    sample = Sample("", label, tile, features, calibration_class=known)
    return sample, row, hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class _Simulation:
    """What is made of every photograph of a folder; see `simulate_folder`."""

    spec: Spec
    tiles: tuple[int, ...]
    min_side: int
    largest: int
    seed: int
    networks: Sequence[GeneratorNetwork]

    def of(
        self, photographs: Sequence[tuple[Path, str]], block: tuple[int, range]
    ) -> list[tuple[Sample, dict[str, float]]]:
        """The samples of a `block` of pairs and their audit rows."""
        source, numbers = block
        path, group = photographs[source]
        pairs = pairs_of(
            partial(read_rgb, path), source, numbers,
            side=self.largest, seed=self.seed, networks=self.networks,
        )  # fmt: skip
        return [row for pair in pairs for row in _samples_of(pair, group, self)]


def simulate_folder(
    dataset: Dataset,
    folder: str | Path,
    spec: Spec,
    tiles: Sequence[int],
    *,
    pairs: int,
    seed: int,
    progress: Progress | None = None,
    min_side: int = MIN_SIDE,
    networks: Sequence[GeneratorNetwork] = (),
    sources: Mapping[Path, str] | None = None,
    largest: int = LARGEST_CROP,
    workers: int = 0,
) -> None:
    """Add `pairs` simulated pairs of each photograph below `folder`, cut to each tile size.

    Crops have at most `largest` pixels a side; pairs smaller than `min_side` are left out.
    `networks`: trained generators that make half of the pairs, see `autoencoders`. `sources`: the
    photographs to take and what each counts as; None takes all, and what the manifest of the folder
    says of them. `workers` as in `simulate`: the same bits, however many there are.
    """
    if sources is None:
        sources = sources_in(folder, image_files(folder))
    photographs = []
    checked = in_order(_check_photograph, list(sources), workers)
    for (path, group), (digest, failure) in zip(sources.items(), checked, strict=True):
        if failure:
            dataset.failed[str(path)] = failure
            continue
        dataset.hashes[0].append(digest)
        photographs.append((path, group))
    simulation = _Simulation(spec, tuple(tiles), min_side, largest, seed, networks)
    blocks = blocks_of(len(photographs), pairs)
    made = in_order(partial(simulation.of, photographs), blocks, workers)
    for number, samples in enumerate(made):
        if progress:
            progress("simulating", number, len(blocks))
        for sample, row in samples:
            dataset.samples.append(sample)
            dataset.rows.append(row)


def _check_photograph(path: Path) -> tuple[str, str]:
    """The hash of a photograph, and why nothing can be made of it, "" where it can."""
    try:
        data = path.read_bytes()
        cut_tiles(read_luma(data).as_uint8_range(), 2 * MIN_SIDE, min_side=2 * MIN_SIDE)
    except (MediaError, ValueError, OSError) as error:
        return "", str(error)
    return hashlib.sha256(data).hexdigest(), ""


def _squares(pixels: Tensor, tile: int, spec: Spec, min_side: int) -> Tensor:
    """The tiles that a fit sees of an image; raises ValueError where it is too small or flat."""
    of_pixels = isinstance(spec, PlaneSpec) and spec.transform == "pixels"
    most = MAX_TILES_OF_NETWORKS if of_pixels else MAX_TILES
    smallest = max(min_side, smallest_side(spec))
    return cut_tiles(pixels, tile, min_side=smallest, max_tiles=most)


def _samples_of(
    pair: Pair, group: str, simulation: _Simulation
) -> list[tuple[Sample, dict[str, float]]]:
    """Both images of a pair in tiles of each size, with their audit rows."""
    spec, found = simulation.spec, []
    planes = (pair.real, pair.generated)
    deliveries = [_delivery_class(plane, pair) for plane in planes]
    rows = [pixel_row(plane) for plane in planes]
    compared = isinstance(spec, FeatureSpec) and not pair.delivery.compressions
    for tile in simulation.tiles:
        try:
            squares = [_squares(plane, tile, spec, simulation.min_side) for plane in planes]
            images = [extract(one, spec) for one in squares]
        except ValueError:
            # A flat or small crop; both of the pair go, or the classes would differ.
            continue
        for label, features in enumerate(images):
            sample = Sample(
                group,
                label,
                tile,
                features.numpy(),
                pair.delivery.name,
                pair.modes if label else (),
                _class_of(planes[label], tile, deliveries[label]),
                traces_of(features, squares[label]).numpy() if compared else None,
            )
            found.append((sample, rows[label]))
    return found


def pixel_row(plane: Tensor) -> dict[str, float]:
    """The audit row of a simulated luma `plane` (H, W) uint8, as a JPEG file of it."""
    # The size tells how much detail there is at any quality, and soonest in this codec.
    return describe(simplejpeg.encode_jpeg(plane.numpy()[..., None], 95, "GRAY"), plane)


def _delivery_class(plane: Tensor, pair: Pair) -> str:
    """The class of one image of a pair. What was delivered without loss may show the compression of
    the photograph still, by which screening would judge it, too; other lossy codecs than JPEG count
    as its hardest. "" where it is soft or resized: how soft photographs are that were blurred or
    enlarged, the simulation does not say."""
    if pair.delivery.quality is not None:
        compression = quality_class(pair.delivery.quality)
    else:
        compression = LOSSY if pair.delivery.compressions else pixel_delivery(plane.numpy())
    return "" if looks_enlarged(plane.numpy(), compression) else compression


def _class_of(pixels: Tensor, tile: int, delivery: str) -> str:
    """The class of an image that is cut into tiles of `tile` pixels, or as large as it is."""
    side = usable_side(pixels.shape[0], pixels.shape[1], tile, MIN_SIDE)
    return calibration_class(delivery, size_class(side)) if delivery else ""


def fit_model(
    dataset: Dataset,
    spec: Spec,
    *,
    name: str,
    classifier: str = "logistic",
    tile: int = 128,
    seed: int = 0,
    allow_leak: bool = False,
    details: dict[str, Any] | None = None,
    held_out: Dataset | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Fit:
    """Audit, cross-fit, calibrate and fit; `settings` as in `fit_classifier`.

    `held_out`: images of other sources, to calibrate on; without them the cross-fitted scores of
    the training images do. Raises LeakError where the audit fails, unless `allow_leak`; ValueError
    where a class has fewer than two sources, or a held-out source is one of the training.
    """
    samples = dataset.samples
    found = audited(dataset, (spec,), seed, allow_leak)

    def fit(chosen: Sequence[Sample]) -> Fitted:
        return fit_samples(chosen, classifier, seed, settings, progress)

    fitted = fit(samples)
    if held_out is None:
        judged, scores = dataset, cross_fitted_scores(samples, fit, seed)
    else:
        judged, scores = held_out, _held_out_scores(held_out, dataset, fitted)
    references, worth = _references(samples, spec, tile, seed)
    card = {"reference": worth, **({"network": fitted.network} if fitted.network else {})}
    kept = {key: value for key, value in settings.items() if key != "schedule"}
    parts = ModelParts(name, classifier, fitted.kind, spec, fitted.arrays, references)
    details = {**card, **(details or {})}
    return calibrated(parts, dataset, scores, tile, seed, found, kept, details, judged)


def _held_out_scores(held_out: Dataset, dataset: Dataset, fitted: Fitted) -> NDArray[np.float64]:
    """Mean tile logit (N,) of each held-out sample."""
    trained_on = {sample.group for sample in dataset.samples}
    if shared := sorted({sample.group for sample in held_out.samples} & trained_on):
        raise ValueError(f"{len(shared)} held-out sources were trained on, such as {shared[0]!r}")
    return np.array([fitted.logits(sample.features).mean() for sample in held_out.samples])


@dataclass(frozen=True)
class ModelParts:
    """What a model is made of, but for its calibration; see `Model.create`."""

    name: str
    classifier: str
    kind: str
    spec: Spec
    arrays: dict[str, Tensor]
    references: dict[str, Tensor] = field(default_factory=dict)


def calibrated(
    parts: ModelParts,
    dataset: Dataset,
    scores: NDArray[np.float64],
    tile: int,
    seed: int,
    found: Audit | None,
    settings: dict[str, Any],
    details: dict[str, Any],
    judged: Dataset | None = None,
) -> Fit:
    """The model of `parts`, fitted to `dataset`, calibrated on the `scores` (N,) that fits which
    saw none of their sources gave the samples of `judged`, None for those of `dataset`."""
    judged = judged or dataset
    samples = judged.samples
    unit = [i for i, sample in enumerate(samples) if sample.tile == tile]
    labels = np.array([samples[i].label for i in unit])
    auc = ranking(labels, scores[unit], np.array([samples[i].group for i in unit]))["auc"]
    accuracy = {
        name: proportion((scores[unit] > 0)[labels == label] == label)
        for label, name in ((0, "real"), (1, "generated"))
    }
    real, generated = (scores[_first_of_each(samples, unit, label)] for label in (0, 1))
    classes = _by_class(samples, scores)
    card = {
        "training": {
            "data": dataset.manifest(),
            "images": _counts(dataset.samples, tile),
            "seed": seed,
            "settings": settings,
            "audit": found.to_dict() if found else None,
            "versions": {"torch": torch.__version__, "scikit-learn": sklearn.__version__},
        },
        "judged": {
            "on": "cross-fitted training images" if judged is dataset else "held-out images",
            "data": judged.manifest(),
            "auc": auc.to_list(),
            "tile": tile,
            "images": _counts(samples, tile),
            "error_rates": _error_rates(samples, scores),
        },
        "calibration_classes": {name: _described(found) for name, found in classes.items()},
    }
    model = Model.create(
        parts.name,
        parts.classifier,
        parts.kind,
        parts.spec,
        parts.arrays,
        tile=tile,
        platt=fit_platt(scores[unit], labels),
        real_scores=torch.from_numpy(real),
        generated_scores=torch.from_numpy(generated),
        details={**card, **details},
        references=parts.references,
        classes=classes,
    )
    counts = _counts(dataset.samples, tile)
    return Fit(model, auc, accuracy, counts["real"], counts["generated"], found)


def _counts(samples: Sequence[Sample], tile: int) -> dict[str, int]:
    """How many images of each class have tiles of `tile` pixels."""
    labels = [sample.label for sample in samples if sample.tile == tile]
    return {"real": labels.count(0), "generated": labels.count(1)}


def _by_class(samples: Sequence[Sample], scores: NDArray[np.float64]) -> dict[str, ClassScores]:
    """The scores of the samples whose class is known, one image of each source and class."""
    known = [i for i, sample in enumerate(samples) if sample.calibration_class]
    return group_scores(
        scores[known],
        [samples[i].label for i in known],
        [samples[i].calibration_class for i in known],
        [samples[i].group for i in known],
    )


def _described(scores: ClassScores) -> dict[str, Any]:
    """How many images of a class calibrate, and the smallest rate that its reals certify."""
    return {
        "real": len(scores.real),
        "generated": len(scores.generated),
        "smallest_certifiable_rate": smallest_certifiable_rate(len(scores.real)),
    }


def cross_fitted_scores(
    samples: Sequence[Sample], fit: Callable[[Sequence[Sample]], Fitted], seed: int
) -> NDArray[np.float64]:
    """Mean tile logit (N,) of each sample, by a fit that saw nothing of its group."""
    labels = np.array([sample.label for sample in samples])
    groups = [sample.group for sample in samples]
    scores = np.empty(len(samples))
    for train, test in source_folds(labels, groups, seed):
        fitted = fit([samples[i] for i in train])
        for i in test:
            scores[i] = fitted.logits(samples[i].features).mean()
    return scores


def _references(
    samples: Sequence[Sample], spec: Spec, tile: int, seed: int
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The arrays that explain verdicts, and their worth; none where there is no profile."""
    if isinstance(spec, PlaneSpec):
        return {}, {}
    references, worth = references_from(samples, tile, seed)
    return references.to_arrays(), worth


def references_from(
    samples: Sequence[Sample], tile: int, seed: int
) -> tuple[References, dict[str, Any]]:
    """What verdicts on images in tiles of `tile` pixels are explained by, and its worth."""
    unit = [sample for sample in samples if sample.tile == tile]
    groups = [sample.group for sample in unit]
    examples = Examples(
        np.stack([sample.features.mean(axis=0, dtype=np.float64) for sample in unit]),
        groups,
        [_last_mode(sample) for sample in unit],
        [sample.traces for sample in unit],
    )
    folds = list(source_folds([sample.label for sample in unit], groups, seed))
    return make_references(examples, folds, tile)


def _last_mode(sample: Sample) -> str | None:
    """The up-sampler of the last stage, whose trace lies highest; "" for a real image."""
    if sample.label == 0:
        return ""
    return sample.modes[-1] if sample.modes else None


def _error_rates(samples: Sequence[Sample], scores: NDArray[np.float64]) -> list[dict[str, Any]]:
    """AUC and detection rates of `scores`, for each tile size and each delivery."""
    rows = []
    for key in sorted({(sample.tile, sample.delivery) for sample in samples}):
        chosen = [i for i, sample in enumerate(samples) if (sample.tile, sample.delivery) == key]
        labels = [samples[i].label for i in chosen]
        if len(set(labels)) < 2:
            continue
        figures = ranking(labels, scores[chosen], [samples[i].group for i in chosen])
        values = {name: estimate.to_list() for name, estimate in figures.items()}
        rows.append({"tile": key[0], "delivery": key[1], "images": len(chosen)} | values)
    return rows


def audited(dataset: Dataset, specs: Sequence[Spec], seed: int, allow_leak: bool) -> Audit | None:
    """The audit of the images that `dataset` has rows of, one for each sample; None without."""
    if not dataset.rows:
        return None
    labels = [sample.label for sample in dataset.samples]
    groups = [sample.group for sample in dataset.samples]
    counts = not all(spec.ignores_brightness for spec in specs)
    found = audit(dataset.rows, labels, groups, brightness_counts=counts, seed=seed)
    if found.leaks and not allow_leak:
        raise LeakError(found)
    return found


def fit_samples(
    samples: Sequence[Sample],
    classifier: str,
    seed: int,
    settings: dict[str, Any],
    progress: Progress | None,
) -> Fitted:
    """Fit to all tiles; each image weighs the same, however many tiles it has."""
    return fit_classifier(
        classifier,
        np.concatenate([sample.features for sample in samples]),
        np.concatenate([np.full(len(s.features), s.label) for s in samples]),
        weights=np.concatenate([np.full(len(s.features), 1 / len(s.features)) for s in samples]),
        groups=np.concatenate([np.full(len(s.features), s.group) for s in samples]),
        seed=seed,
        progress=progress,
        **settings,
    )


def _first_of_each(samples: Sequence[Sample], unit: Sequence[int], label: int) -> list[int]:
    """One sample of `label` per group: thresholds are certified for independent images."""
    first: dict[str, int] = {}
    for i in unit:
        if samples[i].label == label:
            first.setdefault(samples[i].group, i)
    return list(first.values())
