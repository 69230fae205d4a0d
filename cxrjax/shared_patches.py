"""Radiographs that are fewer than the devices: their patches are shared, so that no device is idle.

Three programs and not one: a device that waits, within a program, for what another one makes holds one of XLA's
threads meanwhile.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from cxrjax import devices, models, pipeline, views
from cxrjax.views import Looks, Network, Settings


class SharedPatches:
    """`pipeline.diagnose` of batches of so many radiographs, every device classifying as many of their patches."""

    def __init__(
        self,
        segmenter: Network | None,
        classifier: Network,
        variables: Mapping[str, Any],
        settings: Settings,
        seed: int,
        batch_size: int,
    ):
        """Place the networks of `pipeline.diagnose`; keys are those of the seed."""
        count = settings.patch_count
        few, whole = devices.Shares(batch_size), devices.Shares(batch_size * count)

        def draw(variables: Any, given: tuple[Array, Array]) -> tuple[pipeline.Segmentation, Array, Array]:
            images, checksums = given
            keys = pipeline.radiograph_keys(seed, checksums)
            found = pipeline.find_lungs(segmenter, variables, images, settings)
            shown = (images, found.lungs, found.confidence, keys)
            return found, *lax.map(lambda one: views.draw_patches(*one, classifier.side, settings), shown)

        def look(variables: Any, crops: Array) -> tuple[Array, Array]:
            return pipeline.look(classifier, variables, crops, settings)

        def conclude(variables: Any, given: Any) -> pipeline.Diagnosis:
            images, found, *seen = given

            def tell(one: Any) -> Any:
                image, looks = one[0], Looks(*one[1:], jnp.ones(count, bool))
                return pipeline.tell(classifier, variables, image, looks, settings)

            return pipeline.join(images, found, lax.map(tell, (images, *seen)))

        self._few, self._whole, self._count = few, whole, count
        self._draw, self._look, self._conclude = few.compile(draw), whole.compile(look), few.compile(conclude)
        self._variables = few.replicate(variables)
        prepare = jax.jit(models.prepare, out_shardings=whole.everywhere)  # as its own program: once, not every time
        self._classifier = prepare(whole.replicate(variables["classifier"]))

    def __call__(self, images: np.ndarray, checksums: np.ndarray) -> pipeline.Diagnosis:
        """Diagnose radiographs uint8 [B, S, S] whose names have checksums uint32 [B]; results on the host."""
        few, whole = self._few, self._whole
        given = few.spread((images, checksums))
        found, places, crops = self._draw(self._variables, given)
        crops = np.concatenate(few.gather(crops))
        seen = whole.gather(self._look(self._classifier, whole.spread(crops)))
        seen = jax.tree.map(lambda x: x.reshape(len(images), self._count, *x.shape[1:]), seen)
        told = self._conclude(self._variables["classifier"], (given[0], found, places, *few.spread(seen)))
        return few.gather(told)
