"""verl's dataset and collator of an export of the form `grpo`, and the rewards of its right answers."""

import glob
import importlib.util
import sys
from pathlib import Path

from omegaconf import OmegaConf
from told import told
from torch.utils.data import DataLoader
from transformers import AutoProcessor
from verl.utils.dataset.rl_dataset import RLHFDataset, collate_fn

folder, model = sys.argv[1:3]
processor = AutoProcessor.from_pretrained(model)
words = OmegaConf.from_dotlist([word for word in told(Path(folder), "# verl").split() if "." in word and "=" in word])
files = sorted(glob.glob(words.data.train_files))
settings = {"prompt_key": "prompt", "max_prompt_length": 512, "filter_overlong_prompts": False}
settings = OmegaConf.merge(settings, words.data)
train = RLHFDataset(data_files=files, tokenizer=processor.tokenizer, config=settings, processor=processor)
function = words.custom_reward_function
spec = importlib.util.spec_from_file_location("reward", function.path)
reward = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reward)
score = getattr(reward, function.name)
count = 0
for batch in DataLoader(train, batch_size=8, collate_fn=collate_fn):
    for source, judged in zip(batch["data_source"], batch["reward_model"], strict=True):
        truth = judged["ground_truth"]
        assert score(source, "I cannot say.", truth) == 0
        count += 1
print(f"read {count} samples")
