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

from ganvas.weights import rebuild
from ganvas.weights.allowed import CALLS, DICTS, RECORD, Global, Later, Record, allowed, as_dict, complete
from ganvas.weights.intake import Intake, check_tree
from ganvas.weights.rebuild import Storage

LEGACY_MAGIC = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")  # the pickled number 0x1950a86a20f9469cfc6c
_SMALL = 256  # bytes up to this length are copied, longer ones look into the file
_MAX_NUMBER = 1 << 12  # bytes
_LINE = 1 << 9  # bytes of an old text instruction to look at first; mostly that is enough
_MAX_PICKLES_INSIDE = 3
_MAX_NAME = 300


class _Mark:
    """The bottom of a group on the stack."""


MARK = _Mark()


def unpickle(data: memoryview, intake: Intake, *, persistent: Callable[[Any], Any] | None = None) -> Any:
    """The tree that one pickle describes; what follows it in `data` is ignored.

    Args:
        data: the pickle's bytes.
        intake: the file's account.
        persistent: what the file's own references ("persistent ids") stand for; None = there are none.

    Raises:
        UnsafeWeights: a name that is not allowed, or a bomb.
        BrokenWeights: not a pickle, or cut short.
    """
    tree, _ = unpickle_from(data, 0, intake, persistent=persistent)
    return tree


def unpickle_from(
    data: memoryview, start: int, intake: Intake, *, persistent: Callable[[Any], Any] | None = None
) -> tuple[Any, int]:
    """The tree of the pickle that begins at byte `start`, and the byte after it; see `unpickle`."""
    machine = Machine(data, start, intake, persistent)
    try:
        tree = machine.run()
    except (struct.error, ValueError, IndexError, TypeError, OverflowError) as error:
        raise intake.broken(f"its pickle makes no sense at byte {machine.at:,} ({str(error)[:80]})") from error
    check_tree(tree, intake)
    return tree, machine.at


def read_legacy(data: memoryview, intake: Intake) -> Any:
    """A torch file of the years before zip (torch.save with _use_new_zipfile_serialization=False).

    It is a chain: magic, protocol, system facts, the object, the list of storage keys, then the numbers of each
    storage. The object comes before the numbers it points to, so it is read twice: for the storages' types, then
    with the numbers.

    Raises:
        UnsafeWeights, BrokenWeights: see `unpickle`.
    """
    at = 0
    for _ in range(2):  # magic and protocol
        _, at = unpickle_from(data, at, intake)
    facts, object_at = unpickle_from(data, at, intake)
    if not isinstance(facts, dict) or facts.get("little_endian") is not True:
        raise intake.broken("it was written by a big-endian computer, or its first lines are missing")
    announced: dict[str, Storage] = {}
    tree, at = unpickle_from(data, object_at, intake, persistent=lambda pid: _announce(pid, announced, intake))
    keys, at = unpickle_from(data, at, intake)
    filled = _fill_storages(data, at, keys, announced, intake)
    if not announced:
        return tree
    return unpickle_from(data, object_at, intake, persistent=lambda pid: _look_up(pid, filled, intake))[0]


def storage_id(pid: Any, intake: Intake) -> tuple[torch.dtype, str, int]:
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
    raise intake.broken("it refers to something that is no storage of torch")


def _announce(pid: Any, announced: dict[str, Storage], intake: Intake) -> Storage:
    dtype, key, numel = storage_id(pid, intake)
    known = announced.setdefault(key, Storage(dtype, numel))
    if known.dtype != dtype or known.numel != numel:
        raise intake.broken(f"storage {key[:40]!r} is announced twice and differently")
    return Storage(dtype, numel)


def _look_up(pid: Any, filled: dict[str, Storage], intake: Intake) -> Storage:
    held = filled[storage_id(pid, intake)[1]]
    view = pid[5] if len(pid) == 6 else None
    if view is None:
        return held
    # Before torch 0.4 two storages could share one: (key, offset, numel) of the part.
    if not (isinstance(view, tuple) and len(view) == 3 and all(isinstance(n, int) and n >= 0 for n in view[1:])):
        raise intake.broken("a part of a storage is described wrongly")
    first, numel = view[1:]
    if first + numel > held.numel or held.data is None:
        raise intake.broken("a part of a storage reaches beyond it")
    step = held.dtype.itemsize
    return Storage(held.dtype, numel, held.data[first * step : (first + numel) * step])


def _fill_storages(
    data: memoryview, at: int, keys: Any, announced: dict[str, Storage], intake: Intake
) -> dict[str, Storage]:
    """The storages' numbers lie one after the other: a count (8 bytes), then the numbers."""
    if not isinstance(keys, list) or not all(isinstance(key, str) and key in announced for key in keys):
        raise intake.broken("its list of storages does not fit its tensors")
    filled = {}
    for key in keys:
        plan = announced[key]
        if at + 8 > len(data) or struct.unpack_from("<q", data, at)[0] != plan.numel:
            raise intake.broken(f"storage {key[:40]!r} should have {plan.numel:,} numbers and has not")
        end = at + 8 + plan.nbytes
        if end > len(data):
            raise intake.broken(f"it ends within a storage: {len(data):,} bytes are there, {end:,} are needed")
        filled[key] = rebuild.storage(plan.dtype, plan.numel, data[at + 8 : end], intake)
        at = end
    if len(filled) != len(announced):
        raise intake.broken("the numbers of some of its tensors are missing")
    return filled


