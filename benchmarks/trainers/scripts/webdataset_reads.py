"""WebDataset's own reader on an export of two pictures a sample, and its loader of batches."""

import pathlib
import sys

import webdataset

tars = sorted(map(str, pathlib.Path(sys.argv[1]).glob("train-*.tar")))
train = webdataset.WebDataset(tars, shardshuffle=False).decode("pil").to_tuple("first.png", "second.png", "json")
count = 0
for first, second, about in train:
    assert first.size == second.size
    assert about["question"]
    assert about["answer"]
    count += 1
print(f"read {count} samples")
