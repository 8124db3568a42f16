"""How errors end a command: expected ones in a sentence, any other in a traceback."""

from typing import Any

import click

from imgdiff_assets.common.errors import REPORT, is_expected, sentence


class Commands(click.Group):
    """A group of commands whose expected errors are one sentence on stderr and exit status 1, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            raise click.ClickException(
                "Stopped. What was done is kept: given again, the same command goes on from here."
            ) from None
        except Exception as error:
            if is_expected(error):
                raise click.ClickException(sentence(error)) from error
            error.add_note(REPORT)
            raise
