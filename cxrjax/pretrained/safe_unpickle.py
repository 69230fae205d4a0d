"""Interpreter of pickles that never executes code in the file.

Python's unpickler calls any object that a file names. Here a name never becomes a Python object. A call is carried out
by a function of a table given by the caller, and a file that calls any other name is rejected at that call. An object
of a class is read as the name of the class and the state that the file stores for it; nothing of the class is imported
or called.

Time and memory are bounded by the length of the pickle, which is bounded too (`MAX_BYTES`, `MAX_OPCODES`).
"""

import io
import pickletools
from collections.abc import Callable, Mapping
from typing import IO, Any, NamedTuple

from cxrjax.runtime.text import SHORT_LENGTH, printable

# A state dict has about forty opcodes and two hundred bytes per tensor; the limits are a hundred times those of our
# largest network with its optimizer.
MAX_BYTES = 64 * 2**20
MAX_OPCODES = 2_000_000
_MAX_ARGUMENTS = 16  # of a call; a tensor has seven
_MAX_KEY = 2**60  # smaller integer keys cannot be chosen to collide, as multiples of 2^61 - 1 do

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_WITH_VALUE = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
}  # fmt: skip


class Name(NamedTuple):
    """Text `module.name` in a file, never the object of that name."""

    module: str
    name: str


class Opaque:
    """Object of a class that is known by name alone.

    Attributes:
        class_name: the name.
        state: attributes by name, as stored in the file; {} if they are not a dict.
    """

    __slots__ = ("class_name", "state")

    def __init__(self, class_name: Name):
        self.class_name = class_name
        self.state: dict[Any, Any] = {}


def load(
    stream: IO[bytes], builders: Mapping[str, Callable[..., Any]], build_storage: Callable[[Any], Any] | None = None
) -> Any:
    """Interpret the pickle at the stream's position.

    Args:
        stream: seekable stream; its position afterwards is the end of the pickle.
        builders: "module.name" -> function of the arguments in the file, whose result replaces the object.
        build_storage: function of a persistent id, by which PyTorch refers to the numbers of a tensor.

    Returns:
        Numbers, strings, tuples, lists, dicts, `Name`s, `Opaque` objects and results of the builders. State that the
        file sets on the result of a builder is ignored.

    Raises:
        ValueError: the pickle is truncated, malformed or far longer than that of a network, calls a name without a
            builder, or has opcodes that tensors and objects do not need.
    """
    start = stream.tell()
    content = io.BytesIO(stream.read(MAX_BYTES))  # limits the memory, whatever lengths the file declares
    value = _interpret(content, builders, build_storage)
    stream.seek(start + content.tell())
    return value


