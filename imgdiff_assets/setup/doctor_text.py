"""The doctor's report as text."""

from collections.abc import Iterator, Sequence

from imgdiff_assets.common.plain_text import bytes_text
from imgdiff_assets.setup.doctor import RecipeReport, Report
from imgdiff_assets.setup.installed_parts import Part

FITS = {"together": "all models fit at once", "in_turn": "the models fit one at a time", "no": "does not fit"}


def to_text(report: Report) -> str:
    """A line per fact, then a paragraph per recipe; the chosen recipe is the first."""
    return "\n".join(_lines(report))


def _lines(report: Report) -> Iterator[str]:
    yield f"Python {report.python} on {report.system}, {report.cpus} CPUs"
    yield ", ".join(f"{library} {version}" for library, version in report.versions.items() if library != "python")
    for device in report.devices:
        yield f"{device.device} ({device.name}): {bytes_text(device.free)} free of {bytes_text(device.total)}"
    for folder, free in report.disk_free.items():
        yield f"{folder}: {bytes_text(free)} free"
    yield from _installed_lines(report.installed)
    yield from (f"Note: {remark}." for remark in report.remarks)
    for recipe in report.recipes:
        yield ""
        yield from _recipe_lines(recipe)


def _installed_lines(parts: Sequence[Part]) -> Iterator[str]:
    for kind in dict.fromkeys(part.kind for part in parts):
        yield f"Installed {kind}: {', '.join(_part(part) for part in parts if part.kind == kind)}"


def _part(part: Part) -> str:
    unused = ", not in the recipe" if part.named is False else ""
    return f"{part.name} ({part.package} {part.version}{unused})"


def _recipe_lines(report: RecipeReport) -> Iterator[str]:
    state = "runs here" if not report.problems else "does not run here yet"
    yield (
        f"Recipe {report.recipe}: {state}; {report.present} of {report.models} models present; "
        f"{FITS[report.fits]} ({bytes_text(report.together)} of weights, the largest {bytes_text(report.largest)})"
    )
    yield from (f"  problem: {problem}" for problem in report.problems)
    yield from (f"  note: {remark}" for remark in report.remarks)
