"""Edit steps as text: every step of `ganvas.editing.recipe.STEPS`, by the fields that it declares."""

from __future__ import annotations

import inspect
import re
from typing import Any

import typer


def parse_step(text: str) -> Any:
    """`mix:seed=7,part=colour,layers=4,5` → Mix(seed=7, part="colour", layers=(4, 5)).

    Raises:
        typer.BadParameter: an unknown step or field, or a value that does not fit; exit status 2.
    """
    from ganvas.editing.recipe import STEPS, step_from_data
    from ganvas.errors import BadInput
    from ganvas.fields import check_known, fields_of

    name, _, rest = text.strip().partition(":")
    values: dict[str, Any] = {"step": name}
    try:
        check_known(name, STEPS, what="step")
        infos = fields_of(STEPS[name])
        for part in re.split(r",\s*(?=\w+=)", rest) if rest else []:
            field, equals, value = part.partition("=")
            if not equals:
                raise typer.BadParameter(f"a step is written as mix:seed=7,part=colour; cannot read {part!r}")
            check_known(field, infos, what=f"field of step {name!r}")
            values[field] = infos[field].parse(value)
        return step_from_data(values)
    except BadInput as error:
        raise typer.BadParameter(f"{error} (ganvas edit --steps lists steps and fields)") from error


def list_steps(wanted: bool) -> None:
    """Print every step with its fields, and stop."""
    if not wanted:
        return
    from ganvas.editing.recipe import STEPS
    from ganvas.fields import list_settings

    for name, step in STEPS.items():
        typer.echo(f"{name}: {(inspect.getdoc(step) or '').partition(chr(10))[0]}")
        for line in list_settings(step):
            typer.echo(f"    {line}")
    raise typer.Exit()
