"""Decoders that keep their complaints to themselves: the rows say it already."""

from __future__ import annotations

import logging
import warnings


def quiet_decoders() -> None:
    """Pillow logs and warns of what it stumbles over in damaged files."""
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"PIL\.")
