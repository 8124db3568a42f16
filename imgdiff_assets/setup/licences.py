"""The licence of a model, as its own files state it."""

import yaml

from resources.loading.weights import MINIATURE_PREFIX, locate

OWN = "Apache-2.0 (part of this project)"
UNSTATED = "not stated by its files"


def licence_of(model: str, revision: str | None = None) -> str:
    """What the model card (`README.md`) beside the weights names as licence."""
    if model.startswith(MINIATURE_PREFIX):
        return OWN
    try:
        place = locate(model, revision)
        text = ((place if place.is_dir() else place.parent) / "README.md").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return UNSTATED
    _, fence, rest = text.partition("---\n")
    try:
        stated = yaml.safe_load(rest.partition("\n---")[0]) if fence else None
    except yaml.YAMLError:
        return UNSTATED
    if not isinstance(stated, dict) or not stated.get("license"):
        return UNSTATED
    return str(stated.get("license_name") if stated["license"] == "other" else stated["license"])
