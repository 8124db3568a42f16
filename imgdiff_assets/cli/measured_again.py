"""Whether a run may measure again what an earlier release measured: asked of a person, or told by an option."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.home import Home

if TYPE_CHECKING:
    from imgdiff_assets.engine.plan import TablePlan

CHOICES = "--yes measures them again, --keep-measured leaves them as they are"


class NotTold(ImgDiffError, RuntimeError):
    """Nobody is there to be asked, and no option says what to do."""


def asking(home: Home) -> "Callable[[Sequence[TablePlan]], bool]":
    """A function for `run_graph` that names the rows and the hours, and asks. It raises NotTold, click.Abort."""

    def ask(tables: "Sequence[TablePlan]") -> bool:
        from imgdiff_assets.ledger.ledger import Ledger
        from imgdiff_assets.what_if.upgrade import upgrade

        found = upgrade(Ledger(home.ledger), tables)
        if not found.again:
            return False
        if not sys.stdin.isatty():
            raise NotTold(f"{found.to_text()}\nNothing was run: {CHOICES}.")
        click.echo(found.to_text(), err=True)
        question = "Measure them again (y), leave them as they are (k), or stop (n)?"
        answer = click.prompt(question, type=click.Choice(["y", "k", "n"]), default="n", err=True, show_choices=False)
        if answer == "n":
            raise click.Abort
        return bool(answer == "y")

    return ask
