"""WebDataset's own reader on an export of two pictures a sample, and its loader of batches."""

import sys

from told import loaded

count = 0
train = loaded(sys.argv[1], "import pathlib, webdataset")
for first, second, about in train.to_tuple("first.png", "second.png", "json"):
    assert first.size == second.size
    assert about["question"]
    assert about["answer"]
    count += 1
print(f"read {count} samples")
