"""Are the classes of a conditional generator recognisable? A small classifier learns them from the data, and judges.

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
        print(f"fakes whose class it recognises: {float((net(img).argmax(1) == wanted).float().mean()):.3f}")
    if options.sheet:
        rows = torch.cat([img[wanted == k][:10] for k in range(G.c_dim)]).expand(-1, 3, -1, -1)
        ganvas.write_image(
            grid(rows.repeat_interleave(2, 2).repeat_interleave(2, 3), columns=10, gap_px=2), options.sheet
        )


if __name__ == "__main__":
    main()
