"""The licences of the models that the ledger's records name."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from imgdiff_assets.recipe.role_models import RoleModels
from resources.backends.choice import backend_of, fields_of
from resources.loading import licences


def licence_of(role: str, identity: Mapping[str, Any]) -> str:
    """The terms of the model that a record tells of by its `identity`, or why they are not known."""
    try:
        settings = RoleModels.settings_class(role).model_validate(fields_of(identity))
    except (KeyError, ValidationError):  # of another version, or of a backend that is no longer installed
        return licences.licence_of(str(identity.get("model", "")), identity.get("revision"))
    return backend_of(settings).licence(settings)
