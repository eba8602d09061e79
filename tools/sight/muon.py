"""Muon in float32 for the matrices, AdamW for everything else.

torch's own Muon orthogonalises in bfloat16, which a processor without that type does forty times slower; this one
also takes all matrices of a shape at once.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

MOMENTUM, DECAY, STEPS = 0.95, 0.02, 5


def orthogonal(matrices: Tensor) -> Tensor:
    """[n, rows, columns] -> the same with all singular values near 1 (quintic Newton-Schulz)."""
    wide = matrices.shape[1] <= matrices.shape[2]
    x = matrices if wide else matrices.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(STEPS):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x if wide else x.mT


class Muon:
    """params: matrices; those without a gradient rest. State is one momentum each, in the order given."""

    def __init__(self, params: Iterable[Tensor]) -> None:
        self.params = list(params)
        self.moments = [torch.zeros_like(param) for param in self.params]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        shapes: dict[torch.Size, list[int]] = {}
        for at, param in enumerate(self.params):
            if param.grad is None:
                continue
            shapes.setdefault(param.shape, []).append(at)
        for shape, places in shapes.items():
            pushes = []
            for at in places:
                grad = self.params[at].grad
                assert grad is not None
                self.moments[at].lerp_(grad, 1 - MOMENTUM)
                pushes.append(grad.lerp(self.moments[at], MOMENTUM))
            scale = max(1.0, shape[0] / shape[1]) ** 0.5
            for at, push in zip(places, orthogonal(torch.stack(pushes)), strict=True):
                self.params[at].mul_(1 - rate * DECAY).add_(push, alpha=-rate * scale)
