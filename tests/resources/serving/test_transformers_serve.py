"""`transformers serve` as a role starts it: the real command over the miniature's models."""

import os
import random

import pytest

from resources.backends import serving
from resources.backends.choice import backend_of
from resources.captioner import Captioner, CaptionerSettings
from resources.loading import devices
from resources.miniature.scenes import draw_scene

pytestmark = pytest.mark.long

QUESTION = "what is this ?"


def test_it_answers_as_the_model_does_here_and_ends_with_it() -> None:
    pictures = [[draw_scene(random.Random(seed)).image] for seed in range(2)]
    here = Captioner(CaptionerSettings(model="miniature:captioner", max_new_tokens=16))
    settings = CaptionerSettings(model="miniature:captioner", max_new_tokens=16, serve="transformers", device="cpu")
    backend = backend_of(settings)
    try:
        served = backend.load(settings)
        assert served.answer(pictures, [QUESTION] * 2) == here.answer(pictures, [QUESTION] * 2)
        assert "started here" in backend.runs_on(settings)
        assert backend.weights(settings) == backend_of(here.settings).weights(here.settings)
        assert len(serving._running) == 1
        guard = next(iter(serving._running))._started.pid
    finally:
        devices.unload_all()
    with pytest.raises(ProcessLookupError):
        os.kill(guard, 0)
