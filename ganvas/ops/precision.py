"""What `precision="fast"` means on this machine, and weights kept ready in that form.

Nothing here is guessed from a processor's name: `fast_dtype` times a small convolution once a process. Float32 stays
the reference and the default; the fast form is a copy beside the parameters, made again when they have changed.
"""

from __future__ import annotations

import functools
import time
import weakref
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

MIN_SPEEDUP = 1.15  # bfloat16 must be this many times as fast as float32 to be chosen
_mkldnn = torch.ops.mkldnn


@functools.cache
def fast_dtype(device_type: str) -> torch.dtype:
    """The float type in which convolutions run fastest on this kind of device: bfloat16 or float32.

    Args:
        device_type: "cpu", "cuda", "mps" …

    On a CPU it is measured (about 30 ms, once a process): some multiply bfloat16 twice as fast as float32, some only
    pretend to. On CUDA it is bfloat16 where the card has it. Elsewhere float32. torch.compile cannot measure: call
    this once before compiling.
    """
    if device_type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if device_type != "cpu":
        return torch.float32
    if not torch.compiler.is_compiling():
        _measured["cpu"] = _faster_of(torch.float32, torch.bfloat16)
    return _measured.get("cpu", torch.float32)


_measured: dict[str, torch.dtype] = {}


def _faster_of(exact: torch.dtype, other: torch.dtype) -> torch.dtype:
    seconds = _seconds((exact, other))
    return other if seconds[exact] > MIN_SPEEDUP * seconds[other] else exact


