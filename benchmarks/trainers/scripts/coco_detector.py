"""A detector of torchvision trained on an export of the form `coco`, which its CocoDetection reads."""

import random
import sys

import torch
from told import loaded
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn
from torchvision.transforms.functional import to_tensor

BATCH = 8
folder, _, steps = sys.argv[1:4]
torch.manual_seed(3)
random.seed(3)
train = loaded(folder, "CocoDetection")
images, targets = [], []
for picture, annotations in train:
    boxes = [(x, y, x + width, y + height) for x, y, width, height in (each["bbox"] for each in annotations)]
    images.append(to_tensor(picture))
    labels = torch.tensor([each["category_id"] for each in annotations])
    targets.append({"boxes": torch.tensor(boxes), "labels": labels})
    if len(images) == BATCH:
        break
classes = max(train.coco.getCatIds()) + 1
model = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None, num_classes=classes).train()
optimiser = torch.optim.AdamW(model.parameters(), lr=3e-4)
for _ in range(int(steps)):
    loss = sum(model(images, targets).values())
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    print({"loss": round(loss.item(), 4)}, flush=True)
