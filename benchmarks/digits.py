"""Are the classes of a conditional generator recognisable? A small classifier learns them from the data, and judges.

The categories that an InfoGAN found by itself have no names: each counts as the digit that most of its fakes are taken
for, and its codes are shown beside them, from -2.5 to 2.5.

    ganvas train --data digits --labels auto --preset dcgan-64 --resolution 16 --channels 1 --set mirror=false \\
        --set generator.ngf=32 --set discriminator.ndf=32 --minutes 9
    python benchmarks/digits.py --data digits --model runs/digits-dcgan-64/model.safetensors --sheet digits.png
"""

import argparse

import torch
from torch import nn

import ganvas
from ganvas.datasets import open_image_dataset
from ganvas.images.contact_sheet import grid

HELD_OUT, EPOCHS, FAKES = 0.25, 15, 1000


def learn_classifier(img, classes, count):
    """Two convolutions, on three quarters of the data; returns it with its accuracy on the rest."""
    order = torch.randperm(len(img), generator=torch.Generator().manual_seed(0))
    held_out, rest = order[: int(HELD_OUT * len(img))], order[int(HELD_OUT * len(img)) :]
    size = img.shape[2] // 4
    layers = [nn.Conv2d(img.shape[1], 32, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(32, 64, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.3)]
    net = nn.Sequential(*layers, nn.Linear(64 * size**2, count))
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    for _ in range(EPOCHS):
        for batch in rest[torch.randperm(len(rest))].split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(img[batch]), classes[batch]).backward()
            optimiser.step()
    net.eval()
    with torch.no_grad():
        return net, float((net(img[held_out]).argmax(1) == classes[held_out]).float().mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--sheet")
    options = parser.parse_args()
    torch.manual_seed(0)
    G = ganvas.load(options.model)
    pictures = open_image_dataset(options.data, resolution=G.img_resolution, channels=G.img_channels)
    pixels, c = pictures.batch(range(len(pictures)))
    net, accuracy = learn_classifier(pixels.float() / 127.5 - 1, c.argmax(1), G.c_dim)
    print(f"classifier, on held-out images: {accuracy:.3f}")
    z = torch.randn(FAKES, G.z_dim, generator=torch.Generator().manual_seed(1))
    wanted = torch.arange(FAKES) % G.c_dim
    with torch.no_grad():
        img = G(z, nn.functional.one_hot(wanted, G.c_dim).float()).clamp(-1, 1)
        named = net(img).argmax(1)
        if G.facts.get("categories"):
            digits = torch.stack([named[wanted == k].mode().values for k in range(G.c_dim)])
            print(f"digits of the categories: {digits.tolist()}")
        else:
            digits = torch.arange(G.c_dim)
        print(f"fakes whose class it recognises: {float((named == digits[wanted]).float().mean()):.3f}")
    if options.sheet:
        columns = [torch.cat([img[wanted == k][:10] for k in range(G.c_dim)]), *sweep_codes(G)]
        sheets = [grid(enlarge(one), columns=10, gap_px=2) for one in columns]
        gap = torch.ones(1, 3, sheets[0].shape[2], 12)
        ganvas.write_image(torch.cat([part for sheet in sheets for part in (gap, sheet)][1:], dim=3), options.sheet)


def enlarge(img):
    return img.expand(-1, 3, -1, -1).repeat_interleave(2, 2).repeat_interleave(2, 3)


@torch.no_grad()
def sweep_codes(G):
    """For each learnt code: rows of a category, the code from low to high in one and the same noise."""
    codes = G.facts.get("codes", 0)
    for code in range(codes):
        z = torch.randn(1, G.z_dim, generator=torch.Generator().manual_seed(3)).repeat(10, 1)
        z[:, -codes:] = 0
        z[:, code - codes] = torch.linspace(-2.5, 2.5, 10)
        yield torch.cat([G(z, torch.eye(G.c_dim)[[k] * 10]) for k in range(G.c_dim)]).clamp(-1, 1)


if __name__ == "__main__":
    main()
