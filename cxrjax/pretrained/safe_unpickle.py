"""Pickles read without running them: the opcodes are interpreted here, and a name means what the caller lists.

Python's own unpickler calls whatever a file names. Here no name of a file ever becomes a Python object: it is looked up
in a table of builders, and a file that names anything else is refused at that name.

Time and memory are bounded by the length of the pickle, which is bounded too (`MOST_BYTES`, `MOST_OPCODES`).
"""

import io
import pickletools
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple

from cxrjax.runtime.text import SHORT, printable

# A state dict has some forty opcodes and two hundred bytes for each tensor; these are a hundred times those of the
# largest network here with its optimizer.
MOST_BYTES = 64 * 2**20
MOST_OPCODES = 2_000_000
_MOST_ARGUMENTS = 16  # of a call; a tensor has seven
_LARGEST_KEY = 2**60  # integer keys below it do not collide by design, as multiples of 2^61 - 1 do

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_WITH_VALUE = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
}  # fmt: skip


class Name(NamedTuple):
    """The text `module.name` in a file: never the thing itself."""

    module: str
    name: str


def load(
    stream: BinaryIO, builders: Mapping[str, Callable[..., Any]], of_storage: Callable[[Any], Any] | None = None
) -> Any:
    """Interpret the pickle at the stream's position, to its end.

    Args:
        stream: can be sought; is left behind the last byte of the pickle.
        builders: "module.name" -> a function of the arguments in the file, and what it returns stands for the object.
        of_storage: the same for a persistent id, which is how PyTorch refers to a tensor's numbers.

    Returns:
        Numbers, strings, tuples, lists, dicts, `Name`s, and what the builders return. The state that a file sets on an
        object after it was built is skipped.

    Raises:
        ValueError: the pickle is cut short, malformed or far longer than that of a network, names what is not listed,
            or needs what tensors do not need.
    """
    start = stream.tell()
    content = io.BytesIO(stream.read(MOST_BYTES))  # no length that the file declares allocates more than this
    value = _interpret(content, builders, of_storage)
    stream.seek(start + content.tell())
    return value


def _interpret(
    stream: io.BytesIO, builders: Mapping[str, Callable[..., Any]], of_storage: Callable[[Any], Any] | None
) -> Any:
    stack: list[Any] = []
    below: list[list[Any]] = []  # the stacks below each mark, so that a mark is found without a search
    memo: dict[int, Any] = {}
    work = 0  # elements of containers that calls were given

    def pop_to_mark() -> list[Any]:
        nonlocal stack
        values = stack
        stack = below.pop()
        return values

    try:
        for count, (opcode, value, _) in enumerate(pickletools.genops(stream)):
            if count > MOST_OPCODES:
                raise ValueError(f"its pickle has more than {MOST_OPCODES} parts, a hundred times those of a network")
            match opcode.name:
                case "PROTO" | "FRAME":
                    pass
                case "STOP":
                    return stack.pop()
                case "MARK":
                    below.append(stack)
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
                    _list(stack[-1]).append(item)
                case "APPENDS":
                    items = pop_to_mark()
                    _list(stack[-1]).extend(items)
                case "SETITEM":
                    item = stack.pop()
                    key = stack.pop()
                    _set(stack[-1], [key, item])
                case "SETITEMS":
                    items = pop_to_mark()
                    _set(stack[-1], items)
                case "BINPUT" | "LONG_BINPUT":
                    memo[value] = stack[-1]
                case "MEMOIZE":
                    memo[len(memo)] = stack[-1]
                case "BINGET" | "LONG_BINGET":
                    stack.append(memo[value])
                case "GLOBAL":
                    stack.append(_look_up(builders, *value.split(" ", 1)))
                case "STACK_GLOBAL":
                    name = stack.pop()
                    module = stack.pop()
                    if not isinstance(name, str) or not isinstance(module, str):
                        raise TypeError
                    stack.append(_look_up(builders, module, name))
                case "REDUCE":
                    arguments = stack.pop()
                    name = stack.pop()
                    if not isinstance(name, Name) or not isinstance(arguments, tuple):
                        raise ValueError("it calls what is no function")
                    work += _size(name, arguments)
                    if work > 16 * count + 1000:  # a list that is built once may not be given to a thousand calls
                        raise ValueError("it repeats its parts far more often than a file of tensors does")
                    stack.append(_build(builders, name, arguments))
                case "BUILD":
                    stack.pop()
                case "BINPERSID" if of_storage:
                    stack.append(of_storage(stack.pop()))
                case other:
                    raise ValueError(f"it holds the opcode {other}, which no file of tensors needs")
    except (IndexError, KeyError, TypeError, RecursionError, OverflowError, MemoryError) as error:
        raise ValueError("its pickle is malformed") from error
    raise ValueError("its pickle has no end")


def _look_up(builders: Mapping[str, Callable[..., Any]], module: str, name: str) -> Name:
    if f"{module}.{name}" not in builders:
        called = printable(f"{module}.{name}", SHORT)
        if module.partition(".")[0] == "torch" and (name.startswith("_rebuild_") or name.endswith("Storage")):
            raise ValueError(
                f"it holds tensors of a kind that is not read ({called}), as quantized, sparse and complex ones are; "
                "save plain tensors of float32"
            )
        raise ValueError(
            f"it names {called}, which is no tensor, and nothing of a file is run; "
            "of a whole pickled network, save the state_dict"
        )
    return Name(module, name)


def _size(name: Name, arguments: tuple) -> int:
    """Return the number of elements in the arguments of a call, and in the containers among them."""
    if len(arguments) > _MOST_ARGUMENTS:
        raise ValueError(f"it calls {'.'.join(name)} with arguments that do not fit")
    return len(arguments) + sum(len(each) for each in arguments if isinstance(each, tuple | list | dict))


def _build(builders: Mapping[str, Callable[..., Any]], name: Name, arguments: tuple) -> Any:
    try:
        return builders[".".join(name)](*arguments)
    except (TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"it calls {'.'.join(name)} with arguments that do not fit") from error


def _list(value: Any) -> list:
    if not isinstance(value, list):
        raise ValueError("it appends to what is no list")
    return value


def is_key(value: Any) -> bool:
    """Return whether a value may be the key of a dict.

    To hash anything deep is a way to crash, and large integers can be chosen so that all collide.
    """
    return value is None or isinstance(value, str | float) or (isinstance(value, int) and abs(value) < _LARGEST_KEY)


def _set(target: Any, items: list[Any]) -> None:
    """Set keys and values, which come in turn."""
    keys = items[::2]
    values = items[1::2]
    if not isinstance(target, dict) or not all(map(is_key, keys)):
        raise ValueError("it sets an item of what is no dict of names")
    if len(keys) != len(values):
        raise ValueError("its pickle is malformed")
    target.update(zip(keys, values, strict=True))
