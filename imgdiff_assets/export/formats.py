"""All formats of export: ours, in the order of the help, and after them those of installed packages."""

from dataclasses import replace

from imgdiff_assets.export import coco, fiftyone_groups, grpo, hf, imgdiff, llava, sharegpt, swift, web_dataset
from imgdiff_assets.export.format import Format
from resources.installed import BrokenPart, Offer, offers

GROUP = "imgdiff_assets.export_formats"
OURS: tuple[Format, ...] = (
    llava.FORMAT,
    sharegpt.FORMAT,
    swift.FORMAT,
    hf.FORMAT,
    grpo.FORMAT,
    web_dataset.FORMAT,
    coco.FORMAT,
    fiftyone_groups.FORMAT,
    imgdiff.FORMAT,
)


def formats() -> dict[str, Format]:
    """Every format by its name. Raises BrokenPart for an installed one that cannot be used."""
    found = {form.name: form for form in OURS}
    for offer in offers(GROUP).values():
        if offer.name in found:
            raise BrokenPart(
                f"{offer.package} offers the export format {offer.name!r}, which imgdiff-assets has itself: uninstall "
                "it, or ask its authors for another name."
            )
        found[offer.name] = _offered(offer)
    return found


def _offered(offer: Offer) -> Format:
    if not isinstance(offer.part, Format) or offer.part.name != offer.name:
        raise BrokenPart(
            f"{offer.package} offers the export format {offer.name!r}, but what it names is no "
            f"{Format.__module__}.{Format.__name__} of that name: mend or uninstall it."
        )
    return replace(offer.part, package=f"{offer.package} {offer.package_version}")
