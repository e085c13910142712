"""The model file: one `.safetensors`, plain arrays and a JSON card, nothing that can run code.

The card and the arrays are covered by one SHA-256 inside the file, so that an edit or a damaged
byte is refused. It is no signature: whoever means harm can compute it anew. `Model.sha256`, of the
whole file, is what to publish and to compare.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gandetect.detect import scorers
from gandetect.detect.calibration import (
    CONFIDENCE,
    GENERATED_ARRAY,
    REAL_ARRAY,
    ClassScores,
    ClassThresholds,
    Thresholds,
    allowed_exceedances,
    choose_thresholds,
    class_thresholds,
    lowest_limits,
    scores_from_arrays,
    scores_to_arrays,
)
from gandetect.detect.delivery import calibration_harm
from gandetect.detect.features import FeatureSpec, Spec, extract, spec_from_dict
from gandetect.detect.members import FUSION, fused, members_of
from gandetect.detect.networks import NETWORKS, Network
from gandetect.detect.networks.fingerprint import SourceNetwork
from gandetect.detect.phases import phase_count
from gandetect.detect.planes import PlaneSpec
from gandetect.detect.reference import References
from gandetect.detect.tiles import MAX_TILES, central_square
from gandetect.media import LUMA_DEFINITION
from gandetect.tensorfile import pack, unpack

FORMAT_VERSION = 1
MAX_BYTES = 64 * 2**20
MIN_SIDE = 32
# Features are float32 sums; implementations of one convention differ by less than this (log units).
PROBE_TOLERANCE = 1e-2
_CALIBRATION = ("calibration.platt", "calibration.real", "calibration.generated")
# What a model may carry besides; see `gandetect.detect.reference` for the references.
_VIDEO = "calibration.video"
_NETWORK = "network."
_REFERENCE = "reference."
_REFERENCE_REAL = "reference.real"
_REFERENCE_CENTER = "reference.center"
_REFERENCE_COVARIANCE = "reference.covariance"
_METADATA_KEY = "gandetect"


class Model:
    """A fitted detector: scores luma tiles with torch alone.

    `card`: what the model is, was trained on and measured at, as plain JSON values. `arrays`: the
    scorer's arrays, and `calibration.platt` (slope, intercept), `calibration.real` and
    `calibration.generated` (sorted out-of-fold scores, one independent image each). A model may
    also carry `calibration.real.<class>` and `calibration.generated.<class>` (2, n), the scores and
    sources of each class of delivery and size (`calibration.scores_to_arrays`), which give images
    thresholds of their class; `calibration.video` (sorted scores of real videos); and
    `reference.real` (3, F), `reference.center` (M,), `reference.covariance` (M, M) and
    `reference.<family>` (M,), which explain a verdict and change none: M is F and the number of
    `phase_features`. `sha256`: of the file it was loaded from or saved to, else
    "". Pickling goes through the bytes of the file and its checks.
    """

    def __init__(
        self, arrays: Mapping[str, Tensor], card: dict[str, Any], sha256: str = ""
    ) -> None:
        self.arrays = {name: array.contiguous() for name, array in arrays.items()}
        self.card = card
        self.sha256 = sha256
        _check(self.arrays, card)
        self.spec = spec_from_dict(card["features"])
        self._members = members_of(card, _of_scorer(self.arrays))
        self.name: str = card["name"]
        self.kind: str = card["kind"]
        self.tile: int = card["tile"]
        self.min_side: int = card["min_side"]

    @classmethod
    def create(
        cls,
        name: str,
        classifier: str,
        kind: str,
        spec: Spec,
        arrays: Mapping[str, Tensor],
        *,
        tile: int,
        platt: tuple[float, float],
        real_scores: Tensor,
        generated_scores: Tensor,
        details: Mapping[str, Any] | None = None,
        references: Mapping[str, Tensor] | None = None,
        classes: Mapping[str, ClassScores] | None = None,
    ) -> Model:
        """A model from fitted parts; `details` (JSON values) joins the card, `references` (arrays
        named `reference.*`) explain its verdicts, `classes` give thresholds of their own to those
        of `calibration_harm` that they name.

        A network's arrays are its weights, and `details` has its name and settings as `network`.
        """
        card = {
            "format_version": FORMAT_VERSION,
            "name": name,
            "classifier": classifier,
            "kind": kind,
            "features": spec.to_dict(),
            "luma": LUMA_DEFINITION,
            "tile": tile,
            "min_side": smallest_side(spec),
            "max_tiles": MAX_TILES,
            **(details or {}),
        }
        calibration = {
            "calibration.platt": torch.tensor(platt, dtype=torch.float64),
            "calibration.real": real_scores.double().sort().values,
            "calibration.generated": generated_scores.double().sort().values,
            "probe": _probe(spec),
            **{
                key: torch.from_numpy(array)
                for key, array in scores_to_arrays(classes or {}).items()
            },
        }
        # One round trip, so that the card in memory is the card that will be read.
        prefix = _NETWORK if kind == scorers.NETWORK else ""
        own = {f"{prefix}{key}": array for key, array in arrays.items()}
        return cls({**own, **calibration, **(references or {})}, json.loads(json.dumps(card)))

    @classmethod
    def load(cls, path: str | Path) -> Model:
        """Read a model file.

        Raises ValueError where the file is no model, was changed, is larger than `MAX_BYTES`, has
        an unknown format version, or was made with another convention or luma than the installed
        ones.
        """
        path = Path(path)
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ValueError(f"{path}: {size} bytes; a model file has at most {MAX_BYTES}")
        return cls._checked(path.read_bytes(), str(path))

    @classmethod
    def from_bytes(cls, data: bytes, sha256: str = "") -> Model:
        """The model whose file holds `data`, with the checks of `load`.

        `sha256`: what the hash of `data` must be; "" takes any. Raises ValueError where it differs.
        """
        found = hashlib.sha256(data).hexdigest()
        if sha256 not in ("", found):
            raise ValueError(f"model bytes of SHA-256 {found} given; {sha256} was expected")
        if len(data) > MAX_BYTES:
            raise ValueError(f"{len(data)} bytes given; a model file has at most {MAX_BYTES}")
        return cls._checked(data, "model bytes")

    @classmethod
    def _checked(cls, data: bytes, origin: str) -> Model:
        """The model in `data`; `origin` names it in the ValueErrors."""
        arrays, card = unpack(data, _METADATA_KEY, "model", origin)
        try:
            return cls(arrays, card, hashlib.sha256(data).hexdigest())
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{origin}: {error}") from error

    def to_bytes(self) -> bytes:
        """The model file, the same bytes every time; what `save` writes and `from_bytes` reads."""
        return pack(self.arrays, self.card, _METADATA_KEY)

    def __reduce__(self) -> tuple[Callable[[bytes, str, str], Model], tuple[bytes, str, str]]:
        data = self.to_bytes()
        return _unpickled, (data, hashlib.sha256(data).hexdigest(), self.sha256)

    def save(self, path: str | Path) -> None:
        """Write the model file, the same bytes every time, and set `sha256`."""
        data = self.to_bytes()
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.sha256 = hashlib.sha256(data).hexdigest()

    def features(self, images: Tensor) -> Tensor:
        """Features (N, F) float32 of luma `images` (N, H, W), uint8 or floating 0..255.

        A rectangle is cut to its central even square. Raises ValueError below `min_side`, and for
        larger images where the features belong to one tile size.
        """
        return extract(self._squares(images), self.spec)

    def _squares(self, images: Tensor) -> Tensor:
        if images.ndim != 3:
            raise ValueError(f"images of shape {tuple(images.shape)} given; want (N, H, W)")
        squares = central_square(images)
        if squares.shape[-1] < self.min_side:
            raise ValueError(
                f"images of {images.shape[1]}x{images.shape[2]} pixels given; "
                f"{self.name} needs at least {self.min_side}x{self.min_side}"
            )
        return squares

    def logits(self, images: Tensor) -> Tensor:
        """Logits (N,) float32 of luma `images` (N, H, W); an image scores the mean of its tiles."""
        return fused(self._members, self.arrays, self._squares(images))

    def score_features(self, features: Tensor) -> Tensor:
        """Logits (N,) float32 of `features` (N, F), or of tiles (N, S, S) for a network.

        Raises ValueError for a fusion, whose members have features of their own.
        """
        if self.kind == FUSION:
            raise ValueError(f"{self.name} is a fusion; score images, not features")
        return self._members[0].score(features.cpu()).float()

    @property
    def ignores_brightness(self) -> bool:
        """Whether the mean and the contrast of an image cancel in its logit."""
        return all(member.spec.ignores_brightness for member in self._members)

    @property
    def cancels_brightness(self) -> bool:
        """Whether mean and contrast of an image change its logit by rounding at most, so that a
        leak audit need not count them."""
        network = NETWORKS.get((self.card.get("network") or {}).get("name", ""), Network)
        return self.ignores_brightness or issubclass(network, SourceNetwork)

    def probability(self, logits: Tensor | float) -> Tensor:
        """Calibrated p(generated) of image `logits`, for classes equally frequent."""
        slope, intercept = self.arrays["calibration.platt"].tolist()
        # In float64 and then rounded: float32 kernels differ in the last bit between a value alone
        # and the same among others.
        exact = torch.as_tensor(logits, dtype=torch.float64)
        return torch.sigmoid(slope * exact + intercept).float()

    def thresholds(
        self, fpr: float = 0.05, *, confidence: float | None = CONFIDENCE, certify: bool = True
    ) -> Thresholds:
        """The two thresholds for a largest false-alarm rate `fpr`; see `choose_thresholds`."""
        return choose_thresholds(
            self.arrays["calibration.real"].numpy(),
            self.arrays["calibration.generated"].numpy(),
            fpr,
            confidence=confidence,
            certify=certify,
        )

    @cached_property
    def class_scores(self) -> dict[str, ClassScores]:
        """Calibration scores by class of delivery and size; none where the model carries none."""
        return _class_scores(self.arrays)

    def class_thresholds(
        self, fpr: float = 0.05, *, confidence: float | None = CONFIDENCE
    ) -> dict[str, ClassThresholds]:
        """Thresholds for every class of `calibration_harm`, some of which may give no verdict; see
        `calibration.class_thresholds`. Empty where the model has scores of no class."""
        if not self.class_scores:
            return {}
        harm = calibration_harm()
        return class_thresholds(self.class_scores, harm, fpr, confidence=confidence)

    def suspicious_from(self, fpr: float) -> dict[str, float]:
        """By size of the squares that are scored: the logit above which it matters how an image
        was delivered, which its pixels tell better than its file.

        No threshold of a class of that size, nor that of pictures of no class, is below it at
        false-alarm rates up to `fpr` (`calibration.lowest_limits`). Empty where the model knows no
        classes.
        """
        if not self.class_scores:
            return {}
        reals = self.arrays["calibration.real"].sort().values
        allowed = allowed_exceedances(len(reals), fpr, None)
        of_all = math.inf if allowed is None else float(reals[-1 - allowed])
        lowest: dict[str, float] = {}
        for name, limit in lowest_limits(self.class_scores, calibration_harm(), fpr).items():
            size = name.rpartition(" ")[2]
            lowest[size] = min(limit, lowest.get(size, of_all))
        return lowest

    @cached_property
    def references(self) -> References | None:
        """What the explanation of a verdict compares with; None where the model carries none."""
        return References.from_model(self.arrays, self.card)

    def verdict(self, logit: float, thresholds: Thresholds) -> str:
        """One of "real", "generated", "inconclusive" for an image's logit."""
        return thresholds.verdict(logit)

    def contributions(self, images: Tensor) -> Tensor:
        """What each feature adds to the logit (N, F), which is their sum and `bias`.

        Linear and additive models only; ValueError for others.
        """
        self._require_terms()
        return scorers.TERMS[self.kind](self.arrays, self.features(images)).float()

    @property
    def bias(self) -> float:
        """The logit of the mean real: what `contributions` leave out. ValueError as there."""
        self._require_terms()
        return float(self.arrays["bias"])

    def _require_terms(self) -> None:
        if self.kind not in scorers.TERMS:
            raise ValueError(
                f"{self.name} is no linear or additive model; only those split into contributions"
            )

    @property
    def classifier(self) -> str:
        """The name `fit` was given, one of `classifiers.CLASSIFIERS`."""
        return str(self.card["classifier"])


