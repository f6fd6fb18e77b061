"""Learn the small network of parts that ships (ganvas/features/parts.py) from what the model `faces` paints.

    ganvas parts learn faces -o clusters.png            look, then name the clusters; these four names are used here:
    ganvas parts learn faces --name 1=background,0=skin,4=hair,5=clothes,…
    python tools/learn_parts.py label 1500 --nets FOLDER --out labels.npz
    python tools/learn_parts.py teach labels.npz --out ganvas/features/data/face-parts.safetensors --minutes 60

Nobody's photo and nobody's labels are in it. Background, skin, hair and clothes are the generator's own features,
clustered, with four names (DatasetGAN, Zhang et al. 2021, without a labelled map); a watershed on the sample brings
their borders to the pixels, since features of 64 px reach a little beyond a head, and what lies outside the oval of a
face in the hair's colour is hair. Brows, eyes, iris, lips and mouth are polygons of a landmark network that is used
here only: mediapipe's face mesh and iris networks (Apache-2.0, FOLDER is `mediapipe/modules` of its PyPI wheel 0.10.14,
run by ai-edge-litert; opencv-python-headless is needed too). What ships is ours alone.

The samples are varied so that the network holds on photos: light, colour, blur, noise, JPEG, turns, mirrored, nearer
and farther, other backgrounds, and, thanks to the labels, other complexions, hair and clothes on the same face.
"""

from __future__ import annotations

import argparse
import io
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

import ganvas
from ganvas.features.part_clusters import PartClusters, find_part_clusters, read_part_features
from ganvas.features.parts import PARTS, PARTS_PX, PartsNetwork
from ganvas.ops.precision import fast_dtype
from ganvas.weights.checkpoint import fingerprint

LABEL_PX = PARTS_PX // 2
COARSE = ("background", "skin", "hair", "clothes")
DRAWN = ("brows", "whites", "iris", "lips", "mouth")  # by polygons
BATCH, KEPT = 16, 40  # samples of a step; of the report
WEIGHTS = torch.tensor([1, 1, 2, 3, 4, 2, 3, 1, 1.0])  # of the parts in the loss: small ones count more
MIN_FACE_SCORE = 0.8
REACH = {"background": 7, "others": 13}  # px of a 256-px sample by which a part's sure inside is narrower
# Points of the face mesh (468) and of the iris network.
OVAL = [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149]
OVAL += [150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]
LIPS = [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185]
MOUTH = [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191]
BROWS = [[70, 63, 105, 66, 107, 55, 65, 52, 53, 46], [300, 293, 334, 296, 336, 285, 295, 282, 283, 276]]
EYE_CORNERS = [(33, 133), (362, 263)]
LID = [0, 1, 2, 3, 4, 5, 6, 7, 8, 14, 13, 12, 11, 10, 9]
CHIN, UPPER_LIP = 152, 13

# -- labels


