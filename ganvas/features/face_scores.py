"""Face scorers by name, together: what the commands take for `--scorer` and `--scorers`.

Each looks at aligned faces img [N, 3, S, S] and says one number a picture: expressions, age and gender expression from
the small network that ships (scorers.py), pose from landmarks (geometry.py), colours (colours.py). Your own scorer is
any function img → [N]; the functions of `ganvas.editing.discovery.calibration` take it as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ganvas.features.colour_scores import COLOUR_SCORES, compute_colour_scores
from ganvas.features.face_networks import EXPRESSIONS, crop_face, load_face_score_net
from ganvas.features.landmark_scores import POSE_SCORES, Landmarks, LandmarkScorer
from ganvas.fields import check_known

NETWORK_SCORES = ("smile", *EXPRESSIONS, "age", "gender")
FACE_SCORES = (*NETWORK_SCORES, *POSE_SCORES, *COLOUR_SCORES)
DEFAULT_FACE_SCORES = ("smile", "age", "gender", "yaw", "pitch", "hair_light", "skin_light", "glasses")


class FaceScorer:
    """Several face scores at once: img [N, 3, S, S] aligned as FFHQ's are → [N] a score, by name.

    Expressions and gender are logits, so that a step means the same near 0 and 1 as it does in the middle.

    Args:
        names: of NAMES.
        landmarks: for the pose; None = the catalogue's face finder, read when a pose is asked for.

    Raises:
        BadConfig: an unknown name. FetchError: a pose without the face finder's weights on this computer.
    """

    def __init__(self, names: Sequence[str], *, landmarks: Landmarks | None = None):
        for name in names:
            check_known(name, FACE_SCORES, what="face scorer")
        self.names = tuple(names)
        self._geometry = LandmarkScorer(landmarks) if set(names) & set(POSE_SCORES) else None

    @torch.no_grad()
    def __call__(self, img: Tensor) -> dict[str, Tensor]:
        scores: dict[str, Tensor] = {}
        if set(self.names) & set(NETWORK_SCORES):
            scores |= _network_scores(img)
        if set(self.names) & set(COLOUR_SCORES):
            scores |= compute_colour_scores(img)
        if self._geometry is not None:
            scores |= self._geometry(img)
        return {name: scores[name] for name in self.names}


def face_scorer(name: str) -> Callable[[Tensor], Tensor]:
    """One face score as a function img → [N]; see `FaceScorer`."""
    scorer = FaceScorer([name])
    return lambda img: scorer(img)[name]


def _network_scores(img: Tensor) -> dict[str, Tensor]:
    """The mean of the face and its mirror image, as `score_faces` takes it."""
    net, cut = load_face_score_net(), crop_face(img)
    pairs = zip(net.forward_cropped(cut), net.forward_cropped(cut.flip(3)), strict=True)
    expression, age, gender = ((here + there) / 2 for here, there in pairs)
    p = expression.softmax(dim=1).clamp(1e-3, 1 - 1e-3).logit()
    scores = {name: p[:, i] for i, name in enumerate(EXPRESSIONS)}
    return scores | {"smile": scores["happy"], "age": age, "gender": gender}
