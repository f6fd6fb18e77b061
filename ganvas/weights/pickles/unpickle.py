"""Pickles as inert data: tensors, arrays and containers, never code.

A pickle is a program for a small machine: "push this text, make a list, call that function". This module is such a
machine of our own that knows the instructions and calls nothing: a name that the file asks for is looked up in the
tables of allowed.py, written out by hand, and becomes a container, a tensor or a `Record`. Every other name is refused
and said. No module is imported, no class is made, no method of the file's objects exists.

Written after CPython's Lib/pickletools.py (what each instruction means) and after the published layouts of torch's
and numpy's files; torch.load and pickle.load are not used at all.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable
from typing import Any

import torch

from ganvas.weights.pickles import tensors
from ganvas.weights.pickles.allowlist import CALLS, DICTS, RECORD, as_dict, complete_deferred, resolve_global
from ganvas.weights.pickles.limits import ReadLimits, check_tree
from ganvas.weights.pickles.records import Deferred, Global, Record
from ganvas.weights.pickles.tensors import Storage

LEGACY_MAGIC = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")  # the pickled number 0x1950a86a20f9469cfc6c
_SMALL = 256  # bytes up to this length are copied, longer ones look into the file
_MAX_NUMBER = 1 << 12  # bytes
_LINE = 1 << 9  # bytes of an old text instruction to look at first; mostly that is enough
_MAX_PICKLES_INSIDE = 3
_MAX_NAME = 300


class _Mark:
    """The bottom of a group on the stack."""


_MARK = _Mark()


def unpickle(data: memoryview, limits: ReadLimits, *, persistent: Callable[[Any], Any] | None = None) -> Any:
    """The tree that one pickle describes; what follows it in `data` is ignored.

    Args:
        data: the pickle's bytes.
        limits: the file's account.
        persistent: what the file's own references ("persistent ids") stand for; None = there are none.

    Raises:
        UnsafeWeights: a name that is not allowed, or a bomb.
        BrokenWeights: not a pickle, or cut short.
    """
    tree, _ = unpickle_from(data, 0, limits, persistent=persistent)
    return tree


def unpickle_from(
    data: memoryview, start: int, limits: ReadLimits, *, persistent: Callable[[Any], Any] | None = None
) -> tuple[Any, int]:
    """The tree of the pickle that begins at byte `start`, and the byte after it; see `unpickle`."""
    reader = PickleReader(data, start, limits, persistent)
    try:
        tree = reader.run()
    except (struct.error, ValueError, IndexError, TypeError, OverflowError) as error:
        raise limits.broken_error(f"its pickle makes no sense at byte {reader.at:,} ({str(error)[:80]})") from error
    check_tree(tree, limits)
    return tree, reader.at


def read_legacy(data: memoryview, limits: ReadLimits) -> Any:
    """A torch file of the years before zip (torch.save with _use_new_zipfile_serialization=False).

    It is a chain: magic, protocol, system facts, the object, the list of storage keys, then the numbers of each
    storage. The object comes before the numbers it points to, so it is read twice: for the storages' types, then
    with the numbers.

    Raises:
        UnsafeWeights, BrokenWeights: see `unpickle`.
    """
    at = 0
    for _ in range(2):  # magic and protocol
        _, at = unpickle_from(data, at, limits)
    facts, object_at = unpickle_from(data, at, limits)
    if not isinstance(facts, dict) or facts.get("little_endian") is not True:
        raise limits.broken_error("it was written by a big-endian computer, or its first lines are missing")
    announced: dict[str, Storage] = {}
    tree, at = unpickle_from(data, object_at, limits, persistent=lambda pid: _announce(pid, announced, limits))
    keys, at = unpickle_from(data, at, limits)
    filled = _fill_storages(data, at, keys, announced, limits)
    if not announced:
        return tree
    return unpickle_from(data, object_at, limits, persistent=lambda pid: _look_up(pid, filled, limits))[0]


def storage_id(pid: Any, limits: ReadLimits) -> tuple[torch.dtype, str, int]:
    """(dtype, key, numel) of torch's reference ('storage', type, key, location, numel, …).

    Raises:
        BrokenWeights: a reference of another kind.
    """
    if (
        isinstance(pid, tuple)
        and len(pid) in (5, 6)
        and pid[0] == "storage"
        and isinstance(pid[1], torch.dtype)
        and isinstance(pid[2], str)
        and isinstance(pid[4], int)
    ):
        return pid[1], pid[2], pid[4]
    raise limits.broken_error("it refers to something that is no storage of torch")


def _announce(pid: Any, announced: dict[str, Storage], limits: ReadLimits) -> Storage:
    dtype, key, numel = storage_id(pid, limits)
    known = announced.setdefault(key, Storage(dtype, numel))
    if known.dtype != dtype or known.numel != numel:
        raise limits.broken_error(f"storage {key[:40]!r} is announced twice and differently")
    return Storage(dtype, numel)


def _look_up(pid: Any, filled: dict[str, Storage], limits: ReadLimits) -> Storage:
    storage = filled[storage_id(pid, limits)[1]]
    view = pid[5] if len(pid) == 6 else None
    if view is None:
        return storage
    # Before torch 0.4 two storages could share one: (key, offset, numel) of the part.
    if not (isinstance(view, tuple) and len(view) == 3 and all(isinstance(n, int) and n >= 0 for n in view[1:])):
        raise limits.broken_error("a part of a storage is described wrongly")
    first, numel = view[1:]
    if first + numel > storage.numel or storage.data is None:
        raise limits.broken_error("a part of a storage reaches beyond it")
    step = storage.dtype.itemsize
    return Storage(storage.dtype, numel, storage.data[first * step : (first + numel) * step])


def _fill_storages(
    data: memoryview, at: int, keys: Any, announced: dict[str, Storage], limits: ReadLimits
) -> dict[str, Storage]:
    """The storages' numbers lie one after the other: a count (8 bytes), then the numbers."""
    if not isinstance(keys, list) or not all(isinstance(key, str) and key in announced for key in keys):
        raise limits.broken_error("its list of storages does not fit its tensors")
    filled = {}
    for key in keys:
        plan = announced[key]
        if at + 8 > len(data) or struct.unpack_from("<q", data, at)[0] != plan.numel:
            raise limits.broken_error(f"storage {key[:40]!r} should have {plan.numel:,} numbers and has not")
        end = at + 8 + plan.nbytes
        if end > len(data):
            raise limits.broken_error(f"it ends within a storage: {len(data):,} bytes are there, {end:,} are needed")
        filled[key] = tensors.storage(plan.dtype, plan.numel, data[at + 8 : end], limits)
        at = end
    if len(filled) != len(announced):
        raise limits.broken_error("the numbers of some of its tensors are missing")
    return filled


