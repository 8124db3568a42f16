"""What keeps steps that a package brings from standing at the end of a stage: told before anything is run."""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from imgdiff_assets.stages.settings import SEED, StageSettings
from imgdiff_assets.stages.stage import Stage
from imgdiff_assets.stages.steps import Derivation, Filter, Measurement, Step


def mistakes(stage: Stage, steps: Sequence[Step], settings: type[StageSettings]) -> Iterator[str]:
    """A clause for each mistake of `steps`, whose settings are `settings`, if they followed the stage's own."""
    if not issubclass(settings, StageSettings):
        yield f"its settings are no {StageSettings.__name__}"
        return
    columns = set(stage.schema.names)
    names = {step.name for step in stage.steps if isinstance(step, Measurement | Filter)}
    for step in steps:
        for name in step.reads:
            if name not in columns:
                yield f"it reads {name!r}, which is no column of {stage.name} before it"
        for name in _settings(step):
            if name not in settings.model_fields and name != SEED and "." not in name:
                yield f"it names {name!r}, which is none of its settings"
        made = [column.name for column in _made(step)]
        yield from (f"{stage.name} has a column {name!r} already" for name in made if name in columns)
        columns.update(made)
        if not isinstance(step, Derivation):
            if step.name in names:
                yield f"{stage.name} has a step {step.name!r} already"
            names.add(step.name)
        if isinstance(step, Measurement) and step.expands and (stage.measurements or step is not steps[0]):
            yield f"{step.name!r} makes several rows of one, which only the first step of a stage may"


def _made(step: Step) -> tuple[pa.Field, ...]:
    if isinstance(step, Filter):
        return ()
    return step.columns if isinstance(step, Measurement) else (step.column,)


def _settings(step: Step) -> tuple[str, ...]:
    if isinstance(step, Measurement):
        return (*step.settings, *step.indifferent)
    return (step.threshold,) if isinstance(step, Filter) and step.threshold else ()
