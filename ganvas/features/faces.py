"""Faces in photos: a box, five landmarks and a score each.

Paper: Zhang et al. 2016, "Joint Face Detection and Alignment Using Multi-task Cascaded Convolutional Networks". Three
small networks: the first looks everywhere on an image pyramid, the second refuses most of what it proposed, the third
refines the rest and places the landmarks. Ours adds three things that photos need: large photos are searched small
first, the landmarks are the mean of the face and its mirror image, and a photo that lies on its side is turned.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.checks import check_img
from ganvas.errors import NoFace, WeightsError
from ganvas.features.face import Face
from ganvas.features.tilted_faces import find_tilted_faces, has_parts_in_place
from ganvas.weights.open_file import open_file

SEARCH_PX = 1280  # longest side of the first look; faces below 2 % of it wait for the second look
CLOSE_SEARCH_PX = 4096  # longest side of the second look, taken when the first finds nothing
MIN_FACE_PX = 24  # smallest face looked for, in pixels of the searched picture
PYRAMID_STEP = 0.709
THRESHOLDS = (0.6, 0.7, 0.8)
CELL_PX, STRIDE = 12, 2
MIRRORED = [1, 0, 2, 4, 3]  # a mirrored left eye is a right eye
MAX_CANDIDATES = 2000


class _PNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), nn.PReLU(10)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.conv4_1, self.conv4_2 = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.max_pool2d(self.prelu1(self.conv1(x)), 2, 2, ceil_mode=True)
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(x))))
        return self.conv4_1(x).softmax(dim=1)[:, 1], self.conv4_2(x)


class _RNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), nn.PReLU(28)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), nn.PReLU(48)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), nn.PReLU(64)
        self.dense4, self.prelu4 = nn.Linear(576, 128), nn.PReLU(128)
        self.dense5_1, self.dense5_2 = nn.Linear(128, 2), nn.Linear(128, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.max_pool2d(self.prelu1(self.conv1(x)), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self.prelu2(self.conv2(x)), 3, 2, ceil_mode=True)
        x = self.prelu4(self.dense4(_flat(self.prelu3(self.conv3(x)))))
        return self.dense5_1(x).softmax(dim=1)[:, 1], self.dense5_2(x)


class _ONet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), nn.PReLU(64)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), nn.PReLU(64)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), nn.PReLU(128)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), nn.PReLU(256)
        self.dense6_1, self.dense6_2, self.dense6_3 = nn.Linear(256, 2), nn.Linear(256, 4), nn.Linear(256, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = F.max_pool2d(self.prelu1(self.conv1(x)), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self.prelu2(self.conv2(x)), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self.prelu3(self.conv3(x)), 2, 2, ceil_mode=True)
        x = self.prelu5(self.dense5(_flat(self.prelu4(self.conv4(x)))))
        points = self.dense6_3(x).view(-1, 2, 5).transpose(1, 2)  # [N, 5, 2]: five x, then five y, in the weights
        return self.dense6_1(x).softmax(dim=1)[:, 1], self.dense6_2(x), points


def _flat(x: Tensor) -> Tensor:
    """The published weights were trained with width before height before channels."""
    return x.permute(0, 3, 2, 1).flatten(1)


class FaceFinder:
    """The three networks; `find` is the only thing they are for."""

    def __init__(self, folder: Path | str | None = None):
        """Read `pnet.pt`, `rnet.pt` and `onet.pt` from `folder`; None = the catalogue's `mtcnn`.

        Raises:
            WeightsError: a file is missing or holds something else.
            FetchError: not on this computer yet; the message has the command that fetches it.
        """
        if folder is None:
            from ganvas.weights.catalogue.catalogue import resolve

            folder = resolve("mtcnn")
        self.pnet, self.rnet, self.onet = (
            _read(net, Path(folder) / name)
            for net, name in ((_PNet(), "pnet.pt"), (_RNet(), "rnet.pt"), (_ONet(), "onet.pt"))
        )

    @torch.no_grad()
    def find(self, img: Tensor, *, turn: bool = True) -> list[Face]:
        """All faces of a photo, largest first; an empty list if there is none.

        Args:
            img: [1, 3, H, W] in [-1, 1], any size.
            turn: look again at the photo turned in steps of 30 degrees when no face stands upright in it.
        """
        check_img(img, who="FaceFinder.find")
        height, width = img.shape[2:]
        best = self._find_upright(img)
        if not turn or any(self._is_level(img, face) for face in best):
            return best
        tilted = find_tilted_faces(img, self._find_upright)
        if tilted:
            return tilted
        most = 0.0  # small faces in a large photo that lies on its side
        for turns in (1, 2, 3):
            turned = torch.rot90(img, turns, dims=(2, 3))
            faces = [face for face in self._find_upright(turned) if self._is_level(turned, face)]
            sure = sum(face.score for face in faces)
            if sure > most:
                best, most = [_turn_back(face, turns, width, height) for face in faces], sure
        return best

    def _is_level(self, img: Tensor, face: Face) -> bool:
        """Surely a face that stands upright, not on its head: its parts are where they belong."""
        return face.upright and has_parts_in_place(img, face.points)

    def _find_upright(self, img: Tensor) -> list[Face]:
        longest = max(img.shape[2:])
        search_sizes = [min(longest, SEARCH_PX)]
        if longest > SEARCH_PX:
            search_sizes.append(min(longest, CLOSE_SEARCH_PX))
        for search_px in search_sizes:
            small, scale_x, scale_y = _downscale(img, search_px / longest)
            boxes, points, scores = self._cascade(small)
            if len(boxes):
                grow = boxes.new_tensor([scale_x, scale_y])
                faces = [
                    Face(_as_box(box * grow.repeat(2)), point * grow, score.item())
                    for box, point, score in zip(boxes, points, scores, strict=True)
                ]
                return sorted(faces, key=lambda face: -face.size_px)
        return []

    def _cascade(self, img: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        boxes = self._propose(img)
        if len(boxes):
            boxes = self._refine(img, boxes)
        if not len(boxes):
            return boxes, boxes.new_zeros(0, 5, 2), boxes.new_zeros(0)
        return self._finish(img, boxes)

    def _propose(self, img: Tensor) -> Tensor:
        """First network, on a pyramid: [K, 4] square boxes."""
        shortest, proposals, scores = min(img.shape[2:]), [], []
        scale = CELL_PX / MIN_FACE_PX
        while shortest * scale >= CELL_PX:
            size = [max(CELL_PX, round(side * scale)) for side in img.shape[2:]]
            probability, shift = self.pnet(F.interpolate(img, size, mode="area"))
            rows, columns = (probability[0] >= THRESHOLDS[0]).nonzero(as_tuple=True)
            score = probability[0, rows, columns]
            corner = torch.stack([columns, rows], dim=1) * float(STRIDE)
            box = torch.cat([corner, corner + CELL_PX], dim=1) / scale
            box = _shift_boxes(box, shift[0, :, rows, columns].T)
            keep = _suppress(box, score, overlap=0.5)
            proposals.append(box[keep])
            scores.append(score[keep])
            scale *= PYRAMID_STEP
        if not proposals:
            return img.new_zeros(0, 4)
        boxes, score = torch.cat(proposals), torch.cat(scores)
        return _make_square(boxes[_suppress(boxes, score, overlap=0.7)])

    def _refine(self, img: Tensor, boxes: Tensor) -> Tensor:
        score, shift = self.rnet(_cut(img, boxes, 24))
        good = score >= THRESHOLDS[1]
        boxes, score = _shift_boxes(boxes[good], shift[good]), score[good]
        return _make_square(boxes[_suppress(boxes, score, overlap=0.7)])

    def _finish(self, img: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        boxes = boxes.round()
        crops = _cut(img, boxes, 48)
        score, shift, share = self.onet(crops)
        good = score >= THRESHOLDS[2]
        boxes, score, shift, share, crops = boxes[good], score[good], shift[good], share[good], crops[good]
        if len(boxes):  # The mirror image's landmarks, mirrored back, halve the jitter of the alignment.
            mirrored = self.onet(crops.flip(3))[2][:, MIRRORED]
            share = (share + torch.stack([1 - mirrored[..., 0], mirrored[..., 1]], dim=2)) / 2
        points = boxes[:, None, :2] + share * (boxes[:, 2:] - boxes[:, :2])[:, None]
        boxes = _shift_boxes(boxes, shift)
        keep = _suppress(boxes, score, overlap=0.7, of_smaller=True)
        return boxes[keep], points[keep], score[keep]


def find_faces(img: Tensor, *, finder: FaceFinder | None = None) -> list[Face]:
    """All faces of a photo [1, 3, H, W] in [-1, 1], largest first; see `FaceFinder.find`."""
    faces = (finder or FaceFinder()).find(img)
    return [replace(face, number=number) for number, face in enumerate(faces, start=1)]


def choose_face(faces: list[Face], number: int | None = None) -> Face:
    """One face: the largest, or number 1, 2, … in order of size.

    Raises:
        NoFace: there is none, or not that many; the message says what helps.
    """
    if not faces:
        raise NoFace(
            "no face was found in this image. Faces should be well lit, at least 24 pixels wide and not seen from "
            "behind; one that is half hidden (by a mask, a hand, the image's edge) or seen from the side is often "
            "missed, and drawings and cartoons are not detected."
        )
    if number is None:
        return faces[0]
    if not 1 <= number <= len(faces):
        raise NoFace(
            f"this image shows {len(faces)} face{'s'[: len(faces) > 1]}, there is no face {number}; 1 = largest"
        )
    return faces[number - 1]


def _read(net: nn.Module, path: Path) -> nn.Module:
    state = open_file(path).state_dict()
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(f"{path} is not the expected MTCNN network: {error}") from error
    return net.requires_grad_(False).eval()


def _downscale(img: Tensor, scale: float) -> tuple[Tensor, float, float]:
    """The picture at `scale`, in the value range the networks know, and the factors that lead back."""
    height, width = img.shape[2:]
    size = [max(1, round(height * scale)), max(1, round(width * scale))]
    small = img if scale >= 1 else F.interpolate(img, size, mode="area")
    return small.float() * (127.5 / 128), width / small.shape[3], height / small.shape[2]


def _shift_boxes(boxes: Tensor, shift: Tensor) -> Tensor:
    """Move each side by its share of the box's size."""
    size = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    return boxes + shift * size


