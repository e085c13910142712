"""How few images a detector needs: the learning curve."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy import stats

from gandetect.experiments.upsampling.detectors import Setting, Training, fit
from gandetect.experiments.upsampling.plan import REAL
from gandetect.experiments.upsampling.scoring import Trial, auc

ABOUT = (
    "AUC on all test images after training on so many, half of them real, with the setting that "
    "was chosen on all; mean over the generators, and its 95 % interval over the draws"
)


def learning_curve(trial: Trial, setting: Setting, plain: Sequence[str]) -> dict[str, Any]:
    """The curve of one detector as JSON values.

    The same images are drawn for every detector, so that draws can be compared one by one.
    """
    work, detector, effort = trial.work, trial.detector, trial.work.effort
    most = trial.pictures.counts["train"]
    points, left_out = {}, {}
    for size in effort.sizes:
        if size // 2 > most:
            left_out[str(size)] = f"{size // 2} of each class are needed; {most} are there"
            continue
        work.tell(f"{detector.name}: {size} images")
        draws = work.steps.document(
            f"learning/{detector.name}/{size}",
            [trial.inputs, setting, work.seed, size, effort.draws, list(plain)],
            partial(_draws, trial, setting, plain, size, effort.draws),
        )
        points[str(size)] = _point(draws)
    return {"draws": effort.draws, "points": points, "left_out": left_out}


def _draws(
    trial: Trial, setting: Setting, plain: Sequence[str], size: int, count: int
) -> dict[str, list[float]]:
    """AUC by generator of each draw."""
    return {
        name: [
            _auc(trial, setting, Training((name,), each=size // 2, draw=draw))
            for draw in range(count)
        ]
        for name in plain
    }


def _auc(trial: Trial, setting: Setting, training: Training) -> float:
    detector, pictures = trial.detector, trial.pictures
    fitted = fit(detector, setting, training, pictures, trial.work.seed, trial.work.threads)
    (name,) = training.generators
    real, generated = (
        fitted.logits(detector.inputs(pictures, one, "test")) for one in (REAL, name)
    )
    return auc(real, generated)


def _point(draws: dict[str, list[float]]) -> dict[str, Any]:
    means = np.mean(list(draws.values()), axis=0)
    low, high = interval_of_mean(means.tolist())
    return {
        "mean": float(means.mean()),
        "low": low,
        "high": high,
        "generators": {name: float(np.mean(values)) for name, values in draws.items()},
        "draws": means.tolist(),
    }


def interval_of_mean(values: Sequence[float]) -> tuple[float | None, float | None]:
    """The 95 % interval of the mean of a few draws, by Student's t; none of a single one."""
    if len(values) < 2:
        return None, None
    reach = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    mean = float(np.mean(values))
    return mean - float(reach), mean + float(reach)
