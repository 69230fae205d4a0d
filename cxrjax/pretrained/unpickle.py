"""Pickles read without running them: the opcodes are interpreted here, and a name means what the caller lists.

Python's own unpickler calls whatever a file names. Here no name of a file ever becomes a Python object: it is looked up
in a table of builders, and a file that names anything else is refused at that name.
"""

import pickletools
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_WITH_VALUE = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
}  # fmt: skip
_MARK = object()


class Name(NamedTuple):
    """What a file calls `module.name`: never the thing itself."""

    module: str
    name: str


def load(
    stream: BinaryIO, builders: Mapping[str, Callable[..., Any]], of_storage: Callable[[Any], Any] | None = None
) -> Any:
    """Interpret the pickle at the stream's position, to its end.

    Args:
        stream: read to the last byte of the pickle and no further.
        builders: "module.name" -> what to build from the arguments that the file gives it.
        of_storage: what to put for a persistent id, which is how PyTorch refers to a tensor's numbers.

    Returns:
        Numbers, strings, tuples, lists, dicts, `Name`s, and what the builders return. The state that a file gives an
        object after it was built is passed over.

    Raises:
        ValueError: the pickle is cut short or malformed, names what is not listed, or needs what tensors do not need.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}

    def pop_to_mark() -> list[Any]:
        place = max(i for i, value in enumerate(stack) if value is _MARK)
        values = stack[place + 1 :]
        del stack[place:]
        return values

    try:
        for opcode, value, _ in pickletools.genops(stream):
            match opcode.name:
                case "PROTO" | "FRAME":
                    pass
                case "STOP":
                    return stack.pop()
                case "MARK":
                    stack.append(_MARK)
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
                    stack.append(tuple(pop_to_mark()))
                case "TUPLE1" | "TUPLE2" | "TUPLE3" as name:
                    stack[-int(name[-1]) :] = [tuple(stack[-int(name[-1]) :])]
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
                    name, module = stack.pop(), stack.pop()
                    stack.append(_look_up(builders, module, name))
                case "REDUCE":
                    arguments, name = stack.pop(), stack.pop()
                    if not isinstance(name, Name) or not isinstance(arguments, tuple):
                        raise ValueError("it calls what is no function")
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
        raise ValueError(
            f"it names {module}.{name}, which is no tensor, and nothing of a file is run; "
            "of a whole pickled network, save the state_dict"
        )
    return Name(module, name)


def _build(builders: Mapping[str, Callable[..., Any]], name: Name, arguments: tuple) -> Any:
    try:
        return builders[".".join(name)](*arguments)
    except (TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"it calls {'.'.join(name)} with arguments that do not fit") from error


def _list(value: Any) -> list:
    if not isinstance(value, list):
        raise ValueError("it appends to what is no list")
    return value


def _set(target: Any, items: list[Any]) -> None:
    """Keys and values in turn; a key is a string or a number, since to hash anything deep is a way to crash."""
    keys, values = items[::2], items[1::2]
    if not isinstance(target, dict) or not all(isinstance(key, str | int | float | None) for key in keys):
        raise ValueError("it sets an item of what is no dict of names")
    target.update(zip(keys, values, strict=True))
