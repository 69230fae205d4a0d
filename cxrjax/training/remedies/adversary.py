"""Adversary that predicts the source from the features, whose gradient is reversed on its way into the network.

Ganin et al. 2016, "Domain-adversarial training of neural networks", section 3: the adversary learns to recognize the
source, and the network learns features by which it cannot. Where class and source are correlated, features of the class
are lost too, unless the batches are balanced over (source, class).
"""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int32, Key

_WIDTH = 64  # of the hidden layer; ours


def init(key: Key[Array, ""], num_features: int, num_sources: int) -> dict[str, Array]:
    """Draw the weights of an adversary with one hidden layer."""
    hidden_key, output_key = jax.random.split(key)
    he_normal = jax.nn.initializers.he_normal()
    return {
        "hidden_kernel": he_normal(hidden_key, (num_features, _WIDTH)),
        "hidden_bias": jnp.zeros(_WIDTH),
        "output_kernel": he_normal(output_key, (_WIDTH, num_sources)),
        "output_bias": jnp.zeros(num_sources),
    }


@jax.custom_vjp
def reverse_gradient(features: Float[Array, "n d"], scale: float) -> Float[Array, "n d"]:
    """Return the features unchanged; their gradient is multiplied by -scale."""
    return features


def _forward(features: Float[Array, "n d"], scale: float) -> tuple[Float[Array, "n d"], float]:
    return features, scale


def _backward(scale: float, gradient: Float[Array, "n d"]) -> tuple[Float[Array, "n d"], None]:
    return -scale * gradient, None


reverse_gradient.defvjp(_forward, _backward)


def source_loss(
    weights: dict[str, Array], features: Float[Array, "n d"], sources: Int32[Array, "n"], scale: float
) -> Float[Array, ""]:
    """Compute the mean cross-entropy of the predicted source; its gradient reaches the features times -scale."""
    reversed_features = reverse_gradient(features, scale)
    hidden = jax.nn.relu(reversed_features @ weights["hidden_kernel"] + weights["hidden_bias"])
    logits = hidden @ weights["output_kernel"] + weights["output_bias"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, sources).mean()