class PickleReader:
    """Stack, memo and position while one pickle is read."""

    def __init__(
        self, data: memoryview, start: int, limits: ReadLimits, persistent: Callable[[Any], Any] | None
    ) -> None:
        self.data = data
        self.at = start
        self.limits = limits
        self.persistent = persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        step, data = self.limits.step, self.data
        while True:
            if self.at >= len(data):
                raise self.limits.broken_error("its pickle ends too early")
            code = data[self.at]
            self.at += 1
            if code == 0x2E:  # STOP
                return self.pop()
            step()
            do = _INSTRUCTIONS.get(code)
            if do is None:
                raise self.limits.broken_error(f"byte {self.at - 1:,} is no instruction of a pickle ({code:#04x})")
            do(self)

    # Bytes of the file.

    def take(self, count: int) -> memoryview:
        if count < 0 or self.at + count > len(self.data):
            raise self.limits.broken_error(f"{count:,} bytes are announced and {len(self.data) - self.at:,} are left")
        part = self.data[self.at : self.at + count]
        self.at += count
        return part

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self) -> bytes:
        length = _LINE
        while True:
            window = bytes(self.data[self.at : self.at + length])
            if (end := window.find(b"\n")) >= 0:
                self.at += end + 1
                return window[:end]
            if len(window) < length:
                break
            length *= 8
        raise self.limits.broken_error("a line of text in its pickle does not end")

    # The stack.

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise self.limits.broken_error("its pickle takes more from the stack than it put there")
        return value

    def top(self) -> Any:
        return self.stack[-1]

    def pop_group(self) -> list[Any]:
        """Everything above the last mark; the mark goes too."""
        group = []
        while (value := self.stack.pop()) is not _MARK:
            group.append(value)
        return group[::-1]

    def memoize(self, slot: int) -> None:
        """Memorise the top of the stack."""
        if not 0 <= slot < 2**32:
            raise self.limits.broken_error(f"memo entry {slot}")
        value = self.memo[slot] = self.top()
        if isinstance(value, Deferred):
            value.slots.append(slot)

    def recall(self, slot: int) -> None:
        if slot not in self.memo:
            raise self.limits.broken_error(f"it refers to memo entry {slot}, which was never set")
        self.push(self.memo[slot])

    # Names, calls, states.

    def push_global(self, module: Any, name: Any) -> None:
        """The file names something: push what stands for it, or refuse."""
        if not isinstance(module, str) or not isinstance(name, str) or len(module) + len(name) > _MAX_NAME:
            raise self.limits.broken_error("a name in its pickle is no text, or a very long one")
        self.push(resolve_global(module, name, self.limits))

    def call(self, what: Any, args: Any) -> Any:
        if not isinstance(what, Global) or what.name not in CALLS:
            raise self.limits.unsafe_error(f"it calls {_name_of(what)}, and ganvas calls nothing for a file")
        if not isinstance(args, tuple):
            raise self.limits.broken_error(f"{what.name} is called without a list of arguments")
        return CALLS[what.name](self, *args)

    def make(self, what: Any, args: Any) -> Any:
        """An object of a class: a dict for dict-like classes, a Record for those that models are made of."""
        if not isinstance(args, tuple):
            raise self.limits.broken_error("a class is given no list of arguments")
        if isinstance(what, Global) and what.name in DICTS:
            return as_dict(self, *args)
        if isinstance(what, Global) and RECORD.fullmatch(what.name):
            return Record(what.name, args=args)
        raise self.limits.unsafe_error(f"it makes an object of {_name_of(what)}, and ganvas makes none for a file")

    def read_nested(self, data: memoryview) -> Any:
        """A torch file of the old kind as bytes in the pickle: this is how plain pickles hold tensors."""
        if bytes(data[: len(LEGACY_MAGIC)]) != LEGACY_MAGIC:
            raise self.limits.broken_error("a nested file that is no torch file of the old kind")
        if self.limits.depth >= _MAX_PICKLES_INSIDE:
            raise self.limits.unsafe_error("it has files inside files inside files")
        self.limits.depth += 1
        tree = read_legacy(data, self.limits)
        self.limits.depth -= 1
        return tree

    def build(self, target: Any, state: Any) -> Any:
        """Give `target` its state; what stands for it from now on."""
        if isinstance(target, Deferred):
            return complete_deferred(self, target, state)
        if isinstance(target, Record):
            target.state = state
        elif not isinstance(target, dict):  # a dict's state is what OrderedDict keeps beside its items: not needed
            raise self.limits.unsafe_error(f"it sets the inner state of a {_name_of(target)}")
        return target

    def add_items(self, target: Any, pairs: list[Any]) -> None:
        if not isinstance(target, dict) or len(pairs) % 2:
            raise self.limits.broken_error("items for something that is no dict")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            target[self.key(key)] = value

    def key(self, key: Any, *, inside: bool = False) -> Any:
        """Only plain keys: deep tuples overflow the stack when hashed, chosen numbers make a dict slow."""
        plain = (
            key is None
            or isinstance(key, (str, bytes, bool))
            or (isinstance(key, int) and abs(key) < 2**60)
            or (isinstance(key, tuple) and not inside and len(key) <= 8 and all(self.is_plain(k) for k in key))
        )
        if not plain:
            raise self.limits.broken_error(f"a {type(key).__name__} as the key of a dict")
        return key

    def is_plain(self, key: Any) -> bool:
        return self.key(key, inside=True) is key


