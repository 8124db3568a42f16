"""What the trainers of all roles share: an optimiser, a learning-rate schedule, averaged weights, progress."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


def prepare(seed: int) -> None:
    """Make a training on a CPU repeatable, and keep it fast when activations get tiny."""
    torch.manual_seed(seed)
    torch.set_flush_denormal(True)


def constant_then_linear(step: int, steps: int, warmup: int = 60, constant: float = 0.5, floor: float = 0.02) -> float:
    """The learning rate's factor: up over `warmup` steps, flat for a share of them, then down in a line to `floor`."""
    share = step / steps
    decay = 1.0 if share < constant else max(floor, (1 - share) / (1 - constant))
    return min(1.0, (step + 1) / warmup) * decay


def _orthogonalise(matrices: Tensor, iterations: int = 4) -> Tensor:
    """Bring all singular values of each (N, rows, columns) matrix close to one, by a quintic Newton-Schulz iteration.

    In bfloat16: close is close enough, and it takes half the time.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = (matrices / (matrices.flatten(1).norm(dim=1)[:, None, None] + 1e-7)).bfloat16()
    wide: Tensor = x if x.shape[1] <= x.shape[2] else x.transpose(1, 2)
    for _ in range(iterations):
        gram = wide @ wide.transpose(1, 2)
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    tall = wide if x.shape[1] <= x.shape[2] else wide.transpose(1, 2)
    return tall.to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised (Jordan et al., 2024), for hidden matrices and convolutions.

    A convolution counts as the matrix (channels out, everything else). Updates are scaled to the size AdamW's have.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(list(parameters), {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update. Matrices of one shape are orthogonalised together."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[tuple[nn.Parameter, Tensor]]] = {}
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                update = parameter.grad.lerp(state["momentum"], group["momentum"]).flatten(1)
                by_shape.setdefault(update.shape, []).append((parameter, update))
            for shape, members in by_shape.items():
                updates = _orthogonalise(torch.stack([update for _, update in members])) * (0.2 * max(shape) ** 0.5)
                for (parameter, _), update in zip(members, updates, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update.view_as(parameter), alpha=-group["lr"])


class Optimisers:
    """Muon for the hidden matrices and AdamW for the rest, on one schedule.

    `is_hidden` says by name whether a matrix is a hidden one: not an embedding, the first or the last layer.
    """

    def __init__(self, model: nn.Module, learning_rate: float, is_hidden: Callable[[str], bool]) -> None:
        named = list(model.named_parameters())
        hidden = [parameter for name, parameter in named if parameter.ndim > 1 and is_hidden(name)]
        rest = [parameter for name, parameter in named if parameter.ndim <= 1 or not is_hidden(name)]
        self.learning_rate = learning_rate
        self.parameters = hidden + rest
        self.optimisers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(rest, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.0, foreach=True)
        ]
        if hidden:
            self.optimisers.append(Muon(hidden, lr=learning_rate))

    def step(self, loss: Tensor, factor: float, clip: float = 1.0) -> None:
        """Descend on `loss` at `factor` times the learning rate, its gradient clipped to the norm `clip`."""
        for parameter in self.parameters:
            parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.parameters, clip)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self.learning_rate * factor
            optimiser.step()

    def state_dict(self) -> list[dict[str, object]]:
        return [optimiser.state_dict() for optimiser in self.optimisers]

    def load_state_dict(self, states: Sequence[dict[str, object]]) -> None:
        for optimiser, state in zip(self.optimisers, states, strict=True):
            optimiser.load_state_dict(state)


class AveragedWeights:
    """An exponential moving average of a model's weights, short at first."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.parameters = list(model.parameters())
        self.averages = [parameter.detach().clone() for parameter in self.parameters]

    def state_dict(self) -> dict[str, list[Tensor]]:
        return {"averages": self.averages}

    def load_state_dict(self, state: Mapping[str, list[Tensor]]) -> None:
        self.averages = list(state["averages"])

    @torch.no_grad()
    def update(self, step: int) -> None:
        torch._foreach_lerp_(
            self.averages,
            [parameter.detach() for parameter in self.parameters],
            1 - min(self.decay, (step + 1) / (step + 20)),
        )

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the model's weights and the averages; again to undo."""
        for parameter, average in zip(self.parameters, self.averages, strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(kept)


class Checkpoint:
    """A training as it was some steps ago, in a file: what goes on from it ends as what was never interrupted."""

    def __init__(self, file: Path, parts: Mapping[str, Any], every: int = 100) -> None:
        self.file, self.parts, self.every = file, parts, every

    def resume(self) -> int:
        """Take up what was kept, if anything was; returns the step to go on with."""
        if not self.file.exists():
            return 0
        saved = torch.load(self.file, weights_only=True)
        for name, part in self.parts.items():
            part.load_state_dict(saved[name])
        return int(saved["step"])

    def keep(self, step: int) -> None:
        """Keep the parts as they are after this step, every so many steps."""
        if (step + 1) % self.every == 0:
            state = {name: part.state_dict() for name, part in self.parts.items()} | {"step": step + 1}
            torch.save(state, self.file.with_suffix(".partial"))
            self.file.with_suffix(".partial").replace(self.file)

    def remove(self) -> None:
        """Leave nothing behind."""
        self.file.unlink(missing_ok=True)


class Progress:
    """Counts steps and prints the loss, the speed and the time left now and then."""

    def __init__(self, label: str, steps: int, first: int = 0, every: int = 100) -> None:
        self.label, self.steps, self.first, self.every = label, steps, first, every
        self.loss: float | None = None

    def __iter__(self) -> Iterator[int]:
        started = time.monotonic()
        for step in range(self.first, self.steps):
            yield step
            done = step + 1 - self.first
            if (step + 1) % self.every == 0 or step + 1 == self.steps:
                speed = done / (time.monotonic() - started)
                left = (self.steps - step - 1) / speed
                print(
                    f"{self.label}: step {step + 1}/{self.steps}, loss {self.loss or 0:.4f}, {speed:.2f} steps/s,"
                    f" {left / 60:.1f} min left",
                    flush=True,
                )

    def report(self, loss: float) -> None:
        """Take in one step's loss; what is printed is a running mean."""
        self.loss = loss if self.loss is None else 0.98 * self.loss + 0.02 * loss


@dataclass(frozen=True)
class Course:
    """How a training goes: its name, its steps, and of what seed each of them draws; `decay` is the averages'."""

    label: str
    seed: int
    steps: int
    learning_rate: float
    warmup: int
    decay: float
    checkpoint_every: int


def train_steps(
    model: nn.Module, loss: Callable[[], Tensor], is_hidden: Callable[[str], bool], course: Course, checkpoint: Path
) -> None:
    """Descend on `loss`, going on from `checkpoint` if that file exists, and leave the averaged weights in `model`.

    Every step draws from its own seed, so a training that was interrupted ends as one that was not.
    """
    optimisers = Optimisers(model, course.learning_rate, is_hidden)
    averages = AveragedWeights(model, course.decay)
    first = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimisers.load_state_dict(saved["optimisers"])
        averages.averages = saved["averages"]
        first = saved["step"]
    progress = Progress(course.label, course.steps, first)
    for step in progress:
        torch.manual_seed(course.seed + step)
        found = loss()
        optimisers.step(found, constant_then_linear(step, course.steps, warmup=course.warmup))
        averages.update(step)
        progress.report(found.item())
        if (step + 1) % course.checkpoint_every == 0:
            state = {
                "model": model.state_dict(),
                "optimisers": optimisers.state_dict(),
                "averages": averages.averages,
                "step": step + 1,
            }
            torch.save(state, checkpoint.with_suffix(".partial"))
            checkpoint.with_suffix(".partial").replace(checkpoint)
    averages.swap()
