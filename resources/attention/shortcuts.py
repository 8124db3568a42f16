"""Three ways to make an image pair for less than two images cost. They change the images, so they are off by default.

A *shared* beginning: source and target start from the same noise, and the first steps settle little but the
composition, which the target takes from the source anyway. So for these steps only the source is computed.

*Guidance* for a part of the steps: towards the end it changes little (Kynkäänniemi et al. 2024, arXiv 2404.07724), and
without it a step costs half.

*Inner blocks* of the UNet computed at every n-th step only (`resources.attention.inner_blocks`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from resources.attention.inner_blocks import computed_every

CARRIED = ("prompt_embeds", "add_text_embeds", "add_time_ids")
"""What a pipeline's step hands on to the next beside the latents: a row per image, guided ones twice."""


@dataclass(frozen=True, slots=True)
class Shortcuts:
    """What is left out, and when."""

    shared_steps: float = 0.0  # fraction (0 to 1) of all steps, from the first on, without targets
    guidance_steps: float = 1.0  # fraction of all steps, from the first on, with guidance
    inner_blocks_every: int = 1  # of so many steps, the first computes the inner blocks


class ShortRun:
    """A stock pipeline's call that leaves out what the shortcuts say."""

    def __init__(self, pipeline: Any, sources: Sequence[str], targets: Sequence[str], shortcuts: Shortcuts) -> None:
        self._pipeline = pipeline
        self._prompts = [*sources, *targets]
        self._shortcuts = shortcuts
        self.is_paired = shortcuts.shared_steps == 0  # whether targets are computed by now
        if not self.is_paired:
            scheduler = pipeline.scheduler
            if scheduler.order > 1 or hasattr(scheduler, "model_outputs"):
                raise ValueError(
                    f"The pipeline's {type(scheduler).__name__} remembers earlier steps, so targets cannot begin in "
                    "the middle: set the field `shared_steps` to 0, or save the pipeline with a scheduler of first "
                    "order such as EulerDiscreteScheduler."
                )
            if pipeline.unet.config.time_cond_proj_dim is not None:
                raise ValueError(
                    "The pipeline's UNet is told the weight of guidance, once for each image that a run begins with, "
                    "so targets cannot begin in the middle: set the field `shared_steps` to 0."
                )

    def __call__(self, end_step: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        """Run the pipeline, with `end_step` as its `callback_on_step_end`."""
        with computed_every(self._shortcuts.inner_blocks_every, self._pipeline.unet):
            return self._run(
                {
                    **arguments,
                    "callback_on_step_end": end_step,
                    "callback_on_step_end_tensor_inputs": ["latents", *CARRIED],
                }
            )

    def _run(self, arguments: dict[str, Any]) -> Any:
        if self.is_paired:
            return self._pipeline(prompt=self._prompts, **arguments)
        pairs = len(self._prompts) // 2
        guided = arguments["guidance_scale"] > 1
        prompts, unprompted, pooled, pooled_unprompted = self._pipeline.encode_prompt(
            self._prompts, do_classifier_free_guidance=guided
        )
        self._embeddings = {"prompt_embeds": [unprompted, prompts], "add_text_embeds": [pooled_unprompted, pooled]}
        # The scheduler reads this list at every step: the targets' generators are added when they begin.
        self._generators = arguments["generator"][:pairs]
        sources = {
            "prompt_embeds": prompts[:pairs],
            "pooled_prompt_embeds": pooled[:pairs],
            "negative_prompt_embeds": unprompted[:pairs] if guided else None,
            "negative_pooled_prompt_embeds": pooled_unprompted[:pairs] if guided else None,
        }
        return self._pipeline(**(arguments | {"generator": self._generators} | sources))

    def end_step(self, steps_done: int, tensors: dict[str, Any]) -> None:
        """Change what the next step is handed: the targets' rows come in, or the unguided ones go out."""
        import torch

        steps = self._pipeline.num_timesteps
        if not self.is_paired and steps_done == max(1, round(self._shortcuts.shared_steps * steps)):
            self.is_paired = True
            guided = self._pipeline.do_classifier_free_guidance
            for name, (unprompted, prompted) in self._embeddings.items():
                tensors[name] = torch.cat([unprompted, prompted]) if guided else prompted
            tensors["latents"] = torch.cat([tensors["latents"]] * 2)
            tensors["add_time_ids"] = torch.cat([tensors["add_time_ids"]] * 2)
            self._generators += [generator.clone_state() for generator in self._generators]
        last_guided = max(1, round(self._shortcuts.guidance_steps * steps))
        if steps_done == last_guided < steps and self._pipeline.do_classifier_free_guidance:
            self._pipeline._guidance_scale = 1.0  # the library's documented way; its next call sets it anew
            tensors.update({name: tensors[name].chunk(2)[1] for name in CARRIED})
