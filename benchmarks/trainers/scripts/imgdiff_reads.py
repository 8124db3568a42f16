"""Hugging Face datasets on an export of the released set's layout, with both pictures of each row."""

import sys
from pathlib import Path

from PIL import Image
from told import loaded

folder = Path(sys.argv[1])
train = loaded(str(folder), "load_dataset")
for row in train:
    for number in (0, 1):
        with Image.open(folder / f"{row['path']}_{number}.jpg") as picture:
            picture.verify()
    assert all(0 <= share <= 1 for share in row["bbox"])
print(f"read {len(train)} samples")
