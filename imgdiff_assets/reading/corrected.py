"""What people corrected, beside what was found; and whether the samples have it by now."""

from dataclasses import dataclass
from typing import Any

from imgdiff_assets.home import Home
from imgdiff_assets.ledger.corrections import BOX, Value, correction_hashes, counting
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.stages.graph import SAMPLES


@dataclass(frozen=True, slots=True)
class Corrected:
    """One text or box of a region: what was found `before`, what a person says, who and when (UTC).

    `applied` says whether the shard's samples were made with it; else the next run does so.
    """

    region_id: str
    name: str
    before: Value
    value: Value
    by: str
    at: str
    by_token: bool
    applied: bool

    def __str__(self) -> str:
        before, value = (_text(each) for each in (self.before, self.value))
        waits = "" if self.applied else ", from the next run on"
        return f"{self.name}: {before} → {value} (by {self.by}, {self.at[:16].replace('T', ' ')} UTC{waits})"

    def both(self) -> dict[str, Any]:
        """What a release tells of it: no names."""
        return {"region_id": self.region_id, "name": self.name, "before": self.before, "value": self.value}


def corrected(ledger: Ledger, shard: str) -> dict[str, list[Corrected]]:
    """By region of a shard, in the order of the ids; of most shards nothing."""
    home = Home(ledger.root.parent)
    found = counting(home, shard)
    if not found:
        return {}
    record, hashes = ledger.record(SAMPLES, shard) or {}, correction_hashes(home, shard)
    made_with = record.get("corrected", {})
    return {
        region: [
            Corrected(
                region_id=region,
                name=name,
                before=said.before.get(name),
                value=said.values[name],
                by=said.by,
                at=said.at,
                by_token=said.by_token,
                applied=made_with.get(region) == hashes[region],
            )
            for name, said in lines.items()
        ]
        for region, lines in found.items()
    }


def _text(value: Value) -> str:
    if value is None:
        return "nothing"
    return value if isinstance(value, str) else f"({', '.join(f'{corner:.4g}' for corner in value)})"


def texts_of(found: list[Corrected]) -> dict[str, str]:
    """The corrected texts that the samples were made with, by name."""
    return {each.name: str(each.value) for each in found if each.applied and each.name != BOX}
