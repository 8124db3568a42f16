"""verl's dataset and collator of an export of the form `grpo`, and the rewards of its right answers."""

import glob
import importlib.util
import sys

from omegaconf import OmegaConf
from torch.utils.data import DataLoader
from transformers import AutoProcessor
from verl.utils.dataset.rl_dataset import RLHFDataset, collate_fn

folder, model = sys.argv[1:3]
processor = AutoProcessor.from_pretrained(model)
settings = OmegaConf.create(
    {"image_key": "images", "prompt_key": "prompt", "max_prompt_length": 512, "filter_overlong_prompts": False}
)
files = sorted(glob.glob(f"{folder}/data/train-*.parquet"))
train = RLHFDataset(data_files=files, tokenizer=processor.tokenizer, config=settings, processor=processor)
spec = importlib.util.spec_from_file_location("reward", f"{folder}/reward.py")
reward = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reward)
count = 0
for batch in DataLoader(train, batch_size=8, collate_fn=collate_fn):
    for source, told in zip(batch["data_source"], batch["reward_model"], strict=True):
        truth = told["ground_truth"]
        assert reward.compute_score(source, "I cannot say.", truth) == 0
        count += 1
print(f"read {count} samples")
