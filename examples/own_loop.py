"""A training loop of your own: networks, loss, loader and checkpoint are parts. Run it again to train on.

python examples/own_loop.py --outdir own --steps 200
"""

import argparse
from pathlib import Path

import torch

import ganvas
from ganvas.datasets import ImageDataset
from ganvas.training.losses import NonSaturating
from ganvas.training.own_loop import BatchLoader, load_checkpoint, save_checkpoint

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--outdir", type=Path, default=Path("own"))
parser.add_argument("--steps", type=int, default=200)
options = parser.parse_args()

# Discs of random brightness; `ganvas.datasets.open_image_dataset("photos", resolution=16)` is a folder of yours.
torch.manual_seed(0)
axis = torch.linspace(-1, 1, 16)
disc = (axis[:, None] ** 2 + axis**2 < 0.5).float()
pictures = ImageDataset.from_pixels((torch.rand(256, 3, 1, 1) * disc * 255).to(torch.uint8))

G = ganvas.build("mlp", img_resolution=16, widths=(64, 128))
D = ganvas.build("mlp", network="D", img_resolution=16, widths=(64,))
opt_G, opt_D = (torch.optim.Adam(net.parameters(), 1e-3, (0.5, 0.999)) for net in (G, D))
loader, loss = BatchLoader(pictures, batch_size=16, mirror=True), NonSaturating()
parts = {"G": G, "D": D, "opt_G": opt_G, "opt_D": opt_D, "loader": loader}

checkpoint = options.outdir / "checkpoint.safetensors"
options.outdir.mkdir(parents=True, exist_ok=True)
if checkpoint.exists():
    load_checkpoint(checkpoint, **parts)
print(f"from image {loader.nimg}")

for _, (real, _) in zip(range(options.steps), loader, strict=False):
    fake = G(torch.randn(len(real), G.z_dim))
    opt_D.zero_grad()
    loss.discriminator(D(real), D(fake.detach())).mean().backward()
    opt_D.step()
    opt_G.zero_grad()
    loss.generator(D(fake)).mean().backward()
    opt_G.step()

save_checkpoint(checkpoint, **parts)
ganvas.save(G, options.outdir / "model.safetensors")
print(f"to image {loader.nimg}: ganvas generate --model {options.outdir / 'model.safetensors'}")
