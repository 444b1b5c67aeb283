"""Writes test/fixtures/training/balancing.json: gradient balancing by PyTorch's autograd and optimisers.

Three tasks share one parameter; each has one of its own too. In each window the losses and gradients of the tasks that
occur in it are noted, and the gradient of the step that each kind of balancing makes of them, by the formulas as they
stand in the papers. The weights then move along that gradient. All of it is in float64.

Run from the project root: python parity/balancing.py
"""

import json
import platform
from pathlib import Path

import torch

SEED = 17
OUT = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "training" / "balancing.json"
TASKS = ["a", "b", "c"]
FACTORS = {"a": 0.6, "b": 0.3, "c": 0.1}
# The second window has two tasks only.
WINDOWS = ["abc", "ab", "abc", "abc", "cab", "abc", "abc", "abc"]
RATE = 0.025
ALPHA, MOMENTUM, CLIP = 1.5, 0.9, 0.7


class Problem:
    """Task k's loss is a mean square over [shared, own], with targets that pull the shared part apart."""

    def __init__(self):
        torch.manual_seed(SEED)
        double = {"dtype": torch.float64}
        self.parameters = [torch.randn(4, **double), *(torch.randn(2, **double) for _ in TASKS)]
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        self.maps = [torch.randn(5, 6, **double) * scale for scale in (1.0, 0.4, 2.0)]
        self.targets = [torch.randn(5, **double) * scale for scale in (1.0, 3.0, 0.5)]

    def losses(self, step):
        shared, *own = self.parameters
        return {
            task: (self.maps[k] @ torch.cat([shared, own[k]]) - self.targets[k]).square().mean() + 0.1 * (step % 3)
            for k, task in enumerate(TASKS)
        }

    def gradient(self, loss):
        grads = torch.autograd.grad(loss, self.parameters, retain_graph=True, allow_unused=True)
        return [torch.zeros_like(p) if g is None else g for p, g in zip(self.parameters, grads)]


def flat(gradient):
    return torch.cat([part.reshape(-1) for part in gradient])


class Fixed:
    def mix(self, tasks, losses, gradients):
        weights = {task: FACTORS[task] for task in tasks}
        return weights, sum(weights[task] * gradients[task] for task in tasks)


class LossScale:
    def __init__(self):
        self.means = {}

    def mix(self, tasks, losses, gradients):
        for task in tasks:
            loss = losses[task].item()
            self.means[task] = MOMENTUM * self.means[task] + (1 - MOMENTUM) * loss if task in self.means else loss
        inverse = {task: 1 / mean for task, mean in self.means.items()}
        total = sum(inverse.values())
        weights = {task: FACTORS[task] * inverse[task] / total * len(inverse) for task in tasks}
        return weights, sum(weights[task] * gradients[task] for task in tasks)


class Uncertainty:
    def __init__(self):
        self.v = {task: torch.zeros((), dtype=torch.float64, requires_grad=True) for task in TASKS}
        self.optimizer = torch.optim.Adam(self.v.values(), lr=RATE)

    def mix(self, tasks, losses, gradients):
        weights = {task: FACTORS[task] * torch.exp(-self.v[task]).item() / 2 for task in tasks}
        self.optimizer.zero_grad(set_to_none=True)
        sum(torch.exp(-self.v[task]) / 2 * losses[task].detach() + self.v[task] / 2 for task in tasks).backward()
        self.optimizer.step()
        return weights, sum(weights[task] * gradients[task] for task in tasks)


class GradNorm:
    def __init__(self):
        self.u = {task: torch.zeros((), dtype=torch.float64, requires_grad=True) for task in TASKS}
        self.optimizer = torch.optim.Adam(self.u.values(), lr=RATE)
        self.initial = {}

    def mix(self, tasks, losses, gradients):
        w = {task: self.u[task].exp() for task in tasks}
        weights = {task: FACTORS[task] * w[task].item() for task in tasks}
        for task in tasks:
            self.initial.setdefault(task, losses[task].item())
        if len(tasks) == len(TASKS):
            # The first four numbers are the shared parameter's.
            norms = torch.stack([w[task] * gradients[task][:4].norm() for task in tasks])
            ratios = torch.tensor([losses[task].item() / self.initial[task] for task in tasks], dtype=torch.float64)
            target = (norms.mean() * (ratios / ratios.mean()) ** ALPHA).detach()
            self.optimizer.zero_grad()
            (norms - target).abs().sum().backward()
            self.optimizer.step()
            with torch.no_grad():
                total = sum(u.exp() for u in self.u.values())
                for u in self.u.values():
                    u += torch.log(len(TASKS) / total)
        return weights, sum(weights[task] * gradients[task] for task in tasks)


class PCGrad:
    def mix(self, tasks, losses, gradients):
        total = torch.zeros_like(gradients[tasks[0]])
        for task in tasks:
            projected = gradients[task].clone()
            for other in tasks:
                against = gradients[other]
                if other != task and projected @ against < 0:
                    projected -= (projected @ against) / (against @ against) * against
            total += FACTORS[task] * projected
        return {task: FACTORS[task] for task in tasks}, total


def clipped(gradient):
    parameter = torch.nn.Parameter(torch.zeros_like(gradient))
    parameter.grad = gradient.clone()
    torch.nn.utils.clip_grad_norm_([parameter], CLIP)
    return parameter.grad


def run(balancing, clip):
    problem = Problem()
    windows = []
    for step, names in enumerate(WINDOWS):
        tasks = list(names)
        losses = problem.losses(step)
        parts = {task: problem.gradient(losses[task]) for task in tasks}
        gradients = {task: flat(parts[task]) for task in tasks}
        used = {task: clipped(g) for task, g in gradients.items()} if clip else gradients
        weights, total = balancing.mix(tasks, losses, used)
        windows.append(
            {
                "tasks": tasks,
                "losses": [losses[task].item() for task in tasks],
                "gradients": [[part.tolist() for part in parts[task]] for task in tasks],
                "loss": sum(weights[task] * losses[task].item() for task in tasks),
                "step": total.tolist(),
            }
        )
        with torch.no_grad():
            sizes = [p.numel() for p in problem.parameters]
            for parameter, change in zip(problem.parameters, total.split(sizes)):
                parameter -= 0.1 * change
    return windows


def main():
    kinds = {"none": Fixed, "loss_scale": LossScale, "uncertainty": Uncertainty, "gradnorm": GradNorm, "pcgrad": PCGrad}
    cases = [
        {"balancing": name, "clip": clip, "windows": run(make(), clip)}
        for name, make in kinds.items()
        for clip in (False, True)
        if name != "none" or clip
    ]
    conflicts = [w for c in cases if c["balancing"] == "pcgrad" for w in c["windows"] if any_conflict(w)]
    assert conflicts, "no window has gradients that oppose each other"
    content = {
        "made_by": "parity/balancing.py",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "seed": SEED,
        "tasks": TASKS,
        "factors": FACTORS,
        "alpha": ALPHA,
        "momentum": MOMENTUM,
        "clip": CLIP,
        "cases": cases,
    }
    OUT.write_text(json.dumps(content, separators=(",", ":")) + "\n")


def any_conflict(window):
    vectors = [torch.tensor(sum(parts, [])) for parts in window["gradients"]]
    return any((a @ b).item() < 0 for a in vectors for b in vectors)


if __name__ == "__main__":
    main()
