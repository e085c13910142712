"""Makes the table of ops importable by the property tests beside it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
