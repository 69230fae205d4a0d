"""Networks, their layers, and the registry that creates them by name.

The public functions are those of `cxrjax.api.networks`: published weights are read by packages above this one.
"""

from cxrjax.runtime.lazy_imports import lazy_imports as _lazy_imports

__getattr__, __dir__, __all__ = _lazy_imports(
    __name__,
    {
        "create": "cxrjax.api.networks:create",
        "list": "cxrjax.api.networks:list_architectures",
    },
)
