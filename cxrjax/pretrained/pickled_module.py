"""Parameters and buffers of a whole pickled network, `torch.save(model)`, without its classes."""

from typing import Any, TypeVar

from cxrjax.pretrained.safe_unpickle import Opaque
from cxrjax.runtime.text import SHORT_LENGTH, printable

_MAX_ENTRIES = 100_000  # parameters, buffers and modules; the largest network of torchvision has 5,000
_MAX_DEPTH = 50  # modules inside one another
_MAX_NAME = 1000  # characters of the dotted name of a tensor
_LABEL_ATTRIBUTES = ("pathologies", "targets")  # of torchxrayvision's networks, in the order of its own code

_Tensor = TypeVar("_Tensor")


def tensors(network: Opaque, tensor_type: type[_Tensor]) -> dict[str, _Tensor]:
    """Return the tensors of a network by the names of its `state_dict()`.

    Only the parameters, buffers and modules are visited; all other attributes are ignored.

    Args:
        network: object of a subclass of `torch.nn.Module`.
        tensor_type: type of the tensors.

    Raises:
        ValueError: the object has no tensors, or has more or longer nested modules than any network.
    """
    found: dict[str, _Tensor] = {}
    pending = [("", network, 1)]  # prefix of the names, module, depth
    count = 0
    while pending:
        prefix, module, depth = pending.pop()
        children: list[tuple[str, Opaque, int]] = []
        for kind in ("_parameters", "_buffers", "_modules"):
            entries = module.state.get(kind)
            if not isinstance(entries, dict):
                continue
            count += len(entries)  # a file may refer to one dict many times
            if count > _MAX_ENTRIES or depth > _MAX_DEPTH:
                raise ValueError(
                    f"its network has more than {_MAX_ENTRIES} modules and tensors, or {_MAX_DEPTH} inside one another"
                )
            for name, value in entries.items():
                if not isinstance(name, str) or len(prefix) + len(name) > _MAX_NAME:
                    raise ValueError(f"its network has a name that is not a text of up to {_MAX_NAME} characters")
                if kind != "_modules" and isinstance(value, tensor_type):
                    found[prefix + name] = value
                elif kind == "_modules" and isinstance(value, Opaque):
                    children.append((f"{prefix}{name}.", value, depth + 1))
        pending += reversed(children)
    if not found:
        class_name = printable(".".join(network.class_name), SHORT_LENGTH)
        raise ValueError(f"it contains an object of the class {class_name}, which has no weights")
    return found


def label_names(content: Any) -> list[str]:
    """Return the names of the outputs that a network has as an attribute; [] if it has none, or is no network."""
    if isinstance(content, Opaque):
        for attribute in _LABEL_ATTRIBUTES:
            names = content.state.get(attribute)
            if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
                return names
    return []
