"""Augmentation in one place: `Ada`, `DiffAugment`, and what decides how much of the first there should be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ganvas.errors import BadConfig, BadInput
from ganvas.training.ada import Ada
from ganvas.training.diffaugment import DiffAugment

__all__ = ["Ada", "AdaController", "DiffAugment"]


class AdaController:
    """Moves the probability p of ADA so that the discriminator overfits as much as the target says, and no more.

    The measure is r = mean sign(D(real)): 0 when D cannot tell, 1 when it knows every real picture. Every `interval`
    steps p goes up by a fixed amount where r is above the target, down where it is below.

    Args:
        target: the r that is held.
        ada_kimg: thousands of images in which p could go from 0 to 1; 500, and 100 for fine-tuning.
        p_max: p never goes above. Near 1 the generator learns the augmentations themselves ("leaking"); the paper
            finds 0.8 to be the end of what is safe.
        interval: steps between two moves.
        p: where it starts.

    Attributes:
        p: the probability to augment with.
        sign_real: r of the last window; None before the first.

    Raises:
        BadConfig: values out of range.

    Source: Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data", section 3.
    """

    def __init__(
        self, target: float = 0.6, ada_kimg: float = 500, p_max: float = 0.8, *, interval: int = 4, p: float = 0.0
    ):
        if not (-1 < target < 1 and ada_kimg > 0 and 0 < p_max <= 1 and interval >= 1 and 0 <= p <= p_max):
            raise BadConfig(
                "AdaController expects -1 < target < 1, ada_kimg > 0, 0 < p_max <= 1, interval >= 1 and "
                f"0 <= p <= p_max, got {target}, {ada_kimg}, {p_max}, {interval} and {p}"
            )
        self.target, self.ada_kimg, self.p_max, self.interval, self.p = target, ada_kimg, p_max, interval, p
        self.sign_real: float | None = None
        self._counts = torch.zeros(2)  # sum of signs and number of logits since the last move
        self._steps = 0
        self._pinned_nimg = 0

    @torch.no_grad()
    def observe(self, real_logits: Tensor) -> None:
        """Take in what D says of (augmented) real pictures; [N], or [N, P] of a patch discriminator.

        Zero must mean that D cannot tell: subtract `loss.neutral`, and where a loss has none (only differences of its
        logits mean something) choose p by other means.
        """
        signs = real_logits.detach().sign()
        counts = torch.stack([signs.float().sum(), torch.tensor(float(signs.numel()), device=signs.device)])
        self._counts = self._counts.to(counts.device) + counts

    def update(self, batch: int, *, reduce: Callable[[Tensor], Tensor] | None = None) -> None:
        """Call once a step; moves p when it is time.

        Args:
            batch: real pictures of the step, over all processes together.
            reduce: adds a tensor [2] up over all processes, so that all of them make the same move; called only when
                it is time, and in every process then.

        Raises:
            BadInput: nothing was seen in the whole window.
        """
        self._steps += 1
        if self._steps < self.interval:
            return
        total, number = (reduce(self._counts) if reduce else self._counts).tolist()
        if number == 0:
            raise BadInput("call AdaController.observe(real_logits) before AdaController.update.")
        self.sign_real = total / number
        images = batch * self._steps
        above = (self.sign_real > self.target) - (self.sign_real < self.target)
        self.p = min(max(self.p + above * images / (self.ada_kimg * 1000), 0.0), self.p_max)
        self._pinned_nimg = self._pinned_nimg + images if self.p == self.p_max and above >= 0 else 0
        self._counts, self._steps = torch.zeros(2), 0

    @property
    def leaking(self) -> bool:
        """p has stood at its ceiling for a tenth of `ada_kimg` and D still overfits: expect augmented-looking fakes.

        More of it would leak and less would overfit: more pictures, a stronger R1 or a smaller D are the way out.
        """
        return self._pinned_nimg >= 100 * self.ada_kimg

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {
            "p": self.p,
            "sign_real": self.sign_real,
            "counts": self._counts.cpu(),
            "steps": self._steps,
            "pinned_nimg": self._pinned_nimg,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`; p is kept below this controller's own ceiling."""
        self.p = min(state["p"], self.p_max)
        self.sign_real = state["sign_real"]
        self._counts = state["counts"].clone()
        self._steps, self._pinned_nimg = state["steps"], state["pinned_nimg"]
