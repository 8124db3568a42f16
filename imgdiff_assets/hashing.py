"""Content hashes: ids, seeds and fingerprints are functions of values, never of order, time or batch."""

import hashlib
import json
from typing import Any

ID_LENGTH = 16


def content_hash(*values: Any) -> str:
    """SHA-256 (hex) of the canonical JSON of `values`; equal values give equal hashes in every process.

    Raises TypeError for a value that JSON cannot hold and ValueError for NaN, whose hash would mean nothing.
    """
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def content_id(*values: Any) -> str:
    """The id of a row: the first 64 bits of its content's hash, in hex."""
    return content_hash(*values)[:ID_LENGTH]


def seed_of(*values: Any) -> int:
    """A seed in [0, 2**63) that depends on nothing but `values`."""
    return int(content_hash("seed", *values)[:16], 16) >> 1
