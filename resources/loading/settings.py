"""What every model role is configured with; each role extends `ModelSettings` by its own fields."""

import math
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from resources.installed import BrokenPart, offers

BACKENDS = "imgdiff_assets.backends"
LIBRARY, SERVER, SERVING = "library", "server", "serving"
ENGINES = ("vllm", "sglang", "transformers")
LARGEST_INTEGER = 2**63 - 1
LONGEST_WAIT = 1_000_000
"""Seconds; a system counts no number of them."""


def storable(value: Any) -> Any:
    """For validators: `value`, unless a number anywhere in it is more than tables and databases hold, or is none."""
    if isinstance(value, dict):
        storable([*value, *value.values()])
    elif isinstance(value, list | tuple):
        for each in value:
            storable(each)
    elif isinstance(value, int) and not -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
        raise ValueError("is not a whole number of 64 bits")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("is not a finite number")
    return value


class ModelSettings(BaseModel):
    """Which model a role runs, where, and in which precision.

    Immutable; unknown fields are refused. Fields use only types that Dagster configuration knows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    _numbers_are_storable = field_validator("*")(storable)

    role: ClassVar[str] = ""
    """The role that they are settings of, such as `captioner`."""

    shares_weights: ClassVar[bool] = False
    """Whether roles of the same weights have them in memory once (`resources.loading.devices.shared`)."""

    model: str = Field(
        min_length=1,
        description="Weights: `miniature:<role>` (shipped with the package), a local folder or file, a model id of "
        "the Hugging Face hub, or a checkpoint file of Segment Anything by its published name.",
    )
    revision: str | None = Field(
        default=None,
        description="Branch, tag or commit of a hub model; none means `main`. Only a commit stays what it is: "
        "`imgdiff models pull` prints it.",
    )
    dtype: Literal["float32", "float16", "bfloat16"] = Field(
        default="float32", description="Floating-point type the model is run in, whatever it is stored in."
    )
    device: str = Field(default="auto", description="`cpu`, `cuda`, `cuda:1`, or `auto`: a GPU if there is one.")
    batch_size: int = Field(
        default=8, ge=1, description="Rows the model sees at once; the results do not depend on it."
    )

    # Left out of all that is made of settings where they are not used: what was measured without them stays known.
    backend: str | None = Field(
        default=None,
        exclude_if=lambda name: name is None,
        description="What runs the model, by the name that an installed package offers it under; none: a library in "
        "this process, or the server at `base_url` where a role has that field.",
    )
    backend_settings: dict[str, Any] = Field(
        default={}, exclude_if=lambda values: not values, description="Settings of `backend` itself, by its own rules."
    )

    @model_validator(mode="after")
    def _backend_is_installed(self) -> "ModelSettings":
        if self.backend is not None:
            check_backend(self.backend, self.role, self.backend_settings)
        elif self.backend_settings:
            raise ValueError("backend_settings are for a `backend`, and none is named")
        return self

    @property
    def own_backend(self) -> str:
        """Which of our backends runs the model where no other is named."""
        return LIBRARY

    def identity(self) -> dict[str, Any]:
        """Everything a measurement depends on but the weights: all fields but those that say only where and how fast
        it is made, and the package of an installed backend."""
        fields = self.model_dump(exclude={"device", "batch_size"})
        if self.backend is None:
            return fields
        offer = offers(BACKENDS)[self.backend]
        return {**fields, "backend_package": f"{offer.package} {offer.package_version}"}


class EncoderSettings(ModelSettings):
    """Settings of a role whose vectors are compared: thresholds on cosines are those of one encoder."""

    calibration: str | None = Field(
        default=None,
        exclude_if=lambda said: said is None,
        description="How the thresholds of this recipe were found for this encoder, as `imgdiff what-if --calibrate` "
        "writes it. An encoder of which none are known is refused without.",
    )

    def identity(self) -> dict[str, Any]:
        """Everything the vectors depend on."""
        return {name: value for name, value in super().identity().items() if name != "calibration"}


class ServableSettings(ModelSettings):
    """Settings of a role whose model may be loaded here, or be behind an OpenAI-compatible server."""

    base_url: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="Address of an OpenAI-compatible server that runs `model`, such as http://localhost:8000/v1; "
        "none: it is loaded here. The environment variable IMGDIFF_API_KEY holds its key, if it asks for one; that is "
        "sent to no server but those that the recipe, `--set` or IMGDIFF_API_KEY_URLS names.",
    )
    concurrency: int = Field(default=16, ge=1, description="Requests of a batch that a server is sent at once.")
    timeout_seconds: float = Field(
        default=120, gt=0, le=LONGEST_WAIT, description="How long a server may take for one answer."
    )
    max_retries: int = Field(
        default=5, ge=0, description="How often a request is repeated that a busy or ailing server did not answer."
    )

    @property
    def own_backend(self) -> str:
        return LIBRARY if self.base_url is None else SERVER

    def identity(self) -> dict[str, Any]:
        """Everything an answer depends on. Where a server is says nothing of what it runs."""
        elsewhere = {"base_url", "concurrency", "timeout_seconds", "max_retries"}
        return {name: value for name, value in super().identity().items() if name not in elsewhere}


class ImageModelSettings(ServableSettings):
    """Settings of a role whose model makes pictures, here or behind a server that speaks OpenAI's images API."""

    shares_weights: ClassVar[bool] = True

    num_inference_steps: int = Field(default=30, ge=1, description="Denoising steps.")
    guidance_scale: float = Field(
        default=4.0,
        ge=0,
        description="Weight of guidance, by whatever name the model takes it; up to 1 there is none, and models that "
        "were distilled ignore it.",
    )
    plain_requests: bool = Field(
        default=False,
        description="Tell a server nothing that OpenAI's own does not know: no seed, no steps, no guidance. Its "
        "pictures are then other ones each time.",
    )


