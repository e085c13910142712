"""What an `Explanation` says in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gandetect.detect.contributions import Breakdown, Contributions
from gandetect.detect.explanation import Change
from gandetect.detect.reference import UNKNOWN, Likeness

if TYPE_CHECKING:
    from gandetect.report.explain import Band, Explanation

DIRECTIONS = {
    "azimuthal": "all directions",
    "rows": "vertical",
    "columns": "horizontal",
}


def exactness(part: Breakdown | Contributions) -> str:
    """ "exact", or "approximate" and by how much the sum may miss."""
    return "exact" if part.exact else f"approximate, within {part.tolerance:.2g}"


def worth_in_words(alike: Likeness, worth: dict[str, Any]) -> str:
    """What the name of an up-sampler is worth, as it was measured."""
    scope = "measured on simulated images of held-out photographs"
    right = worth.get("right_when_named", {}).get(alike.family)
    if alike.family != UNKNOWN and right is not None:
        value, low, high = right
        return (
            f"Of simulated images given the name `{alike.family}`, {value:.0%} bore it rightly "
            f"(95 % interval {low:.0%} to {high:.0%}; all families equally frequent); {scope}."
        )
    named = [values[0] for values in worth.get("named", {}).values() if values]
    if not named:
        return f"What the names are worth was not measured. It would be {scope}."
    return (
        f"Between {min(named):.0%} and {max(named):.0%} of the images of a family are clear enough "
        f"to be named; {scope}."
    )


def generators_in_words(given: dict[str, Any]) -> str:
    """What names the images of real generators got: for each its `family` and the `named`; empty if
    that was not counted."""
    if not given:
        return "What names images of real generators get was not measured."
    images = sum(sum(row["named"].values()) for row in given.values())
    named = images - sum(row["named"].get(UNKNOWN, 0) for row in given.values())
    right = sum(row["named"].get(row["family"], 0) for row in given.values())
    return (
        f"Of {images} images by {len(given)} real generators {named} got a name, {right} of them "
        "rightly."
    )


def band_in_words(band: Band) -> str:
    """A band and how it stands to real images, for people."""
    where = f"{DIRECTIONS[band.projection]}, {band.low:.3f} to {band.high:.3f} cycles per pixel"
    if band.real is None:
        return where
    if band.outside is not None:
        more = "more" if band.outside == "above" else "less"
        return f"{where}: {more} power than 19 of 20 photographs have"
    side = "more" if band.value > band.real[1] else "less"
    return f"{where}: {side} power than the median photograph, within their band"


def changes_in_words(one: Explanation) -> list[str]:
    """What would have changed the verdict, in sentences; or why nothing is said of it."""
    what_if, sentences = one.what_if, []
    if what_if.single is not None and what_if.single.band is not None:
        change, band = what_if.single, one.bands[what_if.single.band]
        sentences.append(
            f"The verdict would be {change.verdict} if the power {_where(band)} were "
            f"{_by(float(change.decibel[what_if.single.band]))}, all other bands as they are."
        )
    if what_if.smallest is not None:
        sentences.append(_all_together(one, what_if.smallest))
    if what_if.reason is not None:
        sentences.append(what_if.reason)
    return sentences


def _all_together(one: Explanation, change: Change) -> str:
    typical = float(change.decibel.square().mean().sqrt())
    place = int(change.decibel.abs().argmax())
    most = float(change.decibel[place])
    where = _where(one.bands[place]) if one.bands else _where_in_plane(one.maps[0], place)
    together = "bands" if one.bands else "frequencies"
    return (
        f"The verdict would be {change.verdict} if all {together} changed by {typical:.2g} dB "
        f"(root mean square), most {where}, {_by(most)}: {change.distance:.2g} "
        f"{one.what_if.metric}."
    )


def _where(band: Band) -> str:
    return (
        f"between {band.low:.3f} and {band.high:.3f} cycles per pixel "
        f"({DIRECTIONS[band.projection]})"
    )


def _where_in_plane(member: Contributions, place: int) -> str:
    assert member.extent is not None
    rows, columns = member.values.shape
    top, bottom, left, right = member.extent
    row, column = divmod(place, columns)
    y, x = np.linspace(top, bottom, rows)[row], np.linspace(left, right, columns)[column]
    return f"at {y:.3f} vertical and {x:.3f} horizontal cycles per pixel"


def _by(decibel: float) -> str:
    """A change in decibels; small ones keep two digits that count."""
    size = f"{abs(decibel):.1f}" if abs(decibel) >= 1 else f"{abs(decibel):.2g}"
    return f"{size} dB {'higher' if decibel > 0 else 'lower'}"
