"""What the site adds to the pages in `docs/`: those at the root of the project, and the reference.

Links stay as they are in the files, where they lead to files; here they are led to pages.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from docs.site.commands_page import commands_page
from docs.site.numbers_page import numbers_page
from docs.site.recipe_page import recipe_page
from docs.site.tables_page import tables_page

ROOT = Path(__file__).parents[2]
AT_THE_ROOT = {
    "README.md": "index.md",
    "deploy/README.md": "deploy.md",
    **{f"{name}.md": f"{name.lower()}.md" for name in ("CONTRIBUTING", "CHANGELOG", "SECURITY")},
}
"""Files outside the folder of pages, and which pages they become."""

REFERENCE = {"recipe": recipe_page, "tables": tables_page, "commands": commands_page, "numbers": numbers_page}
FENCED = re.compile(r"(^```.*?^```|`[^`]*`)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!\w+:|#)([^)\s#]*)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are no files of the folder."""
    for name, page in AT_THE_ROOT.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    for page, lines in REFERENCE.items():
        files.append(File.generated(config, f"reference/{page}.md", content="\n".join(lines())))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Lead each link to the page that its file has become."""
    uri = page.file.src_uri
    if uri.startswith("reference/"):
        return markdown
    names = {page: name for name, page in AT_THE_ROOT.items()}
    folder = posixpath.dirname(names.get(uri, f"docs/{uri}"))

    def lead(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[1]))
        if target == "docs":
            target = "README.md"
        elif (ROOT / target).is_dir():
            target = f"{target}/README.md"
        found = AT_THE_ROOT.get(target, target.removeprefix("docs/"))
        return f"]({posixpath.relpath(found, posixpath.dirname(uri) or '.')}{link[2] or ''})"

    parts = FENCED.split(markdown)
    return "".join(part if index % 2 else LINK.sub(lead, part) for index, part in enumerate(parts))