class ChatModelSettings(ServableSettings):
    """Settings of a role that a chat model plays: one of transformers, or one behind an OpenAI-compatible server."""

    max_new_tokens: int = Field(default=128, ge=1, description="Where an answer is cut off, in tokens.")
    stop: list[str] = Field(
        default=[], max_length=4, description="An answer ends before the first of these strings, at most four."
    )
    serve: str | None = Field(
        default=None,
        exclude_if=lambda engine: engine is None,
        description=f"Start a server for `model` on this machine, and stop it with the run: {', '.join(ENGINES)}.",
    )
    pin_server: bool = Field(
        default=False,
        exclude_if=lambda pinned: not pinned,
        description="Whether what was measured counts for the server's program and version alone: another one "
        "measures all again.",
    )
    batches: bool = Field(
        default=False,
        exclude_if=lambda later: not later,
        description="Whether the server at `base_url` is asked by its batch service (`/v1/batches`), for less: "
        "questions are sent by one run, and the answers collected by a later one.",
    )

    @field_validator("serve")
    @classmethod
    def _engine_is_known(cls, engine: str | None) -> str | None:
        if engine is not None and engine not in ENGINES:
            raise ValueError(f"there is no engine {engine!r}; there are {', '.join(ENGINES)}")
        return engine

    @model_validator(mode="after")
    def _one_server_is_meant(self) -> "ChatModelSettings":
        if self.serve is not None and self.base_url is not None:
            raise ValueError("serve starts a server here, and base_url names one that runs: leave out one of them")
        if self.pin_server and self.base_url is None:
            raise ValueError("pin_server is about the server at base_url: name it")
        if self.batches and self.base_url is None:
            raise ValueError("batches are asked of the server at base_url: name it")
        return self

    @property
    def own_backend(self) -> str:
        return SERVING if self.serve is not None else super().own_backend

    def identity(self) -> dict[str, Any]:
        """Everything an answer depends on: a server's program changes what is measured, and is told by its weights
        where it is pinned. An answer is the same, whether it is waited for or collected."""
        return {name: value for name, value in super().identity().items() if name not in ("pin_server", "batches")}


def check_backend(name: str, role: str, values: dict[str, Any]) -> None:
    """Raise ValueError unless an installed package offers the backend, for this role and with these settings."""
    try:
        known = offers(BACKENDS)
    except BrokenPart as error:
        raise ValueError(str(error)) from error
    if name not in known:
        raise ValueError(
            f"the backend {name!r} is not installed (installed: {', '.join(known) or 'none'}): install the package "
            "that offers it, or leave out `backend` for a library in this process or the server at `base_url`"
        )
    part = known[name].part
    roles = getattr(part, "roles", ())
    if role not in roles:
        raise ValueError(f"the backend {name!r} does not run a {role}, only {', '.join(roles)}")
    settings_class = getattr(part, "settings_class", None)
    if settings_class is None:
        if values:
            raise ValueError(f"the backend {name!r} has no settings: leave out `backend_settings`")
        return
    try:
        settings_class.model_validate(values)
    except ValidationError as error:
        told = "; ".join(
            f"backend_settings.{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}" for wrong in error.errors()
        )
        raise ValueError(f"the backend {name!r} refuses its settings: {told}") from error
