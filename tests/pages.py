"""The pages of the documentation, and what a reader of them may type."""

import re
from collections.abc import Iterator
from pathlib import Path

from docs.site.commands_page import commands_page

ROOT = Path(__file__).parent.parent
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY", "deploy/README")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def shell_lines(text: str) -> Iterator[str]:
    """Lines of shell, without comments."""
    for kind, body in FENCED.findall(text):
        for line in body.splitlines() if kind == "sh" else ():
            yield line.partition(" #")[0].strip()


def commands_to_type() -> list[str]:
    """Those of all pages in their order, and then the examples of `--help`."""
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    return [line for text in (*texts, "\n".join(commands_page())) for line in shell_lines(text) if line]
