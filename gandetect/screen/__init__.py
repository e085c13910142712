"""Screening files and folders: sources, decoding, regions, batches, verdicts, results.

`screen(["archive/"], db="run.sqlite")` does it all; `gandetect.screen.store` reads and exports what
it wrote.
"""

from gandetect.screen.pipeline import Progress, Summary, screen
from gandetect.screen.store import StoreError

__all__ = ["Progress", "StoreError", "Summary", "screen"]
