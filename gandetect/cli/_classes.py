"""The thresholds of classes of images as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


def class_table(
    classes: Mapping[str, Mapping[str, Any]],
    fpr: float,
    files: Mapping[str, int] | None = None,
    *,
    on_average: bool = False,
) -> Table:
    """A row for each of `classes`, as `calibration.described_classes` gives them; `files`: how many
    files are of each; `on_average`: how `fpr` holds, else it is certified."""
    from rich.table import Table

    from gandetect.detect.calibration import BASES

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("class of images")
    if files is not None:
        table.add_column("files", justify="right")
    table.add_column("reals", justify="right")
    rate = f"fpr {fpr:.3g}{' on average' if on_average else ''}"
    table.add_column("smallest fpr", justify="right")
    table.add_column(f"generated above, logit ({rate})", justify="right")
    table.add_column("rests on reals")
    for name, found in classes.items():
        limit = found["threshold_generated"]
        table.add_row(
            name,
            *([] if files is None else [str(files.get(name, 0))]),
            str(found["n_own"]),
            f"{found['smallest_fpr']:.2g}" if found["n_own"] else "",
            "" if limit is None else f"{limit:.3f}",
            BASES[found["basis"]],
        )
    return table