class Machine:
    """Stack, memo and position while one pickle is read."""

    def __init__(self, data: memoryview, start: int, intake: Intake, persistent: Callable[[Any], Any] | None) -> None:
        self.data = data
        self.at = start
        self.intake = intake
        self.persistent = persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        step, data = self.intake.step, self.data
        while True:
            if self.at >= len(data):
                raise self.intake.broken("its pickle ends too early")
            code = data[self.at]
            self.at += 1
            if code == 0x2E:  # STOP
                return self.pop()
            step()
            do = _INSTRUCTIONS.get(code)
            if do is None:
                raise self.intake.broken(f"byte {self.at - 1:,} is no instruction of a pickle ({code:#04x})")
            do(self)

    # Bytes of the file.

    def take(self, count: int) -> memoryview:
        if count < 0 or self.at + count > len(self.data):
            raise self.intake.broken(f"{count:,} bytes are announced and {len(self.data) - self.at:,} are left")
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
        raise self.intake.broken("a line of text in its pickle does not end")

    # The stack.

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is MARK:
            raise self.intake.broken("its pickle takes more from the stack than it put there")
        return value

    def top(self) -> Any:
        return self.stack[-1]

    def pop_group(self) -> list[Any]:
        """Everything above the last mark; the mark goes too."""
        group = []
        while (value := self.stack.pop()) is not MARK:
            group.append(value)
        return group[::-1]

    def keep(self, slot: int) -> None:
        """Memorise the top of the stack."""
        if not 0 <= slot < 2**32:
            raise self.intake.broken(f"memo entry {slot}")
        value = self.memo[slot] = self.top()
        if isinstance(value, Later):
            value.slots.append(slot)

    def recall(self, slot: int) -> None:
        if slot not in self.memo:
            raise self.intake.broken(f"it refers to memo entry {slot}, which was never set")
        self.push(self.memo[slot])

    # Names, calls, states.

    def ask_for(self, module: Any, name: Any) -> None:
        """The file names something: push what stands for it, or refuse."""
        if not isinstance(module, str) or not isinstance(name, str) or len(module) + len(name) > _MAX_NAME:
            raise self.intake.broken("a name in its pickle is no text, or a very long one")
        self.push(allowed(module, name, self.intake))

    def call(self, what: Any, args: Any) -> Any:
        if not isinstance(what, Global) or what.name not in CALLS:
            raise self.intake.unsafe(f"it calls {_name_of(what)}, and ganvas calls nothing for a file")
        if not isinstance(args, tuple):
            raise self.intake.broken(f"{what.name} is called without a list of arguments")
        return CALLS[what.name](self, *args)

    def make(self, what: Any, args: Any) -> Any:
        """An object of a class: a dict for dict-like classes, a Record for those that models are made of."""
        if not isinstance(args, tuple):
            raise self.intake.broken("a class is given no list of arguments")
        if isinstance(what, Global) and what.name in DICTS:
            return as_dict(self, *args)
        if isinstance(what, Global) and RECORD.fullmatch(what.name):
            return Record(what.name, args=args)
        raise self.intake.unsafe(f"it makes an object of {_name_of(what)}, and ganvas makes none for a file")

    def read_nested(self, data: memoryview) -> Any:
        """A torch file of the old kind as bytes in the pickle: this is how plain pickles hold tensors."""
        if bytes(data[: len(LEGACY_MAGIC)]) != LEGACY_MAGIC:
            raise self.intake.broken("a nested file that is no torch file of the old kind")
        if self.intake.depth >= _MAX_PICKLES_INSIDE:
            raise self.intake.unsafe("it has files inside files inside files")
        self.intake.depth += 1
        tree = read_legacy(data, self.intake)
        self.intake.depth -= 1
        return tree

    def build(self, target: Any, state: Any) -> Any:
        """Give `target` its state; what stands for it from now on."""
        if isinstance(target, Later):
            return complete(self, target, state)
        if isinstance(target, Record):
            target.state = state
        elif not isinstance(target, dict):  # a dict's state is what OrderedDict keeps beside its items: not needed
            raise self.intake.unsafe(f"it sets the inner state of a {_name_of(target)}")
        return target

    def add_items(self, target: Any, pairs: list[Any]) -> None:
        if not isinstance(target, dict) or len(pairs) % 2:
            raise self.intake.broken("items for something that is no dict")
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
            raise self.intake.broken(f"a {type(key).__name__} as the key of a dict")
        return key

    def is_plain(self, key: Any) -> bool:
        return self.key(key, inside=True) is key