def smallest_side(spec: Spec) -> int:
    """The smallest tile that has the features of `spec`."""
    return spec.side if isinstance(spec, PlaneSpec) else MIN_SIDE


def _unpickled(data: bytes, sha256: str, recorded: str) -> Model:
    """A model from its bytes; `recorded` is the `sha256` it went by, "" where it has no file."""
    model = Model.from_bytes(data, sha256)
    model.sha256 = recorded
    return model


def _check(arrays: Mapping[str, Tensor], card: dict[str, Any]) -> None:
    """Refuse what this version cannot score as it was meant; raises ValueError."""
    version = card.get("format_version")
    if version != FORMAT_VERSION:
        raise ValueError(f"format version {version}; this gandetect reads version {FORMAT_VERSION}")
    if card["luma"] != LUMA_DEFINITION:
        raise ValueError(
            f"made for the luma {card['luma']!r}, installed is {LUMA_DEFINITION!r}: fit it again"
        )
    if missing := {*_CALIBRATION, "probe"} - set(arrays):
        raise ValueError(f"arrays {sorted(arrays)}; {sorted(missing)} are missing")
    optional = {name for name in arrays if name == _VIDEO or name.startswith(_REFERENCE)}
    if not all(torch.isfinite(array).all() for array in arrays.values()):
        raise ValueError("arrays hold values that are not finite")
    for name in sorted(optional):
        _check_optional(name, arrays[name], arrays["probe"].numel())
    _check_company(optional - {_VIDEO})
    unknown = sorted(set(_class_scores(arrays)) - set(calibration_harm()))
    if unknown:
        raise ValueError(f"calibration of classes {unknown}; known: {list(calibration_harm())}")
    _check_convention(spec_from_dict(card["features"]), arrays["probe"])


