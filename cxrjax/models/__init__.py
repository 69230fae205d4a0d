"""Networks, their layers, and the registry that creates them by name."""

from cxrjax.runtime.lazy_imports import lazy_imports as _lazy_imports

__getattr__, __dir__, __all__ = _lazy_imports(
    __name__,
    {
        "create": "cxrjax.models.factory:create",
        "list": "cxrjax.models.factory:list_architectures",
    },
)
