"""Networks, their layers, and the registry that creates them by name.

The public functions are those of `cxrjax.api.networks`: published weights are read by packages above this one.
"""

from typing import TYPE_CHECKING

from cxrjax.runtime.lazy_imports import lazy_imports as _lazy_imports

if TYPE_CHECKING:  # the same names for type checkers
    from cxrjax.api.networks import create as create
    from cxrjax.api.networks import list_names as list  # noqa: F401 (it is `models.list`)

__getattr__, __dir__, __all__ = _lazy_imports(
    __name__,
    {
        "create": "cxrjax.api.networks:create",
        "list": "cxrjax.api.networks:list_names",
    },
)
