"""Face scorers by name, together: what the commands take for `--scorer` and `--scorers`.

Each looks at aligned faces img [N, 3, S, S] and says one number a picture: expressions, age and gender expression from
the small network that ships (scorers.py), pose from landmarks (geometry.py), colours (colours.py). Your own scorer is
any function img → [N]; the functions of `ganvas.editing.effect` take it as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ganvas.checks import check_known
from ganvas.features.colours import COLOURS, colours_of
from ganvas.features.geometry import POSE, Geometry, Landmarks
from ganvas.features.scorers import EXPRESSIONS, cut_face, load_face_scorer

LOOKS = ("smile", *EXPRESSIONS, "age", "gender")
NAMES = (*LOOKS, *POSE, *COLOURS)
USUAL = ("smile", "age", "gender", "yaw", "pitch", "hair_light", "skin_light", "glasses")


class FaceJudge:
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
            check_known(name, NAMES, what="face scorer")
        self.names = tuple(names)
        self._geometry = Geometry(landmarks) if set(names) & set(POSE) else None

    @torch.no_grad()
    def __call__(self, img: Tensor) -> dict[str, Tensor]:
        scores: dict[str, Tensor] = {}
        if set(self.names) & set(LOOKS):
            scores |= _looks(img)
        if set(self.names) & set(COLOURS):
            scores |= colours_of(img)
        if self._geometry is not None:
            scores |= self._geometry(img)
        return {name: scores[name] for name in self.names}


def face_scorer(name: str) -> Callable[[Tensor], Tensor]:
    """One face score as a function img → [N]; see `FaceJudge`."""
    judge = FaceJudge([name])
    return lambda img: judge(img)[name]


def knows_faces(generator: Any) -> bool:
    """Does this generator paint faces aligned as FFHQ's are? By its family, or by what its file says."""
    return generator.family == "mobilestylegan" or "ffhq" in str(generator.facts).lower()


def _looks(img: Tensor) -> dict[str, Tensor]:
    """The mean of the face and its mirror image, as `score_faces` takes it."""
    net, cut = load_face_scorer(), cut_face(img)
    pairs = zip(net.judge(cut), net.judge(cut.flip(3)), strict=True)
    expression, age, gender = ((here + there) / 2 for here, there in pairs)
    p = expression.softmax(dim=1).clamp(1e-3, 1 - 1e-3).logit()
    scores = {name: p[:, i] for i, name in enumerate(EXPRESSIONS)}
    return scores | {"smile": scores["happy"], "age": age, "gender": gender}