class FaceMesh:
    """mediapipe's landmark networks on an aligned picture: pixels uint8 [S, S, 3]."""

    def __init__(self, folder: Path):
        from ai_edge_litert.interpreter import Interpreter

        self.nets = {}
        for name, file in (
            ("mesh", "face_landmark/face_landmark.tflite"),
            ("iris", "iris_landmark/iris_landmark.tflite"),
        ):
            self.nets[name] = Interpreter(str(folder / file), num_threads=1)
            self.nets[name].allocate_tensors()

    def _run(self, name: str, pixels: np.ndarray) -> list[np.ndarray]:
        net = self.nets[name]
        net.set_tensor(net.get_input_details()[0]["index"], pixels[None].astype(np.float32) / 255)
        net.invoke()
        return [net.get_tensor(out["index"]) for out in net.get_output_details()]

    def find(self, pixels: np.ndarray) -> tuple[np.ndarray, float]:
        """[468, 2] points and a score; looked for twice, the second time where the first found the face."""
        side = pixels.shape[0]
        middle, size = np.array([0.5, 0.58]) * side, 0.8 * side
        for _ in range(2):
            points, score = self._run("mesh", _cut(pixels, middle, size, 192))
            found = points.reshape(-1, 3)[:, :2] / 192 * size + middle - size / 2
            middle, size = (found.min(axis=0) + found.max(axis=0)) / 2, np.ptp(found, axis=0).max() * 1.5
        return found, 1 / (1 + math.exp(-float(score.ravel()[0])))

    def eyes(self, pixels: np.ndarray, points: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Lids and iris of both eyes, as polygons."""
        both = []
        for mirrored, (inner, outer) in enumerate(EYE_CORNERS):
            middle, size = (points[inner] + points[outer]) / 2, np.linalg.norm(points[inner] - points[outer]) * 2.3
            patch = _cut(pixels, middle, size, 64)
            lid, iris = (x.reshape(-1, 3)[:, :2] for x in self._run("iris", patch[:, ::-1] if mirrored else patch))
            lid, iris = (np.stack([64 - q[:, 0] if mirrored else q[:, 0], q[:, 1]], axis=1) for q in (lid, iris))
            lid, iris = (q / 64 * size + middle - size / 2 for q in (lid, iris))
            radius, turn = np.linalg.norm(iris[1:] - iris[0], axis=1).mean(), np.linspace(0, 2 * np.pi, 25)[:-1]
            both.append((lid[LID], iris[0] + radius * np.stack([np.cos(turn), np.sin(turn)], axis=1)))
        return both


def _cut(pixels: np.ndarray, middle: np.ndarray, size: float, px: int) -> np.ndarray:
    import cv2

    scale = px / size
    matrix = np.array([[scale, 0, px / 2 - middle[0] * scale], [0, scale, px / 2 - middle[1] * scale]])
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.warpAffine(pixels, matrix, (px, px), flags=way, borderMode=cv2.BORDER_REPLICATE)


def _fill(side: int, polygons: list[np.ndarray]) -> np.ndarray:
    """[side, side] in [0, 1], smooth at the edges."""
    import cv2

    mask = np.zeros((side * 4, side * 4), np.uint8)
    for polygon in polygons:
        cv2.fillPoly(mask, [np.round(polygon * 4).astype(np.int32)], 255)
    return cv2.resize(mask, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def draw_features(mesh: FaceMesh, pixels: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[len(DRAWN), S, S]: brows, whites, iris, lips and mouth."""
    side, eyes = pixels.shape[0], mesh.eyes(pixels, points)
    opening = _fill(side, [lid for lid, _ in eyes])
    iris = np.minimum(_fill(side, [circle for _, circle in eyes]), opening)
    mouth = _fill(side, [points[MOUTH]])
    lips = np.clip(_fill(side, [points[LIPS]]) - mouth, 0, 1)
    return np.stack([_fill(side, [points[brow] for brow in BROWS]), opening - iris, iris, lips, mouth])


def move_hair(areas: np.ndarray, pixels: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Areas with the hair beside a face, which clusters give to the skin: outside its oval, in the hair's colour."""
    import cv2

    oval = np.zeros(areas.shape, np.uint8)
    middle = points[OVAL].mean(axis=0)
    cv2.fillPoly(oval, [np.round((points[OVAL] - middle) * 0.97 + middle).astype(np.int32)], 1)
    lab = cv2.cvtColor(cv2.GaussianBlur(pixels, (0, 0), 1), cv2.COLOR_RGB2LAB).astype(np.float32) * [0.7, 1, 1]
    skin, hair = (areas == 1) & (oval > 0), cv2.erode((areas == 2).astype(np.uint8), np.ones((5, 5))) > 0
    if skin.sum() < 500 or hair.sum() < 300:
        return areas
    to_skin, to_hair = (np.linalg.norm(lab - np.median(lab[part], axis=0), axis=2) for part in (skin, hair))
    lowest = points[UPPER_LIP, 1] + 0.4 * (points[CHIN, 1] - points[UPPER_LIP, 1])  # below it is the shadow of the chin
    rows = np.arange(len(areas))[:, None]
    moved = (areas == 1) & (oval == 0) & (to_hair < 0.8 * to_skin) & (rows < lowest)
    return np.where(cv2.medianBlur(moved.astype(np.uint8), 5) > 0, 2, areas)


def sharpen_borders(areas: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Areas with their borders where the picture has its own (Meyer's watershed), within some pixels."""
    import cv2

    seeds = np.zeros(areas.shape, np.int32)
    for number, name in enumerate(COARSE):
        reach = REACH.get(name, REACH["others"])
        inside = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
        seeds[cv2.erode((areas == number).astype(np.uint8), inside, borderValue=1) > 0] = number + 1
    sharp = cv2.watershed(np.ascontiguousarray(cv2.GaussianBlur(pixels, (0, 0), 0.7)[:, :, ::-1]), seeds)
    return np.where(sharp > 0, sharp - 1, areas)


def make_label(
    generator: Any, clusters: PartClusters, mesh: FaceMesh, ws: Tensor
) -> tuple[np.ndarray, np.ndarray, float]:
    """A sample: pixels [256, 256, 3], parts uint8 [len(PARTS), 128, 128], and how surely it is a face."""
    img = generator.synthesis(ws, resolution=PARTS_PX, precision="fast").float().clamp(-1, 1)
    pixels = ((img[0].permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()
    p = clusters.parse(read_part_features(generator, ws))
    p = F.interpolate(p[:, [clusters.parts.index(name) for name in COARSE]], (PARTS_PX, PARTS_PX), mode="bilinear")
    points, score = mesh.find(pixels)
    areas = sharpen_borders(move_hair(p[0].argmax(dim=0).numpy(), pixels, points), pixels)
    drawn = draw_features(mesh, pixels, points)
    rest = np.clip(1 - drawn.sum(axis=0), 0, 1)
    whole = np.zeros((len(PARTS), PARTS_PX, PARTS_PX), np.float32)
    for number, name in enumerate(COARSE):
        whole[PARTS.index(name)] = (areas == number) * rest
    for name, mask in zip(DRAWN, drawn, strict=True):
        whole[PARTS.index(name)] = mask
    small = whole.reshape(len(PARTS), LABEL_PX, 2, LABEL_PX, 2).mean(axis=(2, 4))
    return pixels, np.round(255 * small / small.sum(axis=0).clip(1e-6)).astype(np.uint8), score


@torch.no_grad()
def label(count: int, nets: Path, out: Path, seed: int) -> None:
    """Write samples with truncations from .5 to 1, and their parts."""
    generator, mesh, rng = ganvas.load("faces"), FaceMesh(nets), torch.Generator().manual_seed(seed)
    clusters = find_part_clusters(fingerprint(generator))
    if clusters is None or set(COARSE) - set(clusters.parts):
        raise SystemExit(f"name the clusters of faces first: {', '.join(COARSE)} (see the top of this file)")
    rows = []
    for number in range(count):
        psi = 0.5 + 0.5 * torch.rand((), generator=rng).item()
        ws = generator.mapping(torch.randn(1, generator.z_dim, generator=rng), truncation_psi=psi)
        rows.append(make_label(generator, clusters, mesh, ws))
        if number % 100 == 99:
            print(f"{number + 1} of {count}", flush=True)
    pixels, labels, scores = zip(*rows, strict=True)
    np.savez(out, img=np.stack(pixels).transpose(0, 3, 1, 2), lab=np.stack(labels), ok=np.array(scores))


# -- variation


class Varied:
    """Batches of samples as photos might be; see the top of this file."""

    def __init__(self, img: np.ndarray, lab: np.ndarray, rows: np.ndarray, seed: int = 0):
        self.img, self.lab, self.rows = img, lab, rows
        self.rng, self.torch_rng = np.random.default_rng(seed), torch.Generator().manual_seed(seed)

    def batch(self) -> tuple[Tensor, Tensor]:
        """img [16, 3, 256, 256] in [-1, 1], parts [16, len(PARTS), 128, 128]."""
        chosen = self.rng.choice(self.rows, BATCH, replace=False)
        x, y = (torch.from_numpy(table[chosen]).float() / 255 for table in (self.img, self.lab))
        x, y = self._move(x, y)
        x = self._recolour(x, F.interpolate(y, (PARTS_PX, PARTS_PX), mode="bilinear"))
        return self._spoil(self._relight(x)) * 2 - 1, y

    def _rand(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.torch_rng)

    def _some(self, share: float) -> Tensor:
        return (self._rand(BATCH, 1, 1, 1) < share).float()

    def _move(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Mirrored, turned, shifted, nearer, and (a quarter) much farther: what lies beyond is mirrored or goes on."""
        turn = (self._rand(BATCH) - 0.5) * 0.6 * (self._rand(BATCH) < 0.7)
        zoom = torch.exp((self._rand(BATCH) - 0.5) * 0.44)
        zoom = torch.where(self._rand(BATCH) < 0.25, 1 + 0.7 * self._rand(BATCH), zoom)
        flip = torch.where(self._rand(BATCH) < 0.5, -1.0, 1.0) * (1 + (self._rand(BATCH) - 0.5) * 0.12)
        c, s = torch.cos(turn) * zoom, torch.sin(turn) * zoom
        across, down = ((self._rand(BATCH) - 0.5) * 0.16 * zoom for _ in range(2))
        rows = torch.stack([c * flip, -s, across], dim=1), torch.stack([s * flip, c, down], dim=1)
        theta, beyond = torch.stack(rows, dim=1), "reflection" if self._rand(1) < 0.5 else "border"
        return tuple(  # type: ignore[return-value]
            F.grid_sample(one, F.affine_grid(theta, list(one.shape), align_corners=False), "bilinear", beyond, False)
            for one in (x, y)
        )

    def _recolour(self, x: Tensor, y: Tensor) -> Tensor:
        """Other complexions, hair, clothes and backgrounds, part by part."""
        part = {name: y[:, i : i + 1] for i, name in enumerate(PARTS)}
        dark = torch.exp(-1.5 * self._rand(BATCH, 1, 1, 1) * self._some(0.55))
        tone = 1 + (self._rand(BATCH, 3, 1, 1) - 0.5) * 0.16
        skin, lips = x ** (1 + 0.25 * (1 - dark)) * dark * tone, x * (0.5 + 0.5 * dark)
        x = x + part["skin"] * (skin - x) + part["lips"] * (lips - x)
        tint = 1 + (self._rand(BATCH, 3, 1, 1) - 0.5) * 0.5 * self._some(0.5)
        tint = tint * torch.exp((self._rand(BATCH, 1, 1, 1) - 0.5) * 1.6 * self._some(0.5))
        grey = 0.35 * self._rand(BATCH, 1, 1, 1) * self._some(0.2)
        x = x + (part["hair"] + part["brows"]) * (x * tint * (1 - grey) + grey - x)
        dye = torch.exp((self._rand(BATCH, 3, 1, 1) - 0.5) * 1.6) * torch.exp((self._rand(BATCH, 1, 1, 1) - 0.5) * 1.5)
        share = 0.6 * self._rand(BATCH, 1, 1, 1) * self._some(0.4)
        x = x + part["clothes"] * (x * dye * (1 - share) + self._rand(BATCH, 3, 1, 1) * share - x)
        behind = ((part["background"] - 0.5) * 1.6 + 0.5).clamp(0, 1) * self._some(0.5)
        return (x + behind * (self._backdrop() - x)).clamp(0, 1)

    def _backdrop(self) -> Tensor:
        """One colour, a gradient, another sample upside down, or noise of all sizes, as leaves and water have."""
        size, corners = [PARTS_PX, PARTS_PX], self._rand(BATCH, 3, 2, 2)
        plain = F.interpolate(corners, size, mode="bilinear", align_corners=True)
        plain = torch.where(self._some(0.5) > 0, plain, corners[:, :, :1, :1].expand_as(plain))
        other = torch.from_numpy(self.img[self.rng.integers(0, len(self.img), BATCH)]).float().flip(2) / 255
        px = int(self.rng.choice([12, 30, 64, 128, 256]))
        busy, kind = (
            F.interpolate(F.interpolate(other, [px, px], mode="area"), size, mode="bilinear"),
            self._rand(BATCH),
        )
        noise = corners.mean(dim=(2, 3), keepdim=True).expand(-1, -1, *size)
        for across in (3, 8, 20, 50, 110, 256):
            down, loud = max(2, int(across * (0.4 + 1.2 * self.rng.random()))), 0.25 if across < 9 else 0.16
            grey, colour = (torch.randn(BATCH, n, down, across, generator=self.torch_rng) for n in (1, 3))
            octave = F.interpolate(grey + 0.35 * colour, size, mode="bilinear")
            noise = noise + loud * self._rand(BATCH, 1, 1, 1) * octave
        kind = kind[:, None, None, None]
        return torch.where(kind < 0.3, busy, torch.where(kind < 0.7, noise.clamp(0, 1), plain))

    def _relight(self, x: Tensor) -> Tensor:
        x = x ** torch.exp((self._rand(BATCH, 1, 1, 1) - 0.5) * 1.4)
        x = x * (1 + (self._rand(BATCH, 3, 1, 1) - 0.5) * 0.3) * (0.75 + 0.45 * self._rand(BATCH, 1, 1, 1))
        x = x + (self._rand(BATCH, 1, 1, 1) - 0.5) * 0.12
        ramp, way = torch.linspace(-1, 1, PARTS_PX), self._rand(BATCH, 2, 1, 1) - 0.5
        slope = 0.7 * (way[:, :1] * ramp + way[:, 1:] * ramp[:, None])
        x = x * torch.exp(slope * self._some(0.4))
        grey = x.mean(dim=1, keepdim=True)
        return grey + (x - grey) * (0.5 + 0.9 * self._rand(BATCH, 1, 1, 1)) * (1 - self._some(0.12))

    def _spoil(self, x: Tensor) -> Tensor:
        """Softer or sharper, smaller, noisy, compressed."""
        soft, how = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), 3, 1), self._rand(BATCH, 1, 1, 1)
        x = torch.where(
            how < 0.35, x.lerp(soft, how / 0.35), torch.where(how > 0.6, x + (x - soft) * (how - 0.6) * 3, x)
        )
        for i in range(BATCH):
            if self.rng.random() < 0.15:
                px = int(self.rng.integers(64, 160))
                small = F.interpolate(x[i : i + 1], [px, px], mode="area")
                x[i : i + 1] = F.interpolate(small, [PARTS_PX, PARTS_PX], mode="bilinear")
        noise = torch.randn(x.shape, generator=self.torch_rng)
        x = (x + 0.05 * noise * self._rand(BATCH, 1, 1, 1) ** 2).clamp(0, 1)
        for i in range(BATCH):
            if self.rng.random() < 0.3:
                x[i] = self._compress(x[i], int(self.rng.integers(25, 90)))
        return x

    @staticmethod
    def _compress(x: Tensor, quality: int) -> Tensor:
        file = io.BytesIO()
        Image.fromarray((x.permute(1, 2, 0) * 255).byte().numpy()).save(file, "JPEG", quality=quality)
        return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1) / 255


# -- teaching


def _loss(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy with weights, and Dice (Milletari et al. 2016, "V-Net"), which counts a small part as a large."""
    p = logits.softmax(dim=1)
    entropy = -(y * logits.log_softmax(dim=1) * WEIGHTS[:, None, None]).sum(dim=1).mean()
    both, each = (p * y).sum(dim=(0, 2, 3)), (p * p + y * y).sum(dim=(0, 2, 3))
    return entropy + 0.5 * (1 - (2 * both + 1) / (each + 1)).mean()


@torch.no_grad()
def _report(weights: dict[str, Tensor], img: np.ndarray, lab: np.ndarray) -> None:
    net = PartsNetwork().eval()
    net.load_state_dict(weights)
    found = torch.cat([net(part / 127.5 - 1) for part in torch.from_numpy(img).float().split(8)]).argmax(dim=1)
    truth, shares = torch.from_numpy(lab).argmax(dim=1), []
    for number, name in enumerate(PARTS):
        ours, theirs = found == number, truth == number
        shares.append(f"{name} {(ours & theirs).sum() / (ours | theirs).sum().clamp(min=1):.3f}")
    print("samples kept apart, IoU: " + ", ".join(shares), flush=True)


def teach(files: list[Path], start: Path | None, out: Path, minutes: float, lr: float) -> None:
    """Teach for so many minutes, report, write the running mean of the weights."""
    torch.manual_seed(0)
    img, lab, ok = (np.concatenate([np.load(file)[name] for file in files]) for name in ("img", "lab", "ok"))
    varied = Varied(img, lab, np.flatnonzero(ok[:-KEPT] > MIN_FACE_SCORE))
    net = PartsNetwork()
    if start:
        net.load_state_dict({name: w.float() for name, w in load_file(start).items()})
    net.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=1e-2)
    mean = {name: w.detach().clone() for name, w in net.state_dict().items()}
    started, step, low = time.monotonic(), 0, fast_dtype("cpu")
    while (share := (time.monotonic() - started) / (60 * minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = lr * min(1, (step + 1) / 20) * (0.5 + 0.5 * math.cos(math.pi * share))
        x, y = varied.batch()
        with torch.autocast("cpu", dtype=low, enabled=low != torch.float32):
            logits = net(x.contiguous(memory_format=torch.channels_last))
        loss = _loss(logits.float(), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        keep = min(0.97, (step + 1) / (step + 10))
        for name, w in net.state_dict().items():
            mean[name] = mean[name].lerp(w.detach(), 1 - keep) if w.is_floating_point() else w.clone()
        step += 1
        if step % 50 == 0:
            print(f"step {step}, loss {loss.item():.3f}, {60 * minutes * (1 - share):.0f} seconds left", flush=True)
    _report(mean, img[-KEPT:], lab[-KEPT:])
    card = {"taught_on": f"{len(img)} samples of the model faces", "steps": str(step)}
    save_file({n: w.half().contiguous() if w.is_floating_point() else w for n, w in mean.items()}, out, card)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("label")
    one.add_argument("count", type=int)
    one.add_argument("--nets", type=Path, required=True, help="mediapipe/modules")
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--seed", type=int, default=7)
    two = commands.add_parser("teach")
    two.add_argument("files", type=Path, nargs="+")
    two.add_argument("--start", type=Path, help="weights to go on from")
    two.add_argument("--out", type=Path, required=True)
    two.add_argument("--minutes", type=float, default=60)
    two.add_argument("--lr", type=float, default=2.5e-3)
    a = parser.parse_args()
    if a.command == "label":
        label(a.count, a.nets, a.out, a.seed)
    else:
        teach(a.files, a.start, a.out, a.minutes, a.lr)


if __name__ == "__main__":
    main()