def _make_square(boxes: Tensor) -> Tensor:
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).amax(dim=1, keepdim=True) / 2
    return torch.cat([centre - half, centre + half], dim=1)


def _cut(img: Tensor, boxes: Tensor, size: int) -> Tensor:
    """[K, 3, size, size]: area-averaged cut-outs; what lies outside the picture is middle grey."""
    crops = []
    for x0, y0, x1, y1 in boxes.round().int().tolist():
        inside = img[:, :, max(y0, 0) : max(y1, 1), max(x0, 0) : max(x1, 1)]
        height, width = max(y1 - y0, 1), max(x1 - x0, 1)
        left, top = min(max(-x0, 0), width), min(max(-y0, 0), height)
        pads = [left, width - left - inside.shape[3], top, height - top - inside.shape[2]]
        crops.append(F.interpolate(F.pad(inside, pads), (size, size), mode="area"))
    return torch.cat(crops)


def _suppress(boxes: Tensor, scores: Tensor, *, overlap: float, of_smaller: bool = False) -> Tensor:
    """Indices of boxes that no better one covers: greedy, best first (non-maximum suppression)."""
    order = scores.argsort(descending=True)[:MAX_CANDIDATES]
    boxes = boxes[order]
    area = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1)
    corner = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    common = (torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - corner).clamp(min=0).prod(dim=2)  # [K, K]
    whole = torch.minimum(area[:, None], area[None]) if of_smaller else area[:, None] + area[None] - common
    covers = common > overlap * whole
    alive = torch.ones(len(boxes), dtype=torch.bool)
    for i in range(len(boxes)):
        if alive[i]:
            alive[i + 1 :] &= ~covers[i, i + 1 :]
    return order[alive]


def _turn_back(face: Face, turns: int, width: int, height: int) -> Face:
    """From the photo turned counter-clockwise by `turns` quarters to the photo as it is."""
    if turns == 0:
        return face
    x0, y0, x1, y1 = face.box
    corners = _quarter_back(torch.tensor([[x0, y0], [x1, y1]]), turns, width, height)
    box = (*corners.amin(dim=0).tolist(), *corners.amax(dim=0).tolist())
    return Face(_as_box(torch.tensor(box)), _quarter_back(face.points, turns, width, height), face.score, turns * 90)


def _quarter_back(points: Tensor, turns: int, width: int, height: int) -> Tensor:
    x, y = points[:, 0], points[:, 1]
    back = {1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}[turns]
    return torch.stack(back, dim=1)


def _as_box(box: Tensor) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = box.tolist()
    return x0, y0, x1, y1
