"""`python -m gandetect` is `gandetect`."""

from gandetect.cli import main

main()