def _interpret(
    stream: io.BytesIO, builders: Mapping[str, Callable[..., Any]], build_storage: Callable[[Any], Any] | None
) -> Any:
    stack: list[Any] = []
    outer_stacks: list[list[Any]] = []  # the stack below each mark, so that no search for a mark is needed
    memo: dict[Any, Any] = {}
    work = 0  # elements of the containers passed to calls

    def pop_to_mark() -> list[Any]:
        nonlocal stack
        values = stack
        stack = outer_stacks.pop()
        return values

    try:
        for count, (opcode, value, _) in enumerate(pickletools.genops(stream)):
            if count > MAX_OPCODES:
                raise ValueError(f"its pickle has more than {MAX_OPCODES} parts, a hundred times those of a network")
            match opcode.name:
                case "PROTO" | "FRAME":
                    pass
                case "STOP":
                    return stack.pop()
                case "MARK":
                    outer_stacks.append(stack)
                    stack = []
                case name if name in _CONSTANTS:
                    stack.append(_CONSTANTS[name])
                case name if name in _WITH_VALUE:
                    stack.append(value)
                case "EMPTY_TUPLE":
                    stack.append(())
                case "EMPTY_LIST":
                    stack.append([])
                case "EMPTY_DICT":
                    stack.append({})
                case "TUPLE":
                    values = tuple(pop_to_mark())
                    stack.append(values)
                case "TUPLE1" | "TUPLE2" | "TUPLE3" as name:
                    size = int(name[-1])
                    if len(stack) < size:
                        raise IndexError
                    stack[-size:] = [tuple(stack[-size:])]
                case "APPEND":
                    item = stack.pop()
                    _require_list(stack[-1]).append(item)
                case "APPENDS":
                    items = pop_to_mark()
                    _require_list(stack[-1]).extend(items)
                case "SETITEM":
                    item = stack.pop()
                    key = stack.pop()
                    _set_items(stack[-1], [key, item])
                case "SETITEMS":
                    items = pop_to_mark()
                    _set_items(stack[-1], items)
                case "BINPUT" | "LONG_BINPUT":
                    memo[value] = stack[-1]
                case "MEMOIZE":
                    memo[len(memo)] = stack[-1]
                case "BINGET" | "LONG_BINGET":
                    stack.append(memo[value])
                case "GLOBAL":
                    stack.append(Name(*str(value).split(" ", 1)))
                case "STACK_GLOBAL":
                    name = stack.pop()
                    module = stack.pop()
                    if not isinstance(name, str) or not isinstance(module, str):
                        raise TypeError
                    stack.append(Name(module, name))
                case "REDUCE":
                    arguments = stack.pop()
                    name = stack.pop()
                    if not isinstance(name, Name) or not isinstance(arguments, tuple):
                        raise ValueError("it calls something that is not a function")
                    require_builder(builders, name)
                    work += _count_elements(name, arguments)
                    if work > 16 * count + 1000:  # one list may not be passed to a thousand calls
                        raise ValueError("it repeats its parts far more often than a file of tensors does")
                    stack.append(_build(builders, name, arguments))
                case "NEWOBJ":
                    stack.pop()  # arguments of the constructor, which is not called
                    class_name = stack.pop()
                    if not isinstance(class_name, Name) or _full_name(class_name) in builders:
                        raise ValueError("its opcode NEWOBJ makes an object of something that is not a class")
                    stack.append(Opaque(class_name))
                case "BUILD":
                    state = stack.pop()
                    if isinstance(stack[-1], Opaque) and isinstance(state, dict):
                        stack[-1].state = state
                case "BINPERSID" if build_storage:
                    stack.append(build_storage(stack.pop()))
                case other:
                    raise ValueError(f"it contains the opcode {other}, which no file of tensors needs")
    except (IndexError, KeyError, TypeError, RecursionError, OverflowError, MemoryError) as error:
        raise ValueError("its pickle is malformed") from error
    raise ValueError("its pickle has no end")


def require_builder(builders: Mapping[str, Callable[..., Any]], name: Name) -> None:
    """Raise a ValueError that names the reason if there is no builder of a name."""
    if _full_name(name) in builders:
        return
    text = printable(_full_name(name), SHORT_LENGTH)
    if name.module.partition(".")[0] == "torch" and (
        name.name.startswith("_rebuild_") or name.name.endswith("Storage")
    ):
        raise ValueError(
            f"it contains tensors of a type that is not supported ({text}), such as quantized, sparse or "
            "complex ones; save dense tensors of float32"
        )
    raise ValueError(
        f"it refers to {text}, which is not a tensor, and code in a file is never run; "
        "if you trust the file, load it in PyTorch and save the state_dict of the network instead"
    )


def _full_name(name: Name) -> str:
    return f"{name.module}.{name.name}"


def _count_elements(name: Name, arguments: tuple) -> int:
    """Count the arguments of a call and the elements of the containers among them."""
    if len(arguments) > _MAX_ARGUMENTS:
        raise ValueError(f"it calls {'.'.join(name)} with arguments that do not fit")
    return len(arguments) + sum(len(argument) for argument in arguments if isinstance(argument, tuple | list | dict))


def _build(builders: Mapping[str, Callable[..., Any]], name: Name, arguments: tuple) -> Any:
    try:
        return builders[".".join(name)](*arguments)
    except (TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"it calls {'.'.join(name)} with arguments that do not fit") from error


def _require_list(value: Any) -> list:
    if not isinstance(value, list):
        raise ValueError("it appends to something that is not a list")
    return value


def is_key(value: Any) -> bool:
    """Return whether a value is accepted as the key of a dict.

    Hashing deeply nested values can crash, and large integers can be chosen so that their hashes collide.
    """
    return value is None or isinstance(value, str | float) or (isinstance(value, int) and abs(value) < _MAX_KEY)


def _set_items(target: Any, items: list[Any]) -> None:
    """Update a dict by a list of alternating keys and values."""
    keys = items[::2]
    values = items[1::2]
    if not isinstance(target, dict) or not all(map(is_key, keys)):
        raise ValueError("it sets an item of something that is not a dict of names")
    if len(keys) != len(values):
        raise ValueError("its pickle is malformed")
    target.update(zip(keys, values, strict=True))
