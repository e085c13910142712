"""Loads the compiled module, or says once why there is none.

With the module, importing it registers schemas and kernels. Without it the same schemas are
defined from Python, and the pure-torch reference serves every device.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from ._schema import SCHEMAS


def _load() -> tuple[ModuleType | None, str]:
    if os.environ.get("GANDETECT_DISABLE_EXT", "") not in ("", "0"):
        return None, "switched off by GANDETECT_DISABLE_EXT"
    try:
        return importlib.import_module("gandetect._C"), ""
    except ModuleNotFoundError:
        for other in Path(__file__).parents[1].glob("_C.*"):
            return None, f"built for another Python than {sys.version.split()[0]}: {other.name}"
        return None, "not built (installed with GANDETECT_BUILD_EXT=0, or not installed at all)"
    except Exception as error:  # a broken binary may fail in any way, and must not stop the import
        reason = f"built, but failed to load under torch {torch.__version__}: {error}"
        return None, reason


_C, missing_reason = _load()
if missing_reason.startswith("built"):
    warnings.warn(
        f"gandetect's compiled module was {missing_reason}. The pure-torch reference is used; "
        "reinstall gandetect to build the module again.",
        RuntimeWarning,
        stacklevel=2,
    )

# Registrations live as long as this object.
library = torch.library.Library("gandetect", "FRAGMENT" if _C else "DEF")
_undefined = [s for s in SCHEMAS if not hasattr(torch.ops.gandetect, s.split("(")[0])]
for _schema in _undefined:
    library.define(_schema)
if _C is not None and _undefined:
    warnings.warn(
        "gandetect's compiled module is older than its Python files and lacks "
        f"{', '.join(s.split('(')[0] for s in _undefined)}. The pure-torch reference is used for "
        "these; reinstall gandetect to build the module again.",
        RuntimeWarning,
        stacklevel=2,
    )


def available() -> bool:
    """Whether the compiled kernels are in use."""
    return _C is not None


def config() -> dict[str, Any]:
    """How the extension was built and what this process uses of it."""
    if _C is None:
        return {"compiled": False, "reason": missing_reason, "torch": torch.__version__}
    return {
        "compiled": True,
        "torch": torch.__version__,
        "cpu_isa": _C.cpu_isa(),
        **_C.build_info(),
    }
