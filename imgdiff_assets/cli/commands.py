"""How errors are told: an expected one in a sentence."""

import errno
from typing import Any

import click


class Commands(click.Group):
    """A group of commands whose expected errors are one sentence on stderr and exit status 1, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except (OSError, ValueError) as error:
            raise click.ClickException(_sentence(error)) from error


def _sentence(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.strerror is not None:
        place = f"{error.filename}: " if error.filename else ""
        advice = "; make room or point IMGDIFF_HOME elsewhere" if error.errno == errno.ENOSPC else ""
        return f"{place}{error.strerror}{advice}."
    return str(error) or type(error).__name__
