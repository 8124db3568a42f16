"""When the graph runs by itself, for how long, and who is told: no row depends on it."""

from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator

from imgdiff_assets.ingest.ingest_captions import LARGEST_SHARD
from imgdiff_assets.recipe.cron import check_cron
from imgdiff_assets.stages.settings import StageSettings


class BudgetSettings(StageSettings):
    """How long models may work in runs that nobody starts by hand."""

    hours: float = Field(gt=0, description="Hours; what people start counts, and is not stopped.")
    per: Literal["day", "week"] = Field("day", description="Days begin at midnight, weeks on Monday, in `timezone`.")


class TellSettings(StageSettings):
    """Who is told of what goes wrong by night: a command, a web address, or both."""

    command: list[str] = Field(
        [],
        description="A program and its arguments, as in `[mail, -s, imgdiff, me@example.org]`: it reads the text on "
        "standard input, no shell is between. IMGDIFF_TELL_COMMAND names another.",
    )
    url: str | None = Field(
        None,
        description="Gets a POST of JSON with the key `text`, as Slack and Mattermost take it. An address that is "
        "itself a secret belongs into IMGDIFF_TELL_URL.",
    )
    room_gb: float = Field(
        10.0, ge=0, description="Free space on the disk of the home below which that is told, in GB."
    )

    @field_validator("url")
    @classmethod
    def _url_is_one(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("https://", "http://")):
            raise ValueError("write an address that begins with https:// or http://")
        return url


class AutomationSettings(StageSettings):
    """When the graph brings itself up to date. No row depends on it."""

    cron: str | None = Field(
        None,
        description="When stale shards are run, as in `0 3 * * *`; without it the schedule is there, for three at "
        "night, but switched off.",
    )
    timezone: str = Field("UTC", description="The time zone of `cron`, as in `Europe/Berlin`.")
    inbox_seconds: int = Field(
        30, ge=1, description="The inbox is looked at this often, and takes a file that stood still for as long."
    )
    shard_size: int = Field(
        1_000, ge=1, le=LARGEST_SHARD, description="Most captions of a file of the inbox in one shard."
    )
    max_shards_per_run: int | None = Field(
        None,
        ge=1,
        description="Most shards that one run is asked for, so that runs beside it get some; none: as many as follow "
        "one another.",
    )
    fill_gaps: bool = Field(
        False,
        description="Whether captions of the inbox are noted with the replacements made so far, as "
        "`imgdiff ingest --fill-gaps` notes them, for prompt_pairs.keep_attempts to go by.",
    )

    budget: BudgetSettings | None = Field(
        None, description="Schedule, inbox and sensors ask for no run when it is spent, nor for more than is left."
    )
    tell: TellSettings = TellSettings()

    @field_validator("cron")
    @classmethod
    def _cron_is_one(cls, cron: str | None) -> str | None:
        return None if cron is None else check_cron(cron)

    @field_validator("timezone")
    @classmethod
    def _timezone_is_known(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (ValueError, LookupError, OSError):
            raise ValueError("is not a time zone; write it as in Europe/Berlin") from None
        return timezone
