"""The command line: one thin file per subcommand, imported only when it is called.

`gandetect --help` must answer at once, so nothing here imports torch.
"""

from __future__ import annotations

import importlib
import io
import sys

import click

SUBCOMMANDS = {
    "screen": "Screen images and video for generated content.",
    "explain": "Show why an image or a video frame got its verdict.",
    "export": "Write results for other programs.",
    "review": "Keep what people decided of files.",
    "attribute": "Say which generator made an image.",
    "fit": "Train a detector from folders, or from photographs alone.",
    "calibrate": "Certify the thresholds of videos on real videos.",
    "evaluate": "Measure a detector on labeled folders.",
    "profile": "Plot the mean spectral profiles of folders.",
    "train": "Train a generative model on images.",
    "generate": "Draw image files from a trained generative model.",
    "experiment": "Run published experiments again on your own data.",
    "bench": "Time every op against its reference on this machine.",
    "info": "Show versions, build, and the model that ships.",
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in SUBCOMMANDS:
            return None
        command = importlib.import_module(f"gandetect.cli.{name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(SUBCOMMANDS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with:  gandetect screen FOLDER --report report.html",
)
@click.version_option(package_name="gandetect")
def main() -> None:
    """Find the traces that up-sampling leaves in generated images and video.

    Exit codes: 0 done, 1 done but some inputs failed, 2 bad usage, 3 nothing could be done.
    """
    # A file name that the terminal's encoding lacks must not end a run at its last step.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
