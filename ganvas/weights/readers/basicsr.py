""".pth files of ESRGAN, Real-ESRGAN and SRVGG upscalers, and of Real-ESRGAN's discriminator.

One network, RRDBNet, has been published under three sets of names: "old" (the first ESRGAN code and most community
models), "mid" (public ESRGAN, BSRGAN, RealSR) and "new" (BasicSR, Real-ESRGAN). Everything about it is deduced from
names and shapes.

What a file cannot say, and how it is settled:
- whether an SRVGG without PReLU weights was trained with ReLU or LeakyReLU: the file's name decides if it has the word,
  else ReLU is taken; `read(found, act=…)` overrides it;
- whether an "old" or "mid" file with one enlarging step is ×2 or ×3: ×2 is taken; `read(found, scale=3)` overrides it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from torch import Tensor

from ganvas.errors import UnknownWeights
from ganvas.fields import check_known
from ganvas.models.rrdbnet import UPSAMPLE_FACTORS, RRDBNet, UNetDiscriminator
from ganvas.models.srvgg import SRVGG
from ganvas.weights.contents import FileContents
from ganvas.weights.readers.key_map import conv_shape, count_keys, load_state_dict_renamed, with_facts
from ganvas.weights.readers.state_dict import format_names

# Where the trunk of each layout starts: block, dense block and convolution by number.
TRUNKS = {
    "new": "body.{}.rdb{}.conv{}",
    "mid": "RRDB_trunk.{}.RDB{}.conv{}",
    "old": "model.1.sub.{}.RDB{}.conv{}.0",
}
ENDS = {  # what our conv_first, conv_body, up.0.conv (with a number), conv_hr and conv_last are called
    "new": ("conv_first", "conv_body", "conv_up{}", "conv_hr", "conv_last"),
    "mid": ("conv_first", "trunk_conv", "upconv{}", "HRconv", "conv_last"),
}
_State = Mapping[str, Tensor]


def fits(contents: FileContents) -> bool:
    """Whether the file holds one of these networks."""
    state = _state(contents, "G_ema")
    return _rrdb_layout(state) is not None or _is_srvgg(state) or _is_discriminator(state)


def read(
    contents: FileContents, *, network: str = "G_ema", scale: int | None = None, act: str | None = None
) -> RRDBNet | SRVGG | UNetDiscriminator:
    """The network of the file.

    Args:
        contents: of a file that `fits`.
        network: "G_ema" prefers the averaged weights (params_ema), "G" the plain ones (params); "D" for a
            discriminator file.
        scale: overrides what one enlarging step of an "old" or "mid" RRDBNet means (2 or 3).
        act: overrides the activation of an SRVGG without PReLU weights ("relu" or "leakyrelu").

    Raises:
        UnknownWeights: something is missing, left over, or of a shape that fits no such network.
    """
    state = _state(contents, network)
    if _is_discriminator(state):
        return _read_discriminator(state, contents.path.name)
    if network == "D":
        raise UnknownWeights(
            f"{contents.path.name} contains an upscaler and no discriminator; load it without network='D'."
        )
    layout = _rrdb_layout(state)
    if layout is not None:
        return _read_rrdb(state, layout, contents.path.name, scale)
    if _is_srvgg(state):
        return _read_srvgg(state, contents.path.name, act)
    raise UnknownWeights(f"{contents.path.name} contains neither RRDBNet nor SRVGG, but {format_names(list(state))}.")


def _state(contents: FileContents, network: str) -> dict[str, Tensor]:
    keys = ["params_ema", "params-ema", "params"] if network != "G" else ["params", "params_ema", "params-ema"]
    return contents.state_dict(*keys, "state_dict", "model_state_dict")


# --------------------------------------------------------------------------------------------------- RRDBNet


def _rrdb_layout(state: _State) -> str | None:
    return next((name for name, trunk in TRUNKS.items() if trunk.format(0, 1, 1) + ".weight" in state), None)


def _read_rrdb(state: _State, layout: str, who: str, scale: int | None) -> RRDBNet:
    what = f"an RRDBNet in the {layout} ESRGAN layout"
    ups, ends = _old_ends(state, who, what) if layout == "old" else _named_ends(state, layout)
    trunk = TRUNKS[layout]
    num_feat, folded = conv_shape(state, ends["conv_first"] + ".weight", who=who, what=what)[:2]
    img_channels = conv_shape(state, ends["conv_last"] + ".weight", who=who, what=what)[0]
    grow = conv_shape(state, trunk.format(0, 1, 1) + ".weight", who=who, what=what)[0]
    cell = math.isqrt(folded // img_channels)
    if img_channels * cell**2 != folded:
        raise UnknownWeights(
            f"{who} looks like {what}, but has {folded} input and {img_channels} output channels, which "
            "does not match pixel unshuffle."
        )
    shuffled = bool(ups) and conv_shape(state, ups[0] + ".weight", who=who, what=what)[0] != num_feat
    grown, notes = _growth(state, ups, num_feat, shuffled, who, what, scale and scale * cell)
    if grown % cell:
        raise UnknownWeights(
            f"{who} looks like {what}, but has pixel unshuffle {cell}×{cell} and upsamples only ×{grown}."
        )

    fields = {
        "img_channels": img_channels,
        "scale": grown // cell,
        "unshuffle": cell,
        "num_feat": num_feat,
        "num_block": count_keys(state, trunk.format("{}", 1, 1) + ".weight"),
        "num_grow_ch": grow,
        "upsampling": "pixelshuffle" if shuffled else "nearest",
        "plus": _plus_name(trunk, "0", "1") in state,
    }
    net = load_state_dict_renamed("rrdbnet", fields, state, _rrdb_names(trunk, ups, ends), who=who, what=what)
    return with_facts(net, format=what[3:], notes=notes)


def _growth(
    state: _State, ups: list[str], num_feat: int, shuffled: bool, who: str, what: str, requested: int | None
) -> tuple[int, list[str]]:
    """How many times the features grow after the trunk, and what is to be said about it."""
    if shuffled:
        widths = [conv_shape(state, up + ".weight", who=who, what=what)[0] for up in ups]
        return math.prod(math.isqrt(width // num_feat) for width in widths), []
    if requested is not None and len(UPSAMPLE_FACTORS.get(requested, ())) != len(ups):
        raise UnknownWeights(f"{who} has {len(ups)} upsampling steps, which do not give ×{requested}.")
    note = "one upsampling step: ×2 is assumed, a ×3 network has the same tensors"
    return requested or 2 ** len(ups), [note] if len(ups) == 1 and requested is None else []


def _named_ends(state: _State, layout: str) -> tuple[list[str], dict[str, str]]:
    first, body, up, hr, last = ENDS[layout]
    ups = [up.format(i + 1) for i in range(count_keys(state, up + ".weight", start=1))]
    return ups, {"conv_first": first, "conv_body": body, "conv_hr": hr, "conv_last": last}


def _old_ends(state: _State, who: str, what: str) -> tuple[list[str], dict[str, str]]:
    """The old layout numbers its layers: 0 first, 1 trunk, then three a step (nearest, conv, act), HR, act, last."""
    numbers = sorted(int(match[1]) for name in state if (match := re.fullmatch(r"model\.(\d{1,3})\.weight", name)))
    if len(numbers) < 3 or numbers[0] != 0:
        raise UnknownWeights(f"{who} looks like {what}, but has convolutions only at model.{numbers}.")
    *ups, hr, last = numbers[1:]
    blocks = count_keys(state, "model.1.sub.{}.RDB1.conv1.0.weight")
    ends = {
        "conv_first": "model.0",
        "conv_body": f"model.1.sub.{blocks}",
        "conv_hr": f"model.{hr}",
        "conv_last": f"model.{last}",
    }
    return [f"model.{up}" for up in ups], ends


def _plus_name(trunk: str, block: str, dense: str) -> str:
    return trunk.removesuffix(".0").format(block, dense, "1x1") + ".weight"


def _rrdb_names(trunk: str, ups: list[str], ends: Mapping[str, str]) -> Callable[[str], str]:
    """Our name → theirs."""

    def names(ours: str) -> str:
        module, leaf = ours.rsplit(".", 1)
        if module in ends:
            return f"{ends[module]}.{leaf}"
        parts = module.split(".")
        if parts[0] == "up":
            step = int(parts[1])
            return f"{ups[step] if step < len(ups) else f'enlarging step {step + 1}'}.{leaf}"
        _, block, dense, conv = parts  # body.0.rdb1.conv1
        if conv == "conv1x1":
            return _plus_name(trunk, block, dense[-1])
        return f"{trunk.format(block, dense[-1], conv[-1])}.{leaf}"

    return names


# --------------------------------------------------------------------------------------------------- SRVGG


def _is_srvgg(state: _State) -> bool:
    first = state.get("body.0.weight")
    plain = all(re.fullmatch(r"body\.\d{1,5}\.(weight|bias)", name) for name in state)
    return first is not None and first.ndim == 4 and first.shape[2:] == (3, 3) and plain


def _read_srvgg(state: _State, who: str, act: str | None) -> SRVGG:
    what = "an SRVGGNetCompact"
    last = max(int(name.split(".")[1]) for name in state)
    num_feat, channels = conv_shape(state, "body.0.weight", who=who, what=what)[:2]
    out = conv_shape(state, f"body.{last}.weight", who=who, what=what)[0]
    scale = math.isqrt(out // channels)
    if channels * scale**2 != out or last % 2 or last > 2 * len(state):
        raise UnknownWeights(
            f"{who} looks like {what}, but ends at body.{last} with {out} channels, which does not match "
            f"pixel shuffle to {channels} channels."
        )
    learned = "body.1.weight" in state
    if act is not None:
        check_known(act, ("prelu",) if learned else ("relu", "leakyrelu"), what=f"activation for {who}")
    note = None
    if act is None:
        act, note = ("prelu", None) if learned else _unwritten_activation(who)
    fields = {"img_channels": channels, "scale": scale, "num_feat": num_feat, "num_conv": last // 2 - 1, "act": act}
    net = load_state_dict_renamed("srvgg", fields, state, str, who=who, what=what)
    return with_facts(net, format="SRVGGNetCompact", notes=[note] if note else [])


def _unwritten_activation(who: str) -> tuple[str, str]:
    """ReLU or LeakyReLU: the tensors are the same, so the file's name decides, else the smaller damage.

    With the slopes of realesr-animevideov3 set 0.1 too high its pictures lose 12 dB, set 0.1 too low 1 dB (a photo,
    enlarged ×4). So ReLU is the safer guess.
    """
    word = re.search(r"leaky|lrelu|relu", who.lower())
    if word:
        return "relu" if word[0] == "relu" else "leakyrelu", f"the activation is taken from the file's name ({who})"
    return "relu", "the file does not say whether it was trained with ReLU or LeakyReLU; ReLU is assumed"


# --------------------------------------------------------------------------------------------------- discriminator


def _is_discriminator(state: _State) -> bool:
    return {"conv0.weight", "conv1.weight_orig", "conv9.weight"} <= state.keys()


def _read_discriminator(state: _State, who: str) -> UNetDiscriminator:
    what = "Real-ESRGAN's U-Net discriminator"
    num_feat, channels = conv_shape(state, "conv0.weight", who=who, what=what)[:2]

    fields = {"in_channels": channels, "num_feat": num_feat}
    net = load_state_dict_renamed("rrdbnet", fields, state, _spectral_name, who=who, what=what, network="D")
    note = "whether skip connections were enabled is not in the file; enabled is assumed, as published"
    return with_facts(net, format=what, notes=[note])


def _spectral_name(ours: str) -> str:
    """conv1.parametrizations.weight.original → conv1.weight_orig, ….0._u → conv1.weight_u."""
    module, *rest = ours.split(".parametrizations.weight.")
    if not rest:
        return ours
    return module + {"original": ".weight_orig", "0._u": ".weight_u", "0._v": ".weight_v"}[rest[0]]
