"""The licence of a model: as its card states it, or else as it is known of the models of the shipped recipes."""

from pathlib import Path

import yaml

from resources.loading.bounded_yaml import load_yaml
from resources.loading.known_models import KNOWN_MODELS
from resources.loading.weights import MINIATURE_PREFIX, in_hub_cache, locate

OWN = "Apache-2.0 (part of this project)"
UNSTATED = "not stated by its files"
WITHOUT_CARD = "not known without its card, which `imgdiff models pull` fetches"
ABSENT = "not known here"


def licence_of(model: str, revision: str | None = None) -> str:
    """Return what the model card (`README.md`) beside the weights names as licence; where none does, why.

    Earlier releases fetched models without their cards, from which those that have none are told by the cache.
    """
    if model.startswith(MINIATURE_PREFIX):
        return OWN
    known = KNOWN_MODELS.get(model)
    try:
        place = locate(model, revision)
    except (OSError, ValueError):  # the hub's library refuses some names
        return known.licence if known is not None else ABSENT
    folder = place if place.is_dir() else place.parent
    stated = _stated(folder / "README.md")
    if stated is not None:
        return stated
    if known is not None:
        return known.licence
    return WITHOUT_CARD if in_hub_cache(folder) and not _asked_for_card(folder) else UNSTATED


def _stated(card: Path) -> str | None:
    try:
        text = card.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    _, fence, rest = text.partition("---\n")
    try:
        head = load_yaml(rest.partition("\n---")[0]) if fence else None
    except (yaml.YAMLError, ValueError):
        return None
    if not isinstance(head, dict) or not head.get("license"):
        return None
    return str(head.get("license_name") or "other" if head["license"] == "other" else head["license"])


def _asked_for_card(snapshot: Path) -> bool:
    """Whether the hub gave the card, or said that there is none: its library notes that beside the snapshots."""
    missing = snapshot.parents[1] / ".no_exist" / snapshot.name / "README.md"
    return missing.is_file() or (snapshot / "README.md").is_file()
