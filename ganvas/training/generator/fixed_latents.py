"""The same latents at every look at a run: their pictures differ only by what was learnt in between."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganvas.training.engine.trainer import mean_pairwise_distance
from ganvas.training.generator.batches import ImageFeed

DIVERSE_FAKES, DIVERSE_REALS = 32, 256  # whose diversity is compared


class FixedLatents:
    """Pictures of a run's fixed latents, and how different they are from one another.

    Args:
        feed: of the run; gives labels, and the real pictures to compare with.
        z_dim: of the generator.
    """

    def __init__(self, feed: ImageFeed, *, z_dim: int):
        self.feed, self.z_dim = feed, z_dim
        self._diversity_of_reals: float | None = None

    @torch.no_grad()
    def sample(self, G: nn.Module, count: int) -> Tensor:
        """float32 [count, C, R, R], in eval mode; G stays in the mode it was in."""
        seed, device = self.feed.config.seed, self.feed.world.device
        z = torch.randn(count, self.z_dim, generator=torch.Generator().manual_seed(seed)).to(device)
        c, training = self.feed.labels(count), G.training
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            img = G.eval()(z) if c is None else G.eval()(z, c)
        G.train(training)
        return img.float()

    @torch.no_grad()
    def diversity(self, G: nn.Module) -> float:
        """How different G's pictures are from one another, as a share of how different real ones are."""
        if self._diversity_of_reals is None:
            reals = self.feed.load(self.feed.spread_indices(DIVERSE_REALS))[0]
            self._diversity_of_reals = mean_pairwise_distance(reals)
        return mean_pairwise_distance(self.sample(G, DIVERSE_FAKES)) / max(self._diversity_of_reals, 1e-6)
