"""CUT: one translator, unpaired, whose output must hold at every place what the input holds there.

Park, Efros, Zhang and Zhu 2020, "Contrastive Learning for Unpaired Image-to-Image Translation". The translator's own
first half looks at input and output; a patch of the output must be nearer to the patch of the input at the same place
than to the input's other patches. No way back is learnt.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.models.cyclegan import ResNetGenerator
from ganvas.training.engine.distributed import World
from ganvas.training.engine.trainer import load_adam
from ganvas.training.schedule import set_adam
from ganvas.training.translator.config import TranslatorConfig
from ganvas.training.translator.trainer import TranslatorBatch, TranslatorTrainer

EMBEDDING = 256  # section 3 and appendix C.1 of the paper: heads of two layers of 256 units
_PATCHES = 2  # purpose of randomness, beside the trainer's own


class PatchContrast(nn.Module):
    """How surprising it is that patches of two pictures at the same place belong together: PatchNCE.

    Args:
        channels: of each map of features.
        patches: places compared, of each map.
        temperature: the smaller, the more the nearest wrong patch counts.
    """

    def __init__(self, channels: list[int], *, patches: int, temperature: float):
        super().__init__()
        self.patches, self.temperature = patches, temperature
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(width, EMBEDDING), nn.ReLU(), nn.Linear(EMBEDDING, EMBEDDING)) for width in channels
        )

    def forward(self, queries: list[Tensor], keys: list[Tensor], rng: torch.Generator) -> Tensor:
        """Cross-entropy of the right patch among all, [N]: the mean over maps and places of eq. 2 and 3.

        Args:
            queries: features of the output, [N, C, H, W] each.
            keys: features of the input; they take no gradients.
            rng: chooses the places, the same in all pictures of the batch.
        """
        each = []
        for head, query, key in zip(self.heads, queries, keys, strict=True):
            places = torch.randperm(key[0, 0].numel(), generator=rng)[: self.patches].to(key.device)
            q, k = (self._embed(head, features, places) for features in (query, key.detach()))
            logits = q @ k.transpose(1, 2) / self.temperature  # [N, S, S]
            right = torch.arange(len(places), device=logits.device).expand(len(logits), -1)
            each.append(F.cross_entropy(logits.transpose(1, 2), right, reduction="none").mean(dim=1))
        return torch.stack(each).mean(dim=0)

    def _embed(self, head: nn.Module, features: Tensor, places: Tensor) -> Tensor:
        """[N, C, H, W] → [N, S, EMBEDDING] of length 1, in float32."""
        return F.normalize(head(features.flatten(2)[:, :, places].transpose(1, 2)).float(), dim=2)


class ContrastTrainer(TranslatorTrainer):
    """A `TranslatorTrainer` that learns one way by contrast; the heads have an optimiser of their own."""

    def __init__(self, *args: Any, world: World, **options: Any):
        super().__init__(*args, world=world, **options)
        config: TranslatorConfig = self.config
        self.heads = build_patch_heads(self.G[config.direction], config).to(world.device)
        self.opt_heads = self._adam(list(self.heads.parameters()), self.g_lr, None)

    def unpaired_step(self, batch: TranslatorBatch) -> None:
        """The translator and the heads; then the discriminator."""
        config, way = self.config, self.config.direction
        source, target = batch.source(way), batch.target(way)
        count, places = len(source), self.random(_PATCHES)
        G = self.G[way]
        # The translator: with pictures of the target domain, which should stay as they are.
        self.opt_G.zero_grad(set_to_none=True)
        self.opt_heads.zero_grad(set_to_none=True)
        with self.only_generator_learns(), self.cast():
            output, keys = G.transform_and_encode(torch.cat([source, target]) if config.contrast_identity else source)
            surprise = self.heads(G.encode(output), keys, places)
            adversarial = self._adversarial_loss(self.D[way](output[:count]))
            others = config.contrast * surprise[:count]
            self.running_means.add(contrast=surprise[:count], loss_G=adversarial)
            if config.contrast_identity:
                others = others + config.contrast_identity * surprise[count:]
                self.running_means.add(identity=surprise[count:])
            self._backward(others, adversarial)
        self.apply_gradients(self.opt_G, self.params_G, "G")
        self.apply_gradients(self.opt_heads, list(self.heads.parameters()), "heads", norm=False)
        # The discriminator.
        self.learn_to_judge({way: output[:count]}, batch)

    def set_rates(self) -> None:
        """See `Trainer`; the heads learn at the translator's rate."""
        super().set_rates()
        set_adam(self.opt_heads, lr=self.g_lr * self.rate() * self.remedy.lr, betas=self.betas, every=None)

    def own_state(self) -> dict[str, Any]:
        """See `Trainer`."""
        return {**super().own_state(), "heads": self.heads.state_dict(), "opt_heads": self.opt_heads.state_dict()}

    def load_own_state(self, state: dict[str, Any]) -> None:
        """See `Trainer`."""
        super().load_own_state(state)
        self.heads.load_state_dict(state["heads"])
        load_adam(self.opt_heads, state["opt_heads"])


@torch.no_grad()
def build_patch_heads(G: ResNetGenerator, config: TranslatorConfig) -> PatchContrast:
    """Fresh heads for a translator's features; the same for the same seed."""
    device = next(G.parameters()).device
    px = config.resolution
    channels = [one.shape[1] for one in G.encode(torch.zeros(1, G.in_channels, px, px, device=device))]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return PatchContrast(channels, patches=config.patches, temperature=config.temperature)
