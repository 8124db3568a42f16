"""Which backend runs a model, by the settings of its role; and what a model is known by, whatever runs it."""

from collections.abc import Mapping
from typing import Any

from resources.backends.backend import Backend
from resources.backends.library import Library
from resources.backends.server import Server
from resources.backends.serving import Serving
from resources.installed import BrokenPart, Offer, offers
from resources.loading.settings import BACKENDS, LIBRARY, SERVER, SERVING, ModelSettings

OWN: dict[str, Backend] = {LIBRARY: Library(), SERVER: Server(), SERVING: Serving()}
ASKED = sorted({*Backend.__annotations__, *(name for name in vars(Backend) if not name.startswith("_"))})
BESIDE_FIELDS = ("weights", "backend_package")
"""What an identity holds that is no field of settings."""


def backend_of(settings: ModelSettings) -> Backend:
    """Return what runs the model of a role. Raises BrokenPart for an installed one that cannot be used."""
    return OWN[settings.own_backend] if settings.backend is None else _part(offers(BACKENDS)[settings.backend])


def backend_name(settings: ModelSettings) -> str:
    """Return what the backend is called, as in `models list`."""
    return settings.backend or settings.own_backend


def backends() -> dict[str, Backend]:
    """Return our backends and all that are installed, by name. Raises BrokenPart."""
    return {**OWN, **{name: _part(offer) for name, offer in offers(BACKENDS).items()}}


def identity_of(settings: ModelSettings) -> dict[str, Any]:
    """Return all that a measurement by the model depends on: its settings, and what its weights are known by.

    Raises FileNotFoundError when the weights are missing, ModelUnavailable when what runs them does not answer.
    """
    return {**settings.identity(), "weights": backend_of(settings).weights(settings)}


def fields_of(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of settings that an identity tells of. It leaves out a backend that is one of ours."""
    told = {name: value for name, value in identity.items() if name not in BESIDE_FIELDS}
    return {"backend": None, "backend_settings": {}, **told}


def _part(offer: Offer) -> Backend:
    lacking = [name for name in ASKED if not hasattr(offer.part, name)]
    if lacking or isinstance(offer.part, type):
        wrong = f"lacks {', '.join(lacking)}" if lacking else "is a class and not an object of it"
        raise BrokenPart(
            f"{offer.package} offers {offer.name!r} among the backends, but it {wrong}: mend or uninstall it."
        )
    part: Backend = offer.part
    return part