def _name_of(thing: Any) -> str:
    return thing.name if isinstance(thing, Global) else type(thing).__name__


# ---- What the instructions do ------------------------------------------------------------------------------------


def _bytes(machine: Machine, count: int) -> Any:
    part = machine.take(count)
    return bytes(part) if count <= _SMALL else part


def _text(machine: Machine, count: int) -> str:
    machine.intake.copy(count)
    return str(machine.take(count), "utf-8", "surrogatepass")


def _latin(machine: Machine, count: int) -> str:
    """Python 2's str: text or bytes, we cannot know; latin-1 keeps every byte."""
    machine.intake.copy(count)
    return str(machine.take(count), "latin-1")


def _long(machine: Machine, count: int) -> int:
    if count > _MAX_NUMBER:
        raise machine.intake.unsafe(f"it holds a number of {count:,} bytes")
    return int.from_bytes(machine.take(count), "little", signed=True)


def _int_line(machine: Machine) -> Any:
    line = machine.line()
    if line in (b"00", b"01"):
        return line == b"01"
    return int(line)


def _long_line(machine: Machine) -> int:
    return int(machine.line().rstrip(b"L"))


def _string_line(machine: Machine) -> str:
    line = machine.line().strip()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise machine.intake.broken("a text without its quotes")
    return codecs.escape_decode(line[1:-1])[0].decode("latin-1")


def _frame(machine: Machine) -> None:
    length = machine.number("<Q")
    if machine.at + length > len(machine.data):
        raise machine.intake.broken(f"{length:,} bytes are announced and {len(machine.data) - machine.at:,} are left")


def _proto(machine: Machine) -> None:
    version = machine.number("B")
    if version > 5:
        raise machine.intake.broken(f"a pickle of protocol {version}, known are 0 to 5")


def _refer(machine: Machine, pid: Any) -> None:
    if machine.persistent is None:
        raise machine.intake.broken("its pickle refers to parts that are not in the file")
    machine.push(machine.persistent(pid))


def _reduce(machine: Machine) -> None:
    args, what = machine.pop(), machine.pop()
    machine.push(machine.call(what, args))


def _newobj(machine: Machine) -> None:
    args, what = machine.pop(), machine.pop()
    machine.push(machine.make(what, args))


def _newobj_ex(machine: Machine) -> None:
    kwargs, args, what = machine.pop(), machine.pop(), machine.pop()
    made = machine.make(what, args)
    if isinstance(made, Record):
        made.args = (*made.args, kwargs)
    machine.push(made)


def _obj(machine: Machine) -> None:
    what, *args = machine.pop_group()
    machine.push(machine.make(what, tuple(args)))


def _global_line(machine: Machine) -> None:
    module, name = machine.line().decode("utf-8"), machine.line().decode("utf-8")
    machine.ask_for(module, name)


def _inst(machine: Machine) -> None:
    _global_line(machine)
    what = machine.pop()
    machine.push(machine.make(what, tuple(machine.pop_group())))


def _stack_global(machine: Machine) -> None:
    name, module = machine.pop(), machine.pop()
    machine.ask_for(module, name)


def _build(machine: Machine) -> None:
    state, target = machine.pop(), machine.pop()
    machine.push(machine.build(target, state))


def _extend(machine: Machine, items: list[Any]) -> None:
    target = machine.top()
    if not isinstance(target, list):
        raise machine.intake.broken("entries for something that is no list")
    target.extend(items)


def _append(machine: Machine) -> None:
    item = machine.pop()
    _extend(machine, [item])


def _setitem(machine: Machine) -> None:
    value, key = machine.pop(), machine.pop()
    machine.add_items(machine.top(), [key, value])


def _setitems(machine: Machine) -> None:
    pairs = machine.pop_group()
    machine.add_items(machine.top(), pairs)


def _additems(machine: Machine) -> None:
    items, target = machine.pop_group(), machine.top()
    if not isinstance(target, set):
        raise machine.intake.broken("members for something that is no set")
    target.update(map(machine.key, items))


def _dict(machine: Machine) -> None:
    pairs: dict[Any, Any] = {}
    machine.add_items(pairs, machine.pop_group())
    machine.push(pairs)


def _tuple(machine: Machine, count: int) -> None:
    items = [machine.pop() for _ in range(count)]
    machine.push(tuple(items[::-1]))


def _extension(machine: Machine) -> None:
    raise machine.intake.unsafe("it uses names that only the program that wrote it knows (pickle extensions)")


def _buffer(machine: Machine) -> None:
    raise machine.intake.broken("its pickle refers to buffers that are not in the file")


_INSTRUCTIONS: dict[int, Callable[[Machine], Any]] = {
    ord("("): lambda m: m.push(MARK),
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
    ord("p"): lambda m: m.keep(int(m.line())),
    ord("q"): lambda m: m.keep(m.number("B")),
    ord("r"): lambda m: m.keep(m.number("<I")),
    0x94: lambda m: m.keep(len(m.memo)),
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
