"""Write the saliency map of every class for one radiograph: python examples/map_of_each_class.py RUN FILE FOLDER.

`Model.predict` returns the map of the predicted class alone; the pure functions of `cxrjax.inference` give any map.
"""

import sys
from pathlib import Path

import jax
import numpy as np

import cxrjax as cx


def main(run: str, file: str, folder: str) -> None:
    """Write FOLDER/CLASS.npy, float32 [S, S] in 0..1, for every class of the run."""
    model = cx.load(run, ensemble_size=1)
    image = cx.preprocess(cx.read_radiograph(file), model.spec.input)
    (key,) = cx.inference.image_keys(model.spec.seed, image[None])
    segmentation = cx.inference.segment_lungs(model.params, image[None], spec=model.spec)
    segmentation = jax.tree.map(lambda x: x[0], segmentation)
    patches = cx.inference.classify_patches(model.params, image, segmentation, key, spec=model.spec)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(model.classes):
        saliency = cx.inference.saliency_map(model.params, image, patches, index, spec=model.spec)
        np.save(target / f"{name}.npy", np.asarray(saliency))


if __name__ == "__main__":
    main(*sys.argv[1:])
