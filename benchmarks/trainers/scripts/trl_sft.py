"""TRL's SFTTrainer on an export of the form `hf`, as its dataset card says to give it."""

import sys

from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

data, model, out, steps, batch = sys.argv[1:6]
train = load_dataset(data, split="train").select(range(int(batch)))
train = train.map(
    lambda row: {
        "messages": [{**said, "content": said["content"].replace("<image>\n", "")} for said in row["messages"]]
    }
)
settings = SFTConfig(
    output_dir=out,
    max_length=None,
    max_steps=int(steps),
    logging_steps=1,
    per_device_train_batch_size=int(batch),
    learning_rate=1e-3,
    report_to="none",
    use_cpu=True,
    save_strategy="no",
    bf16=False,
    gradient_checkpointing=False,
    disable_tqdm=True,
)
SFTTrainer(model=model, args=settings, train_dataset=train.select_columns(["messages", "images"])).train()
