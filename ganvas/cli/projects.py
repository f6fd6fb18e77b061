"""ganvas projects: what the studio keeps on the disk."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ganvas.session.projects import Project, Projects

projects = typer.Typer(
    name="projects", help="List, rename, copy, delete, export and import the studio's projects.", no_args_is_help=True
)
_NAME = typer.Argument(metavar="PROJECT", help="Its name or id, as 'ganvas projects list' shows it.")
_FOLDER = typer.Option("--projects", help="Folder of projects; default: ganvas' folder in your user data.")


def _open(folder: Path | None) -> Projects:
    from ganvas.session.projects import Projects

    return Projects(folder)


def _find(store: Projects, name: str) -> Project:
    from ganvas.errors import BadConfig

    matches = [one for one in store.list() if name in (one.id, one.name)]
    if len(matches) != 1:
        known = ", ".join(one.name for one in store.list()) or "none yet"
        what = "no project" if not matches else f"{len(matches)} projects"
        raise BadConfig(f"there is {what} {name!r}; known: {known}. The id from 'ganvas projects list' names just one.")
    return matches[0]


@projects.command("list")
def list_projects(folder: Annotated[Path | None, _FOLDER] = None) -> None:
    """Show every project, the last changed first.

    Example: [bold]ganvas projects list[/bold]
    """
    for project in _open(folder).list():
        photos = project.summaries()
        changed = time.strftime("%Y-%m-%d %H:%M", time.localtime(project.changed))
        typer.echo(f"{project.id}  {changed}  {len(photos):3} photos  {project.name}")


@projects.command()
def rename(
    project: Annotated[str, _NAME],
    name: Annotated[str, typer.Argument(help="New name.")],
    folder: Annotated[Path | None, _FOLDER] = None,
) -> None:
    """Give a project another name.

    Example: [bold]ganvas projects rename wedding "Wedding, May"[/bold]
    """
    typer.echo(_find(_open(folder), project).rename(name).name)


@projects.command()
def duplicate(
    project: Annotated[str, _NAME],
    name: Annotated[str | None, typer.Argument(help="Name of the copy.")] = None,
    folder: Annotated[Path | None, _FOLDER] = None,
) -> None:
    """Copy a project with all its photos and edits.

    Example: [bold]ganvas projects duplicate wedding[/bold]
    """
    typer.echo(_find(_open(folder), project).duplicate(name).name)


@projects.command()
def delete(
    project: Annotated[str, _NAME],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    folder: Annotated[Path | None, _FOLDER] = None,
) -> None:
    """Delete a project with its photos, for good.

    Example: [bold]ganvas projects delete wedding[/bold]
    """
    target = _find(_open(folder), project)
    if not yes:
        typer.confirm(f"Delete {target.name!r} with {len(target.summaries())} photos for good?", abort=True)
    target.delete()


@projects.command("export")
def export_project(
    project: Annotated[str, _NAME],
    out: Annotated[Path, typer.Option("--output", "-o", help="The .ganvas file.")],
    folder: Annotated[Path | None, _FOLDER] = None,
) -> None:
    """Write a project as one file for another computer.

    Example: [bold]ganvas projects export wedding -o wedding.ganvas[/bold]
    """
    typer.echo(_find(_open(folder), project).export(out))


@projects.command("import")
def import_project(
    file: Annotated[Path, typer.Argument(help="A .ganvas file, of this version or an earlier one.")],
    folder: Annotated[Path | None, _FOLDER] = None,
) -> None:
    """Take up a project from a file.

    Example: [bold]ganvas projects import wedding.ganvas[/bold]
    """
    project = _open(folder).import_file(file)
    typer.echo(f"{project.id}  {project.name}  {len(project.summaries())} photos")
