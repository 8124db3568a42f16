"""FiftyOne on an export: the groups that `groups.py` makes of it, each with its two pictures."""

import runpy
import sys
from pathlib import Path

made = runpy.run_path(f"{sys.argv[1]}/groups.py")["dataset"]("image-differences", "train")
made.persistent = False
count = 0
for group in made.iter_groups():
    assert sorted(group) == ["left", "right"]
    assert all(Path(sample.filepath).stat().st_size for sample in group.values())
    count += 1
print(f"read {count} samples")
