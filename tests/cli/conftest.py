"""What every test of the command line has in common: the command itself, put together once."""

import functools

import pytest
import typer.testing


@pytest.fixture(autouse=True, scope="session")
def one_command():
    """Typer reads the signatures of all commands for each run of its test client, a tenth of a second each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.testing, "_get_command", functools.cache(typer.testing._get_command))
        yield
