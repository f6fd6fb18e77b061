"""The command `ganvas`: the table of commands, and how errors reach the person who typed.

Exit status: 0 = done, 1 = something failed (named), 2 = wrong usage.
"""

from __future__ import annotations

import sys
import warnings
from typing import Annotated

import typer

from ganvas import __version__
from ganvas.cli.batch import batch
from ganvas.cli.console import print_error, show_warning
from ganvas.cli.dataset import dataset
from ganvas.cli.demo import demo
from ganvas.cli.directions import directions
from ganvas.cli.edit import edit
from ganvas.cli.encoder import encoder
from ganvas.cli.evaluate import evaluate
from ganvas.cli.generate import generate
from ganvas.cli.interpolate import interpolate
from ganvas.cli.invert import invert
from ganvas.cli.mix import mix
from ganvas.cli.models import models
from ganvas.cli.parts import parts
from ganvas.cli.process import limit_spinning
from ganvas.cli.projects import projects
from ganvas.cli.runs import runs
from ganvas.cli.stop_signals import Terminated, raise_on_stop_signals
from ganvas.cli.streams import output_error, protect_streams
from ganvas.cli.studio import studio
from ganvas.cli.stylise import stylise
from ganvas.cli.train import train
from ganvas.cli.train_translator import train_translator
from ganvas.cli.train_upscaler import train_upscaler
from ganvas.cli.translate import translate
from ganvas.cli.tune import tune
from ganvas.cli.upscale import upscale
from ganvas.errors import GanvasError

app = typer.Typer(
    name="ganvas",
    help="Train GANs on your own images; open a photo, edit it, get your photo back.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ganvas {__version__}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


app.command()(demo)
app.command()(edit)
app.command()(batch)
app.add_typer(evaluate)
app.command()(generate)
app.command()(mix)
app.command()(stylise)
app.command()(interpolate)
app.command()(invert)
app.command()(upscale)
app.command()(translate)
app.command()(train)
app.command("train-translator")(train_translator)
app.command("train-upscaler")(train_upscaler)
app.command()(tune)
app.command()(runs)
app.command()(studio)
app.add_typer(models)
app.add_typer(projects)
app.add_typer(directions)
app.add_typer(dataset)
app.add_typer(encoder)
app.add_typer(parts)


def main() -> None:
    """Run the command line; our own errors become one clear line and exit status 1."""
    limit_spinning()
    warnings.showwarning = show_warning
    usual = sys.stdout, sys.stderr
    streams = protect_streams()
    try:
        with raise_on_stop_signals():
            status = _run()
        problem = output_error(streams)
        if problem:
            print_error(problem)
        sys.exit(status or int(bool(problem)))
    finally:
        sys.stdout, sys.stderr = usual


def _run() -> int | str | None:
    """The exit status of the command that was typed."""
    try:
        app()
    except Terminated as ended:
        typer.echo("stopped", err=True)
        return ended.code
    except SystemExit as done:
        return done.code
    except GanvasError as error:
        print_error(error)
        return 1
    except BrokenPipeError:  # the reader of our output has seen enough
        return 1
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
        return 130
    return 0
