"""cxrjax: chest radiographs in JAX. Segment the lungs, classify by the votes of patches, and draw a saliency map.

    import cxrjax as cx

    model = cx.load("runs/findings")
    prediction = model.predict("patient.dcm")
    print(prediction.label, prediction.probabilities)
    prediction.plot("patient.png")

`__all__` lists the public names; what is in no `__all__` is private. Importing the package imports neither JAX nor any
other library: each name is imported when it is first used.

For research, not for diagnosis.
"""

from typing import TYPE_CHECKING

from cxrjax.runtime.lazy_imports import lazy_imports as _lazy_imports

if TYPE_CHECKING:  # the same names for type checkers
    from cxrjax import inference as inference
    from cxrjax import metrics as metrics
    from cxrjax import models as models
    from cxrjax import ops as ops
    from cxrjax.api import datasets as datasets
    from cxrjax.api.functions import enable_compilation_cache as enable_compilation_cache
    from cxrjax.api.functions import evaluate as evaluate
    from cxrjax.api.functions import export_run as export_run
    from cxrjax.api.functions import find_radiographs as find_radiographs
    from cxrjax.api.functions import load as load
    from cxrjax.api.functions import read_radiograph as read_radiograph
    from cxrjax.api.functions import train as train
    from cxrjax.config import recipes as recipes
    from cxrjax.data.image_input import ImageRefusedError as ImageRefusedError
    from cxrjax.data.image_input import InputSpec as InputSpec
    from cxrjax.data.image_input import preprocess as preprocess
    from cxrjax.inference.model import Model as Model
    from cxrjax.inference.model import Prediction as Prediction
    from cxrjax.io.errors import ImageReadError as ImageReadError
    from cxrjax.io.types import Radiograph as Radiograph

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = _lazy_imports(
    __name__,
    {
        "CxrjaxError": "cxrjax.runtime.errors:CxrjaxError",
        "ImageReadError": "cxrjax.io.errors:ImageReadError",
        "ImageRefusedError": "cxrjax.data.image_input:ImageRefusedError",
        "InputSpec": "cxrjax.data.image_input:InputSpec",
        "Model": "cxrjax.inference.model:Model",
        "Prediction": "cxrjax.inference.model:Prediction",
        "Radiograph": "cxrjax.io.types:Radiograph",
        "audit_run": "cxrjax.api.functions:audit_run",
        "datasets": "cxrjax.api.datasets",
        "enable_compilation_cache": "cxrjax.api.functions:enable_compilation_cache",
        "evaluate": "cxrjax.api.functions:evaluate",
        "export_run": "cxrjax.api.functions:export_run",
        "find_radiographs": "cxrjax.api.functions:find_radiographs",
        "inference": "cxrjax.inference",
        "load": "cxrjax.api.functions:load",
        "metrics": "cxrjax.metrics",
        "models": "cxrjax.models",
        "ops": "cxrjax.ops",
        "preprocess": "cxrjax.data.image_input:preprocess",
        "read_radiograph": "cxrjax.api.functions:read_radiograph",
        "recipes": "cxrjax.config.recipes",
        "train": "cxrjax.api.functions:train",
    },
)
