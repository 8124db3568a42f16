"""How a recipe finds pairs among pictures: by its encoder, and within the similarities that it keeps."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.ingest.decoding import UnusableImage
from imgdiff_assets.ingest.mined_pairs import Mining
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.pictures import FITTING, TooNarrow, fitted
from imgdiff_assets.stages.stage import IMAGE_ENCODER


def mining_by(recipe: Recipe, most: int, fit: str, frame_seconds: float) -> Mining:
    """Pairs as `filtered_pairs` would keep them; pictures fitted as `prompt_pairs.pictures` says."""
    models = LoadedModels.shared(recipe.roles)
    kept, pictures = recipe.section("filtered_pairs"), recipe.section("prompt_pairs").pictures
    fitting = {name: getattr(pictures, name) for name in FITTING}

    def encode(pictures: Sequence[Pixels]) -> npt.NDArray[np.float32]:
        vectors: npt.NDArray[np.float32] = models.open(models.player(IMAGE_ENCODER)).encode_images(pictures)
        return vectors

    def fit_one(picture: Pixels) -> Pixels:
        try:
            return fitted(picture, fitting)[0]
        except TooNarrow as error:
            raise UnusableImage(f"is too narrow: {error}") from None

    return Mining(encode, fit_one, kept.min_similarity, kept.max_similarity, most, fit, frame_seconds)