def _check_optional(name: str, array: Tensor, size: int) -> None:
    """Refuse an optional array of another shape or order than its meaning wants, by ValueError."""
    if name == _VIDEO:
        if array.ndim != 1 or not array.is_floating_point() or (array.diff() < 0).any():
            raise ValueError(f"{name} must be one row of scores in ascending order")
        return
    traces = size + phase_count()
    shapes = {_REFERENCE_REAL: (3, size), _REFERENCE_COVARIANCE: (traces, traces)}
    wanted = shapes.get(name, (traces,))
    if tuple(array.shape) != wanted or not array.is_floating_point():
        raise ValueError(f"{name} is {tuple(array.shape)} {array.dtype}; want floating {wanted}")
    if name == _REFERENCE_REAL and (array.diff(dim=0) < 0).any():
        raise ValueError(f"{name}: the quantiles of a feature must ascend")
    if name == _REFERENCE_COVARIANCE and (
        not torch.allclose(array, array.T) or torch.linalg.cholesky_ex(array.double()).info
    ):
        raise ValueError(f"{name} is no covariance: want symmetric and positive definite")


def _check_company(references: set[str]) -> None:
    """Signatures are measured from the center and compared by the covariance: all or the reals."""
    needed = {_REFERENCE_REAL, _REFERENCE_CENTER, _REFERENCE_COVARIANCE}
    if references and references != {_REFERENCE_REAL} and not needed < references:
        raise ValueError(
            f"references {sorted(references)}; signatures need {sorted(needed)}, which alone say "
            "nothing"
        )


