"""Two releases beside each other, as pictures: what came, what went, and what is told otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from pydantic import TypeAdapter

from imgdiff_assets.browser.question import BadQuestion
from imgdiff_assets.browser.site import MorePage, Site
from imgdiff_assets.common.aliases import Row
from imgdiff_assets.method.conversations import IMAGE_TOKEN
from imgdiff_assets.reading.shown import ShownImage, shown_images
from imgdiff_assets.release.contents import KEYS, VALUES, BrokenRelease, Contents, read_contents
from imgdiff_assets.release.making import CHANGES
from imgdiff_assets.release.versions import releases

PAGE_SIZE = 24
KINDS = ("added", "gone", "changed")
WHY: TypeAdapter[list[dict[str, str]]] = TypeAdapter(list[dict[str, str]])


@dataclass(frozen=True, slots=True)
class Compared:
    """One sample in the earlier release and in the later; None where it is not. `why` is what the later one says."""

    before: Row | None
    now: Row | None
    why: str = ""

    @property
    def row(self) -> Row:
        row = self.now or self.before
        assert row is not None
        return row

    @property
    def differing(self) -> list[str]:
        """What is told otherwise."""
        if self.before is None or self.now is None:
            return []
        return [name for name in VALUES if self.before[name] != self.now[name]]


def compare_page(site: Site, values: Mapping[str, str]) -> str:
    """`before` and `now` are versions (the last two unless told), `kind` one of KINDS, `page` from 1.

    Raises BadQuestion.
    """
    folders = {folder.name: folder for folder in releases(site.home)}
    names = list(folders)
    if len(names) < 2:
        return site.render("compare.html", names=names, found=None)
    before, now = values.get("before") or names[-2], values.get("now") or names[-1]
    for name in (before, now):
        if name not in folders:
            raise BadQuestion(f"there is no release {name!r}; there are {', '.join(names)}")
    kind, number = values.get("kind") or "", values.get("page") or "1"
    if kind not in ("", *KINDS):
        raise BadQuestion(f"kind: {kind!r} is none of {', '.join(KINDS)}")
    if not (number.isascii() and number.isdigit() and int(number[:9]) > 0 and len(number) < 9):
        raise BadQuestion(f"page: {number!r} is no number of a page")
    try:
        found = compare(folders[before], folders[now])
    except (OSError, BrokenRelease) as error:
        raise BadQuestion(f"These releases cannot be compared. {error}") from error
    kind = kind or next((name for name in KINDS if found[name]), KINDS[0])
    first = (int(number) - 1) * PAGE_SIZE
    shown = found[kind][first : first + PAGE_SIZE]

    def address(**changes: Any) -> str:
        return f"/releases?{urlencode({'before': before, 'now': now, 'kind': kind, **changes})}"

    return site.render(
        "compare.html",
        names=names,
        before=before,
        now=now,
        kind=kind,
        found=found,
        shown=[(each, _picture(site, each.row)) for each in shown],
        address=address,
        previous=int(number) - 1,
        next=int(number) + 1 if first + PAGE_SIZE < len(found[kind]) else 0,
        words=lambda text: (text or "").replace(f"{IMAGE_TOKEN}\n", ""),
    )


def compare(earlier: Path, later: Path) -> dict[str, list[Compared]]:
    """By kind, in the order of the samples. Raises OSError, BrokenRelease."""
    before, now = read_contents(earlier), read_contents(later)
    old, new = ({tuple(row[name] for name in KEYS): row for row in each.samples} for each in (before, now))
    why = _reasons(later, before, now)
    found: dict[str, list[Compared]] = {kind: [] for kind in KINDS}
    for key in dict.fromkeys([*new, *old]):
        compared = Compared(old.get(key), new.get(key))
        kind = "gone" if compared.now is None else "added" if compared.before is None else "changed"
        if kind != "changed" or compared.differing:
            found[kind].append(Compared(compared.before, compared.now, why.get(compared.row["sample_id"], "")))
    return found


def _reasons(later: Path, before: Contents, now: Contents) -> dict[str, str]:
    """What the later release says of why, if it was compared with this very one when it was made."""
    if now.manifest.get("previous") != before.manifest.get("version"):
        return {}
    try:
        return {each["sample_id"]: each["why"] for each in WHY.validate_json((later / CHANGES).read_bytes())}
    except (OSError, ValueError, KeyError):
        return {}


def _picture(site: Site, row: Row) -> dict[str, Any] | None:
    """What a card shows of the sample, where the ledger has the images that the release was made of; else nothing."""
    found = site.index.rows(
        "SELECT source_hash, target_hash, width, height FROM image_pairs WHERE pair_id = ?", [row["pair_id"]]
    )
    if not found or any(found[0][name] != row[name] for name in ("source_hash", "target_hash")):
        return None
    erased = row["region_id"] if row["erased_from"] else None
    images: tuple[ShownImage, ShownImage] = shown_images(row["pair_id"], erased, row["erased_from"], row["first"])
    return {
        **found[0],
        "pair_id": row["pair_id"],
        "region_id": row["region_id"],
        "erased_hash": row["erased_hash"],
        "images": images,
        "box": None,
    }


PAGES = (MorePage("/releases", "Releases", "z", compare_page),)
