"""Screening files and folders: sources, decoding, regions, batches, verdicts, results.

`screen(["archive/"], db="run.sqlite")` does it all; `gandetect.screen.store` reads what it wrote,
`gandetect.screen.export` writes it for other programs, `gandetect.screen.reviews` keeps what people
decided.
"""

from gandetect.screen.pipeline import Progress, Summary, screen
from gandetect.screen.pool import Limits
from gandetect.screen.schema import StoreError

__all__ = ["Limits", "Progress", "StoreError", "Summary", "screen"]