def _name_of(thing: Any) -> str:
    return thing.name if isinstance(thing, Global) else type(thing).__name__


# ---- What the instructions do ------------------------------------------------------------------------------------


def _bytes(reader: PickleReader, count: int) -> Any:
    part = reader.take(count)
    return bytes(part) if count <= _SMALL else part


def _text(reader: PickleReader, count: int) -> str:
    reader.limits.copy(count)
    return str(reader.take(count), "utf-8", "surrogatepass")


def _latin(reader: PickleReader, count: int) -> str:
    """Python 2's str: text or bytes, we cannot know; latin-1 keeps every byte."""
    reader.limits.copy(count)
    return str(reader.take(count), "latin-1")


def _long(reader: PickleReader, count: int) -> int:
    if count > _MAX_NUMBER:
        raise reader.limits.unsafe_error(f"it holds a number of {count:,} bytes")
    return int.from_bytes(reader.take(count), "little", signed=True)


def _int_line(reader: PickleReader) -> Any:
    line = reader.line()
    if line in (b"00", b"01"):
        return line == b"01"
    return int(line)


def _long_line(reader: PickleReader) -> int:
    return int(reader.line().rstrip(b"L"))


def _string_line(reader: PickleReader) -> str:
    line = reader.line().strip()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise reader.limits.broken_error("a text without its quotes")
    return codecs.escape_decode(line[1:-1])[0].decode("latin-1")


