"""How well the parts of real photos are found: IoU with marks made by eye (tools/parts_marks.json).

    python tools/score_parts.py PHOTOS --nets FOLDER

PHOTOS is the folder of the portraits that the marks name, FOLDER `mediapipe/modules` (see learn_parts.py). How the 12
were marked: hair, skin (face, ears, neck) and clothes as polygons, read off a 512-px picture with a grid of 32 px by
eye; within 5 px of a polygon's line a watershed on the photo decides. Lips, eyes, iris and brows are mediapipe's
polygons, each looked at, none changed: they come from the network that the pupil learnt these parts from, so for them
the figures say how well it learnt, not how right they are. Mediapipe's selfie mask is scored beside ours on the same
marks; it played no part in learning.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import torch
from learn_parts import COARSE, FaceMesh, draw_features

from ganvas.features.parts import PARTS, parse_parts
from ganvas.images.crop import Crop
from ganvas.images.files import read_image

MARKS = Path(__file__).parent / "parts_marks.json"
SIDE, BAND = 512, 11  # px
FEWEST = 400  # pixels of a part that is worth a figure


def draw_marks(marks: dict, pixels: np.ndarray) -> np.ndarray:
    """[SIDE, SIDE]: the number in COARSE of each place."""
    areas = np.zeros((SIDE, SIDE), np.uint8)
    for name in ("clothes", "hair", "skin"):
        for polygon in marks.get(name, []):
            cv2.fillPoly(areas, [np.round(np.array(polygon) * SIDE).astype(np.int32)], COARSE.index(name))
    border = cv2.morphologyEx(areas, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    near = cv2.dilate(border.astype(np.uint8), np.ones((BAND - 2, BAND - 2), np.uint8)) > 0
    seeds = np.where(near, 0, areas.astype(np.int32) + 1)
    sharp = cv2.watershed(np.ascontiguousarray(cv2.GaussianBlur(pixels, (0, 0), 0.8)[:, :, ::-1]), seeds)
    return np.where(sharp > 0, sharp - 1, areas)


def find_person(nets: Path, pixels: np.ndarray) -> np.ndarray:
    """mediapipe's selfie mask."""
    from ai_edge_litert.interpreter import Interpreter

    net = Interpreter(str(nets / "selfie_segmentation/selfie_segmentation.tflite"), num_threads=1)
    net.allocate_tensors()
    small = cv2.resize(pixels, (256, 256), interpolation=cv2.INTER_AREA)[None].astype(np.float32) / 255
    net.set_tensor(net.get_input_details()[0]["index"], small)
    net.invoke()
    mask = net.get_tensor(net.get_output_details()[0]["index"])[0, ..., 0]
    return cv2.resize(mask, (SIDE, SIDE)) > 0.5


def score(photo: Path, marks: dict, mesh: FaceMesh, nets: Path) -> dict[str, float]:
    """IoU a part."""
    x, y, side, angle = marks["crop"]
    crop = Crop(x=x, y=y, side=side, angle_deg=angle).cut(read_image(photo).img, resolution=SIDE).clamp(-1, 1)
    pixels = ((crop[0].permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()
    areas, p = draw_marks(marks, pixels), parse_parts(crop)[0].numpy()
    ours = {name: p.argmax(axis=0) == i for i, name in enumerate(PARTS)}
    brows, whites, iris, lips, mouth = draw_features(mesh, pixels, mesh.find(pixels)[0]) > 0.5
    features = brows | whites | iris | lips | mouth
    truth = {name: (areas == i) & ~features for i, name in enumerate(COARSE)}
    truth |= {"background": areas == 0, "eyes": whites | iris, "iris": iris, "lips": lips, "brows": brows}
    ours |= {"eyes": ours["whites"] | ours["iris"]}
    found = {name: _iou(mask, ours[name]) for name, mask in truth.items() if mask.sum() > FEWEST or name in ("iris",)}
    found["person"] = _iou(areas != 0, p[0] < 0.5)
    found["person, selfie mask"] = _iou(areas != 0, find_person(nets, pixels))
    return found


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--nets", type=Path, required=True, help="mediapipe/modules")
    a = parser.parse_args()
    torch.set_num_threads(1)
    mesh, all_found = FaceMesh(a.nets), defaultdict(list)
    for name, marks in json.loads(MARKS.read_text()).items():
        found = score(a.photos / f"{name}.jpg", marks, mesh, a.nets)
        print(name, ", ".join(f"{part} {value:.2f}" for part, value in found.items()), flush=True)
        for part, value in found.items():
            all_found[part].append(value)
    print("mean: " + ", ".join(f"{part} {np.mean(v):.3f} ({len(v)})" for part, v in all_found.items()))


if __name__ == "__main__":
    main()
