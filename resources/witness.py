"""A second captioner, which is asked what the first was: two that learned apart seldom err alike."""

from typing import ClassVar

from resources.captioner import Captioner, CaptionerSettings
from resources.chat_server import ServedCaptioner


class WitnessSettings(CaptionerSettings):
    """Settings of the witness, as those of the captioner."""

    role: ClassVar[str] = "witness"


class Witness(Captioner):
    """Answers questions about images by a model that is loaded here. Slow to make, so get it from `devices.load`."""


class ServedWitness(ServedCaptioner):
    """Answers questions about images by a served model."""