def _frame(reader: PickleReader) -> None:
    length = reader.number("<Q")
    if reader.at + length > len(reader.data):
        raise reader.limits.broken_error(
            f"{length:,} bytes are announced and {len(reader.data) - reader.at:,} are left"
        )


def _proto(reader: PickleReader) -> None:
    version = reader.number("B")
    if version > 5:
        raise reader.limits.broken_error(f"a pickle of protocol {version}, known are 0 to 5")


def _refer(reader: PickleReader, pid: Any) -> None:
    if reader.persistent is None:
        raise reader.limits.broken_error("its pickle refers to parts that are not in the file")
    reader.push(reader.persistent(pid))


def _reduce(reader: PickleReader) -> None:
    args, what = reader.pop(), reader.pop()
    reader.push(reader.call(what, args))


def _newobj(reader: PickleReader) -> None:
    args, what = reader.pop(), reader.pop()
    reader.push(reader.make(what, args))


def _newobj_ex(reader: PickleReader) -> None:
    kwargs, args, what = reader.pop(), reader.pop(), reader.pop()
    instance = reader.make(what, args)
    if isinstance(instance, Record):
        instance.args = (*instance.args, kwargs)
    reader.push(instance)


def _obj(reader: PickleReader) -> None:
    what, *args = reader.pop_group()
    reader.push(reader.make(what, tuple(args)))


def _global_line(reader: PickleReader) -> None:
    module, name = reader.line().decode("utf-8"), reader.line().decode("utf-8")
    reader.push_global(module, name)


def _inst(reader: PickleReader) -> None:
    _global_line(reader)
    what = reader.pop()
    reader.push(reader.make(what, tuple(reader.pop_group())))


def _stack_global(reader: PickleReader) -> None:
    name, module = reader.pop(), reader.pop()
    reader.push_global(module, name)


def _build(reader: PickleReader) -> None:
    state, target = reader.pop(), reader.pop()
    reader.push(reader.build(target, state))


def _extend(reader: PickleReader, items: list[Any]) -> None:
    target = reader.top()
    if not isinstance(target, list):
        raise reader.limits.broken_error("entries for something that is no list")
    target.extend(items)


def _append(reader: PickleReader) -> None:
    item = reader.pop()
    _extend(reader, [item])


def _setitem(reader: PickleReader) -> None:
    value, key = reader.pop(), reader.pop()
    reader.add_items(reader.top(), [key, value])


def _setitems(reader: PickleReader) -> None:
    pairs = reader.pop_group()
    reader.add_items(reader.top(), pairs)


def _additems(reader: PickleReader) -> None:
    items, target = reader.pop_group(), reader.top()
    if not isinstance(target, set):
        raise reader.limits.broken_error("members for something that is no set")
    target.update(map(reader.key, items))


def _dict(reader: PickleReader) -> None:
    pairs: dict[Any, Any] = {}
    reader.add_items(pairs, reader.pop_group())
    reader.push(pairs)