@torch.no_grad()
def _seconds(dtypes: tuple[torch.dtype, ...], *, rounds: int = 9) -> dict[torch.dtype, float]:
    """The best of a few small convolutions in each type; the best, because another program only makes it slower.

    On one thread, and in turns: threads that wait for one another on a busy machine would say more of the load than of
    the types.
    """
    pairs = {}
    for dtype in dtypes:
        x = torch.ones(1, 128, 32, 32, dtype=dtype).contiguous(memory_format=torch.channels_last)
        pairs[dtype] = x, torch.ones(128, 128, 3, 3, dtype=dtype).contiguous(memory_format=torch.channels_last)
        F.conv2d(*pairs[dtype], padding=1)  # the first call makes the kernel
    best = dict.fromkeys(dtypes, float("inf"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(rounds):
            for dtype, pair in pairs.items():
                start = time.perf_counter()
                F.conv2d(*pair, padding=1)
                best[dtype] = min(best[dtype], time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
    return best


class PreparedWeight:
    """Copies of one convolution weight in the forms that a fast call wants, never older than the weight itself.

    It lives beside a parameter, is no part of the state_dict, and a copied or pickled module starts with an empty one.
    Whether the weight has changed is seen from the tensor's identity, its memory, the counter that in-place operations
    raise, and a few of its numbers, because fused optimisers and writes through `weight.data` raise no counter (and
    tensors made in inference mode have none).
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all copies."""
        self._owner: weakref.ref[Tensor] | None = None
        self._stamp: tuple[int, int] | None = None
        self._sample: Tensor | None = None
        self._forms: dict[object, Tensor] = {}

    def __deepcopy__(self, memo: dict) -> PreparedWeight:
        return PreparedWeight()

    def __reduce__(self) -> tuple[type[PreparedWeight], tuple[()]]:
        return PreparedWeight, ()

    def energy(self, weight: Tensor) -> Tensor:
        """Σ_k w_oik² of a weight [O, I, k, k]: [O, I]. With gradients to the weight it is computed, not kept."""
        if torch.compiler.is_compiling() or (torch.is_grad_enabled() and weight.requires_grad):
            return _energy(weight)
        return self._get(weight, "energy", lambda: _energy(weight.detach()))

    def plain(self, weight: Tensor, dtype: torch.dtype) -> Tensor:
        """The weight [O, I, k, k] in another type, in the layout that convolutions like; without gradient."""
        return self._get(weight, ("plain", dtype), lambda: _convert(weight, dtype))

    def conv2d(self, x: Tensor, weight: Tensor) -> Tensor:
        """`F.conv2d(x, weight, padding=k // 2)` in the type of x, for a call that needs no gradient."""
        if not packing_works():
            return F.conv2d(x, self.plain(weight, x.dtype), padding=weight.shape[-1] // 2)
        packed = self._get(weight, ("conv", x.dtype), lambda: _pack(_convert(weight, x.dtype)))
        return _packed_conv2d(x, packed, weight.shape[-1] // 2)

    def conv_transpose2d(self, x: Tensor, weight: Tensor) -> Tensor:
        """`F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)` in the type of x, where no gradient is needed."""
        if not packing_works():
            return F.conv_transpose2d(x, self.plain(weight, x.dtype).transpose(0, 1), stride=2)
        packed = self._get(weight, ("up", x.dtype), lambda: _pack_transposed(_convert(weight, x.dtype)))
        return _packed_conv_transpose2d(x, packed)

    def _get(self, weight: Tensor, form: object, make: Callable[[], Tensor]) -> Tensor:
        if not self._is_current(weight):
            self._owner, self._forms = weakref.ref(weight), {}
            self._stamp, self._sample = _stamp(weight), _sample(weight).clone()
        if form not in self._forms:
            self._forms[form] = make()
        return self._forms[form]

    def _is_current(self, weight: Tensor) -> bool:
        if self._owner is None or self._owner() is not weight or self._stamp != _stamp(weight):
            return False
        return self._sample is not None and torch.equal(self._sample, _sample(weight))


def _stamp(weight: Tensor) -> tuple[int, int]:
    return 0 if weight.is_inference() else weight._version, weight.data_ptr()


def _sample(weight: Tensor) -> Tensor:
    """One number of each output channel, [O]; no optimiser, average or scaling leaves them all as they were."""
    return weight.detach()[:, 0, 0, 0]


# ---------------------------------------------------------------------------------------------------------------------
# Packed weights: oneDNN's own blocked layout, so that it need not be made anew at every call. torch keeps this for its
# compiler (torch._inductor) and calls it private, hence the trial in `packing_works`.


@functools.cache
def packing_works() -> bool:
    """Whether this torch on this machine convolves with packed weights, and rightly. Tried once a process."""
    if not torch.backends.mkldnn.is_available() or not torch.backends.mkldnn.enabled:
        return False
    x, weight = torch.randn(2, 32, 8, 8), torch.randn(48, 32, 3, 3)
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", enabled=False):
        try:
            same = _packed_conv2d(x, _pack(weight), 1)
            up = _packed_conv_transpose2d(x, _pack_transposed(weight))
        except (AttributeError, RuntimeError, TypeError):
            return False
        return torch.allclose(same, F.conv2d(x, weight, padding=1), atol=1e-3) and torch.allclose(
            up, F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), atol=1e-3
        )


def _energy(weight: Tensor) -> Tensor:
    return weight.square().sum(dim=(2, 3))


@torch.no_grad()
def _convert(weight: Tensor, dtype: torch.dtype) -> Tensor:
    return weight.detach().to(dtype).contiguous(memory_format=torch.channels_last)


def _pack(weight: Tensor) -> Tensor:
    k, size = weight.shape[-1], [1, weight.shape[1], 32, 32]  # a usual size; others work as well
    return _mkldnn._reorder_convolution_weight(weight, [k // 2] * 2, [1, 1], [1, 1], 1, size)


def _pack_transposed(weight: Tensor) -> Tensor:
    size = [1, weight.shape[1], 32, 32]
    weight = weight.transpose(0, 1).contiguous()
    return _mkldnn._reorder_convolution_transpose_weight(weight, [0, 0], [0, 0], [2, 2], [1, 1], 1, size)


def _packed_conv2d(x: Tensor, packed: Tensor, padding: int) -> Tensor:
    return _mkldnn._convolution_pointwise(x, packed, None, [padding] * 2, [1, 1], [1, 1], 1, "none", [], "")


def _packed_conv_transpose2d(x: Tensor, packed: Tensor) -> Tensor:
    return _mkldnn._convolution_transpose_pointwise(x, packed, None, [0, 0], [0, 0], [2, 2], [1, 1], 1, "none", [], "")
