"""Number of floating-point operations of a function, counted in its convolutions and matrix products."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend import core

from cxrjax.runtime.platform import traced_for


def count_operations(function: Callable[..., Any], *arguments: Any) -> int:
    """Return the operations of convolutions and products; a multiplication and an addition are two.

    XLA reports none on a GPU, where libraries compute them. The function is traced with plain convolutions.
    """
    with traced_for("onnx"):
        traced = jax.make_jaxpr(function)(*arguments)
    return sum(_count(equation) for equation in _iter_equations(traced.jaxpr))


def _iter_equations(jaxpr: core.Jaxpr) -> Iterator[core.JaxprEqn]:
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            if isinstance(value, core.ClosedJaxpr):
                yield from _iter_equations(value.jaxpr)
            elif isinstance(value, core.Jaxpr):
                yield from _iter_equations(value)


def _count(equation: core.JaxprEqn) -> int:
    result = math.prod(equation.outvars[0].aval.shape)
    if equation.primitive.name == "conv_general_dilated":
        kernel = equation.invars[1].aval.shape
        features = kernel[equation.params["dimension_numbers"].rhs_spec[0]]
        return 2 * result * math.prod(kernel) // features
    if equation.primitive.name == "dot_general":
        contracted = equation.params["dimension_numbers"][0][0]
        return 2 * result * math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
    return 0