def _tuple(reader: PickleReader, count: int) -> None:
    items = [reader.pop() for _ in range(count)]
    reader.push(tuple(items[::-1]))


def _extension(reader: PickleReader) -> None:
    raise reader.limits.unsafe_error("it uses names that only the program that wrote it knows (pickle extensions)")


def _buffer(reader: PickleReader) -> None:
    raise reader.limits.broken_error("its pickle refers to buffers that are not in the file")


_INSTRUCTIONS: dict[int, Callable[[PickleReader], Any]] = {
    ord("("): lambda m: m.push(_MARK),
    ord("0"): lambda m: m.stack.pop(),
    ord("1"): lambda m: m.pop_group(),
    ord("2"): lambda m: m.push(m.top()),
    # Constants and numbers.
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("F"): lambda m: m.push(float(m.line())),
    ord("G"): lambda m: m.push(m.number(">d")),
    ord("I"): lambda m: m.push(_int_line(m)),
    ord("J"): lambda m: m.push(m.number("<i")),
    ord("K"): lambda m: m.push(m.number("B")),
    ord("M"): lambda m: m.push(m.number("<H")),
    ord("L"): lambda m: m.push(_long_line(m)),
    0x8A: lambda m: m.push(_long(m, m.number("B"))),
    0x8B: lambda m: m.push(_long(m, m.number("<I"))),
    # Text and bytes.
    ord("S"): lambda m: m.push(_string_line(m)),
    ord("T"): lambda m: m.push(_latin(m, m.number("<I"))),
    ord("U"): lambda m: m.push(_latin(m, m.number("B"))),
    ord("V"): lambda m: m.push(m.line().decode("raw-unicode-escape")),
    ord("X"): lambda m: m.push(_text(m, m.number("<I"))),
    0x8C: lambda m: m.push(_text(m, m.number("B"))),
    0x8D: lambda m: m.push(_text(m, m.number("<Q"))),
    ord("B"): lambda m: m.push(_bytes(m, m.number("<I"))),
    ord("C"): lambda m: m.push(_bytes(m, m.number("B"))),
    0x8E: lambda m: m.push(_bytes(m, m.number("<Q"))),
    0x96: lambda m: m.push(_bytes(m, m.number("<Q"))),
    # Containers.
    ord("]"): lambda m: m.push([]),
    ord("l"): lambda m: m.push(m.pop_group()),
    ord("a"): _append,
    ord("e"): lambda m: _extend(m, m.pop_group()),
    ord(")"): lambda m: m.push(()),
    ord("t"): lambda m: m.push(tuple(m.pop_group())),
    0x85: lambda m: _tuple(m, 1),
    0x86: lambda m: _tuple(m, 2),
    0x87: lambda m: _tuple(m, 3),
    ord("}"): lambda m: m.push({}),
    ord("d"): _dict,
    ord("s"): _setitem,
    ord("u"): _setitems,
    0x8F: lambda m: m.push(set()),
    0x90: _additems,
    0x91: lambda m: m.push(frozenset(map(m.key, m.pop_group()))),
    # The memo.
    ord("p"): lambda m: m.memoize(int(m.line())),
    ord("q"): lambda m: m.memoize(m.number("B")),
    ord("r"): lambda m: m.memoize(m.number("<I")),
    0x94: lambda m: m.memoize(len(m.memo)),
    ord("g"): lambda m: m.recall(int(m.line())),
    ord("h"): lambda m: m.recall(m.number("B")),
    ord("j"): lambda m: m.recall(m.number("<I")),
    # Names, calls, states.
    ord("c"): _global_line,
    0x93: _stack_global,
    ord("R"): _reduce,
    0x81: _newobj,
    0x92: _newobj_ex,
    ord("o"): _obj,
    ord("i"): _inst,
    ord("b"): _build,
    ord("P"): lambda m: _refer(m, m.line().decode("latin-1")),
    ord("Q"): lambda m: _refer(m, m.pop()),
    # What we do not follow.
    0x80: _proto,
    0x95: _frame,
    0x82: _extension,
    0x83: _extension,
    0x84: _extension,
    0x97: _buffer,
    0x98: _buffer,
}