def _class_scores(arrays: Mapping[str, Tensor]) -> dict[str, ClassScores]:
    found = {name: array.numpy() for name, array in arrays.items() if _is_of_class(name)}
    return scores_from_arrays(found)


def _is_of_class(name: str) -> bool:
    return name.startswith((REAL_ARRAY, GENERATED_ARRAY))


def _of_scorer(arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The arrays that score, a network's by the names of its weights."""
    others = (*_CALIBRATION, _VIDEO, "probe")
    return {
        name.removeprefix(_NETWORK): array
        for name, array in arrays.items()
        if name not in others and not name.startswith(_REFERENCE) and not _is_of_class(name)
    }


def _check_convention(spec: Spec, recorded: Tensor) -> None:
    """The name of a convention promises little; the features of one fixed image promise all."""
    current = _probe(spec)
    same = current.shape == recorded.shape and torch.allclose(
        current, recorded, rtol=1e-4, atol=PROBE_TOLERANCE
    )
    if not same:
        named = spec.convention if isinstance(spec, FeatureSpec) else spec.transform
        raise ValueError(
            f"its features do not match the installed convention {named!r}: fit it again"
        )


def _probe(spec: Spec) -> Tensor:
    """Features (F,) of the pattern (7x + 13y + xy) mod 256 on 64² pixels, or on one tile."""
    side = spec.side if isinstance(spec, PlaneSpec) else 64
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    pattern = ((7 * x + 13 * y + x * y) % 256).to(torch.uint8)[None]
    return extract(pattern, spec)[0].float().flatten()
