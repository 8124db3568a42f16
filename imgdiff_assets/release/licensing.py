"""Under which licences a release stands, as far as anybody said, and how it is cited."""

from collections.abc import Mapping
from typing import Any

from imgdiff_assets.common.plain_text import counted, printable
from imgdiff_assets.ingest.shards import CAPTIONS, PAIRS
from imgdiff_assets.setup.licences import licence_of

DRAWS = ("pair_generator", "image_generator", "editor", "inpainter")
"""The roles that make pictures."""

NOT_TOLD = "not told"
ON_THE_HUB = ("apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "odc-by")
"""Names that the Hub knows, of those that people give data and pictures."""


def told(manifest: Mapping[str, Any]) -> list[str]:
    """The licences that were told of what came in, each once; where of some nothing was told, that too."""
    return sorted({said["licence"] or NOT_TOLD for said in manifest.get("licences", ())})


def of_all(manifest: Mapping[str, Any]) -> list[str]:
    """Those of what came in, as `told`, and of the models that drew the pictures, each once."""
    drawn = (licence_of(role.partition(" ")[0], known) for role, known in _drew(manifest))
    return sorted({*(told(manifest) or [NOT_TOLD]), *drawn})


def for_the_hub(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What the head of a card says, where the Hub looks: the one licence of everything, or that there are more."""
    every = [licence.lower() for licence in of_all(manifest)]
    if len(every) == 1 and every[0] in ON_THE_HUB:
        return {"license": every[0]}
    return {"license": "other", "license_name": "see-licences-in-the-card"}


def _drew(manifest: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The models that drew the pictures, by role."""
    return sorted((role, known) for role, known in manifest["models"].items() if role.partition(" ")[0] in DRAWS)


def section(manifest: Mapping[str, Any]) -> str:
    """Markdown: the licences of what came in, and of the models that drew the pictures."""
    lines = []
    for said in manifest.get("licences") or [{"holds": "", "licence": "", "shards": manifest["shards"]}]:
        what = {CAPTIONS: "Captions", PAIRS: "Pairs of pictures, with their captions", "": "What came in"}.get(
            said["holds"], "Pictures, with their captions"
        )
        licence = printable(said["licence"]) or f"{NOT_TOLD} (`imgdiff ingest --licence` keeps it with the shards)"
        lines.append(f"- {what}, {counted(len(said['shards']), 'shard')}: {licence}")
    for role, known in _drew(manifest):
        licence = licence_of(role.partition(" ")[0], known)
        lines.append(f"- Pictures drawn by the {role} `{printable(str(known.get('model', '')))}`: {licence}")
    lines.append("- Texts: the terms of the models under Models that wrote them hold for those too.")
    return "\n".join(lines)


def bibtex(manifest: Mapping[str, Any]) -> str:
    """The entry of this release."""
    year = str(manifest["date"])[:4] or "n.d."
    return (
        f"@misc{{image_differences_{manifest['version']},\n"
        f"  title = {{Image differences, release {manifest['version']}}},\n"
        f"  year = {{{year}}},\n"
        "  note = {Made by the method of Img-Diff, arXiv 2408.04594}\n}"
    )


def citation(manifest: Mapping[str, Any]) -> str:
    """Markdown: how this release is cited, and the method."""
    return f"```bibtex\n{bibtex(manifest)}\n```\n\nThe method: Img-Diff (arXiv 2408.04594)."
