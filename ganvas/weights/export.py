"""Export to ONNX, verified against PyTorch.

The graph keeps the batch open, and for img → img networks height and width too, as far as their size rules allow. What
a user of the file must know (family, pixel range, size rule, licence) stands in its metadata.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import re
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ganvas import __version__
from ganvas.errors import BadConfig, GanvasError, MissingExtra
from ganvas.fields import check_known
from ganvas.models import FAMILIES
from ganvas.models.img2img import ImageToImage, fitting_size
from ganvas.models.protocol import GeneratorModule, Network, SizeRules

OPSET = 18  # runs in ONNX Runtime 1.14 and later
TOLERANCE = 2 / 255  # in [-1, 1]: one grey level of 8 bits
_LATENTS = ("z", "ws")
REQUIRED_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
# An axis of any length. What a network does to be quick may depend on it, what it draws does not.
OPEN = torch.export.Dim.DYNAMIC
AXES = ("N", "C", "H", "W")
TRACE_PX = 32  # a picture size to trace and compare img → img networks at; the graph takes others


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """What was written, and how it compares with PyTorch."""

    path: Path
    inputs: dict[str, tuple[int | str, ...]]  # name → shape, open axes by name
    outputs: dict[str, tuple[int | str, ...]]
    max_difference: float  # largest difference of a pixel in [-1, 1] from PyTorch, over `compared` calls
    compared: tuple[tuple[int, ...], ...]  # shapes of the outputs that were compared
    size_bytes: int


def export_onnx(network: Network, path: str | Path, *, latent: str = "z", unit_range: bool = False) -> ExportResult:
    """Write a generator, translator or upscaler as ONNX.

    Args:
        network: in eval mode or not; it is left as it is.
        path: where; an existing file is replaced in one step, and only by a file that passed the comparison.
        latent: what a generator starts from. "z": inputs z [N, z_dim], truncation_psi [] and, for conditional ones,
            c [N, c_dim]; outputs img and ws. "ws": input ws [N, num_ws, w_dim], for edited latents; output img.
        unit_range: pixels from 0 to 1 (clipped), as most other programs expect; False = from -1 to 1, as in ganvas.

    Returns:
        What was written; `max_difference` says how far ONNX Runtime's pixels are from PyTorch's.

    Raises:
        MissingExtra: onnx, onnxscript or onnxruntime is not installed.
        BadConfig: a discriminator, or an unknown `latent`.
        GanvasError: the file would differ from PyTorch by more than a grey level, or cannot be written.
    """
    check_known(latent, _LATENTS, what="latent")
    if any(importlib.util.find_spec(name) is None for name in REQUIRED_PACKAGES):
        raise MissingExtra("ONNX export", "onnx")
    path = Path(path).expanduser()
    was_training = network.training
    try:
        plan = _plan(network.eval(), latent=latent, unit_range=unit_range)
        return _write(plan, path)
    finally:
        network.train(was_training)


# What is traced.


class _FromZ(nn.Module):
    """z, truncation_psi (, c) → img, ws."""

    def __init__(self, generator: GeneratorModule):
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor, truncation_psi: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        ws = self.generator.mapping(z, c)  # [N, num_ws, w_dim]
        # psi is a number of the caller here, so it cannot choose a branch: psi = 0 gives every family's own mean.
        mean = self.generator.mapping(z, c, truncation_psi=0)
        ws = mean + truncation_psi * (ws - mean)
        return self.generator.synthesis(ws), ws


class _FromWs(nn.Module):
    """ws → img."""

    def __init__(self, generator: GeneratorModule):
        super().__init__()
        self.generator = generator

    def forward(self, ws: Tensor) -> Tensor:
        return self.generator.synthesis(ws)


class _FromImg(nn.Module):
    """img → img, without the checks of a call: the sizes are open, the rules stand in the metadata."""

    def __init__(self, network: ImageToImage):
        super().__init__()
        self.network = network

    def forward(self, img: Tensor) -> Tensor:
        return self.network.transform(img)


class _UnitRange(nn.Module):
    """Pixels in [0, 1] around a module whose pixels are in [-1, 1]; `img` is always the first output."""

    def __init__(self, inner: nn.Module, *, takes_img: bool):
        super().__init__()
        self.inner, self.takes_img = inner, takes_img

    def forward(self, *inputs: Tensor) -> Any:
        out = self.inner(inputs[0] * 2 - 1) if self.takes_img else self.inner(*inputs)
        img, *others = out if isinstance(out, tuple) else (out,)
        img = ((img + 1) / 2).clamp(0, 1)
        return (img, *others) if others else img


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """How one network is traced, and with what it is compared."""

    module: nn.Module
    names: tuple[str, ...]  # of the inputs
    outputs: tuple[str, ...]
    traced: tuple[Tensor, ...]  # inputs to trace with
    shapes: tuple[dict[int, Any], ...]  # open axes of each input
    compared: tuple[tuple[Tensor, ...], ...]  # inputs to compare with PyTorch: other batches, other sizes
    metadata: dict[str, str]


def _plan(network: Network, *, latent: str, unit_range: bool) -> _Plan:
    if isinstance(network, GeneratorModule):
        return _plan_generator(network, latent=latent, unit_range=unit_range)
    if isinstance(network, ImageToImage):
        return _plan_img2img(network, unit_range=unit_range)
    raise BadConfig(f"export supports generators, translators and upscalers, got {type(network).__name__}")


def _plan_generator(G: GeneratorModule, *, latent: str, unit_range: bool) -> _Plan:
    module: nn.Module = _FromWs(G) if latent == "ws" else _FromZ(G)
    names = ("ws",) if latent == "ws" else ("z", "truncation_psi", "c")[: 3 if G.c_dim else 2]
    calls = [_latents(G, n, latent, psi) for n, psi in ((2, 0.7), (1, 1.0), (3, 0.5))]
    return _Plan(
        module=_UnitRange(module, takes_img=False) if unit_range else module,
        names=names,
        outputs=("img",) if latent == "ws" else ("img", "ws"),
        traced=calls[0],
        shapes=tuple({} if tensor.ndim == 0 else {0: OPEN} for tensor in calls[0]),
        compared=tuple(calls[1:]),
        metadata=_metadata(network=G, unit_range=unit_range, latent=latent),
    )


def _latents(G: GeneratorModule, count: int, latent: str, psi: float) -> tuple[Tensor, ...]:
    """Inputs to trace or compare with."""
    if latent == "ws":
        return (_noise(count, G.num_ws, G.w_dim),)
    labels = (torch.eye(G.c_dim)[torch.arange(count) % G.c_dim],) if G.c_dim else ()
    return _noise(count, G.z_dim), torch.tensor(psi), *labels


def _plan_img2img(network: ImageToImage, *, unit_range: bool) -> _Plan:
    rules, step = network.size_rules, network.size_rules.multiple_of
    channels: int = getattr(network, "in_channels", None) or getattr(network, "img_channels")  # noqa: B009
    module: nn.Module = _FromImg(network)
    side = fitting_size(TRACE_PX, TRACE_PX, rules)[0]
    more = 0 if rules.square else step
    traced = side + step  # two steps at least: the tracer takes a 1 for a constant
    sizes = ((2, traced, traced + more), (1, side, side + more), (3, side + more, side))
    calls = [(_noise(n, channels, height, width).clamp(-1, 1),) for n, height, width in sizes]
    calls = [((img + 1) / 2,) for (img,) in calls] if unit_range else calls
    height, width = (_side(name, rules) for name in ("H", "W"))
    return _Plan(
        module=_UnitRange(module, takes_img=True) if unit_range else module,
        names=("img",),
        outputs=("out",),
        traced=calls[0],
        shapes=({0: OPEN, 2: height, 3: height if rules.square else width},),
        compared=tuple(calls[1:]),
        metadata=_metadata(
            network=network,
            unit_range=unit_range,
            scale=getattr(network, "scale", 1),
            minimum_px=rules.minimum_px,
            multiple_of=rules.multiple_of,
            square=rules.square,
        ),
    )


def _side(name: str, rules: SizeRules) -> Any:
    """An open side of a picture: any number of pixels, or of steps."""
    step = rules.multiple_of
    return OPEN if step == 1 else step * torch.export.Dim(f"{name}_steps", min=max(-(-rules.minimum_px // step), 1))


def _noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _metadata(*, network: Network, unit_range: bool, **more: Any) -> dict[str, str]:
    """What a user of the file must know; values are text, as ONNX has it."""
    metadata = {
        "made_by": f"ganvas {__version__}",
        "family": network.family,
        "kind": FAMILIES[network.family].kind,
        "pixels": "RGB, 0 to 1" if unit_range else "RGB, -1 to 1",
        **more,
        **{f"fact.{key}": value for key, value in network.facts.items()},
    }
    return {key: value if isinstance(value, str) else json.dumps(value, default=str) for key, value in metadata.items()}


# Writing and comparing.


def _write(plan: _Plan, path: Path) -> ExportResult:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
            onnx_path = Path(folder) / "model.onnx"
            _trace(plan, onnx_path)
            difference, compared = _compare(plan, onnx_path)
            if not difference <= TOLERANCE:  # NaN too
                raise GanvasError(
                    f"{path} is not written: the outputs of ONNX Runtime and PyTorch differ by "
                    f"{difference:.3g}, more than one grey level ({TOLERANCE:.3g}). Please report it with "
                    "the output of: ganvas models info"
                )
            inputs, outputs = _signature(onnx_path)
            size = onnx_path.stat().st_size
            os.replace(onnx_path, path)
    except OSError as error:
        raise GanvasError(f"cannot write {path}: {error}") from error
    return ExportResult(
        path=path, inputs=inputs, outputs=outputs, max_difference=difference, compared=compared, size_bytes=size
    )


def _trace(plan: _Plan, onnx_path: Path) -> None:
    import onnx

    # With gradients off, some networks write into shared memory, which a graph cannot.
    with _silence_exporter(), torch.enable_grad():
        try:
            shapes = (plan.shapes,) if isinstance(plan.module, _UnitRange) else plan.shapes
            traced = torch.export.export(plan.module, plan.traced, dynamic_shapes=shapes, strict=False)
            program = torch.onnx.export(
                traced,
                input_names=list(plan.names),
                output_names=list(plan.outputs),
                opset_version=OPSET,
                verbose=False,
            )
        except Exception as error:  # torch raises a dozen kinds here; all mean the same to a user
            raise GanvasError(f"this network cannot be exported to ONNX: {error}") from error
    assert program is not None
    model = program.model_proto
    _name_axes(model.graph)
    onnx.helper.set_model_props(model, plan.metadata)
    onnx.checker.check_model(model)
    onnx.save(model, str(onnx_path))


def _name_axes(graph: Any) -> None:
    """Give the open axes names a person can read, wherever they stand; the tracer calls them s68 and the like."""
    names: dict[str, str] = {}
    for value in graph.input:
        for axis, size in enumerate(value.type.tensor_type.shape.dim):
            for symbol in re.findall(r"[A-Za-z_]\w*", size.dim_param):  # "s24", or "4*s24" where the size has steps
                names.setdefault(symbol, AXES[axis] + ("_steps" if size.dim_param != symbol else ""))
    for value in (*graph.input, *graph.output, *graph.value_info):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_param = re.sub(
                    r"[A-Za-z_]\w*", lambda contents: names.get(contents[0], contents[0]), size.dim_param
                )


def _compare(plan: _Plan, onnx_path: Path) -> tuple[float, tuple[tuple[int, ...], ...]]:
    """The largest difference of a pixel in [-1, 1] over all calls, and the shapes that were compared."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(onnx_path), providers=["CPUExecutionProvider"])
    differences, shapes = [], []
    for inputs in plan.compared:
        with torch.no_grad():
            ours = plan.module(*inputs)
        ours = ours[0] if isinstance(ours, tuple) else ours
        theirs = session.run(None, {name: value.numpy() for name, value in zip(plan.names, inputs, strict=True)})[0]
        assert theirs.shape == tuple(ours.shape)
        differences.append(np.abs(theirs - ours.numpy()).max())
        shapes.append(tuple(ours.shape))
    worst = float(np.max(differences))  # unlike Python's max, it does not overlook NaN
    return worst * (2 if isinstance(plan.module, _UnitRange) else 1), tuple(shapes)


def _signature(onnx_path: Path) -> tuple[dict[str, tuple[int | str, ...]], dict[str, tuple[int | str, ...]]]:
    import onnx

    graph = onnx.load(str(onnx_path), load_external_data=False).graph

    def shapes(values: Any) -> dict[str, tuple[int | str, ...]]:
        return {
            value.name: tuple(axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim)
            for value in values
        }

    return shapes(graph.input), shapes(graph.output)


@contextmanager
def _silence_exporter() -> Iterator[None]:
    """Silence the exporter's log messages."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
