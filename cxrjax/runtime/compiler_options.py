"""Options of XLA's compiler on a CPU for programs whose compiling costs more than its most expensive passes save.

By default XLA, of jaxlib 0.10, lowers each fused loop in an MLIR context of its own, and optimizes it by all passes of
LLVM. In the networks the time goes into matrix products, which a library computes, so that the loops between them gain
nothing. CPU seconds on two cores of an AMD EPYC, `predict` of one radiograph of 1024² with 100 votes:

| program | compiled by default | run | with the options | run |
| --- | ---: | ---: | ---: | ---: |
| FC-DenseNet103 at 256², and the crops | 12.2 | 1.11 | 5.2 (`SEGMENTATION`) | 1.10 |
| ResNet18 of the crops | 8.4 | 3.03 | 4.7 (`CLASSIFICATION`) | 3.03 |
| training step of FC-DenseNet103, 2 at 256² | 60.4 | 9.2 | 34.5 (`SEGMENTATION`) | 9.3 |
| training step of ResNet18, 16 at 224² | 19.2 | 2.6 | 15.1 (`CLASSIFICATION`) | 2.7 |

ResNet18 with the options of `SEGMENTATION` would compile in 3.3 s and run in 3.9; its training step would take 3.6 s.
"""

from collections.abc import Mapping
from typing import Any

import jax

# From jaxlib 0.11 on, XLA has the newer emitters only, and refuses a program with an option that it does not know.
_OLDER_EMITTERS = {"xla_cpu_use_fusion_emitters": False} if jax.__version_info__ < (0, 11) else {}
CLASSIFICATION: Mapping[str, bool | int] = {"xla_backend_optimization_level": 1}
SEGMENTATION: Mapping[str, bool | int] = {**CLASSIFICATION, **_OLDER_EMITTERS}


def on_cpu(options: Mapping[str, bool | int]) -> dict[str, Any]:
    """Return options for `jax.jit(..., compiler_options=...)`; none on an accelerator, where they mean other things."""
    return dict(options) if jax.default_backend() == "cpu" else {}
