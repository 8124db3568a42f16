"""Every command with its examples and options, from what `--help` says."""

import inspect
import re
from collections.abc import Iterator

import click

from docs.site.text import plain, table
from imgdiff_assets.cli.main import main

UNWRAPPED = "\b"
"""Before a paragraph that click leaves as it is: examples."""

REMARK = re.compile(r"^(\S.*?)\s{2,}#?\s*(\S.*)$")
"""An example, and what is said beside it."""


def commands_page() -> Iterator[str]:
    """The lines of the page."""
    yield from ("# Commands", "")
    yield from _help(main)
    for name, command in sorted(commands(main)):
        yield from ("", f"## {name}", "")
        yield from _help(command)
        options = [_option(each) for each in command.params if isinstance(each, click.Option)]
        yield from table(("option", "default", "what it does"), options)


def commands(group: click.Group, above: str = "imgdiff") -> Iterator[tuple[str, click.Command]]:
    """Every command that is no group, by what is typed."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{above} {name}")
        else:
            yield f"{above} {name}", command


def _help(command: click.Command) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(command.help or "")):
        if paragraph.startswith(UNWRAPPED):
            lines = paragraph.removeprefix(UNWRAPPED).strip().splitlines()
            yield from ("```sh", *(REMARK.sub(r"\1  # \2", line.strip()) for line in lines), "```", "")
        else:
            yield from (plain(paragraph), "")


def _option(option: click.Option) -> tuple[str, ...]:
    names = ", ".join(f"`{name}`" for name in option.opts)
    value = "" if option.is_flag else f" {option.make_metavar(click.Context(main))}"
    told, _, default = (option.help or "").removesuffix("]").partition("  [default: ")
    has_one = isinstance(option.default, str | int | float) and not option.is_flag
    known = default or (f"`{option.default}`" if has_one else "")
    return f"{names}{value}", "required" if option.required else known, told
