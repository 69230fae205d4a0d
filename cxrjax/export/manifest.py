"""Content of manifest.json, which describes exported networks to users without cxrjax: settings, inputs, steps."""

import json
from typing import Any

import jax
from ml_collections import ConfigDict

import cxrjax
from cxrjax.inference import inputs, strategies
from cxrjax.inference.functional import PipelineSpec
from cxrjax.ops import lung_masks

PURPOSE = "For research, not for diagnosis."
_IMAGE = (
    "turn it so that bright is dense; where equalise is true, take for each pixel the share of pixels that are darker "
    "or as dark, the darkest level left out of all counts, else its level over the highest of its depth: 0..1",
    "raise it to gamma, times 255; squash to size x size pixels, averaging where a side shrinks, cubic where it grows",
)
_BORDERS = {
    "bottom": "cut off the lower rows that are 0 from side to side (of MONOCHROME1: the highest value), of the lower "
    "half at most",
    "uniform": "cut off the margins at all four sides whose pixels have nearly one gray level, black, white, or gray; "
    "where straight slanted edges leave surround of one level in the corners, leave it out of all counts "
    "(cxrjax/io/borders.py)",
}
_LUNGS = (
    "shrink the radiograph to the segmenter's size by linear interpolation, antialiased, and round to whole levels",
    "divide by 255, repeat over the channels, and normalise by mean and deviation where there are any: segmenter.onnx",
    "the lungs' probability is the sum of exp(log_probabilities) over the labels of the lungs; above 0.5 lies the mask",
    "keep its two largest parts (8 neighbours), each at least smallest_part of the picture, and fill their holes; the "
    "probability of what this adds is 1, of what it takes away 0",
    "enlarge the probability linearly to the radiograph's size; above 0.5 are the lungs, and below smallest_lungs of "
    "the picture there are none, and no finding",
)
_CONTRAST = (
    "make three channels: Otsu's threshold; CLAHE (clip 3, 8 x 8 tiles); adaptive threshold of the median-blurred "
    "(cxrjax/ops/contrast.py)"
)
_VOTE = (
    "divide by 255, repeat over the channels, and normalise by mean and deviation where there are any: classifier.onnx",
    "a patch votes for the class of its highest logit; probabilities are the mean of the patches' softmax",
    "the finding: by majority the class with most votes, of a tie the one of the higher mean probability; by "
    "mean_probability the class of the highest mean",
)
_TEMPERED = "for calibrated probabilities, raise them to 1 / temperature and divide by their sum; the finding stays"
_MEMBERS = "each of the numbered classifiers sees the same patches, and every patch of every one counts as one"
_MAP = "map(x) = sum_k p_k CAM_k(x) / count(x) over the patches k that cover x: p_k the finding's probability, CAM_k "
_MAP += "its activations in the patch, "
_SCALED = {
    "peak": "over their highest, enlarged linearly",
    "range": "enlarged linearly and scaled so that their lowest is 0 and their highest 1 (in the modes dense and crop "
    "scaled first); even ones are 0",
}
_PATCHES = ("mode", "masked", "channels", "size", "count", "margin", "confidence", "center_crop")
_OUTPUTS = {
    "votes": "patches whose most probable class it is; zeros where no lungs were found",
    "probabilities": "mean over the patches; zeros where no lungs were found",
    "finding": "index of the class, or -1 where no lungs were found",
    "agreement": "share of the patches that voted for the finding",
    "map": "0..1, where the finding was seen",
    "mask": "the lungs",
    "lung_confidence": "mean lung probability inside the lungs; NaN where none were looked for",
    "entropy_within": "nats, mean entropy of the patches' own probabilities",
    "entropy_between": "nats, entropy of the probabilities less entropy_within",
}
_STRUCTURES = {
    "lungs": "the lungs",
    "structures": "labels of the segmenter",
    "confidence": "mean lung probability inside the lungs",
    "found": "whether there are lungs",
}
_IMAGE_IDS = (
    "for each radiograph the CRC-32 (of zlib, PNG and gzip; zlib.crc32 in Python) of its size x size bytes in images, "
    "row by row from the top, as uint32; with the seed, which is in the program, it decides which patches are drawn, "
    "and nothing else, so that the same picture always gets the same answer"
)
_UNJUDGED = "whether it is a frontal chest radiograph at all is not judged here; a blank picture has to be refused"


def describe_model(
    config: ConfigDict, spec: PipelineSpec, temperature: float | None, step: int | None
) -> dict[str, Any]:
    """Return the description of an exported run, as a JSON-serializable dictionary.

    Args:
        config: config of the run.
        spec: its specification.
        temperature: temperature of its calibration; None without calibration.
        step: training step of its network.
    """
    c = json.loads(config.to_json())
    description: dict[str, Any] = {
        "purpose": PURPOSE,
        "task": c["task"],
        "versions": {"cxrjax": cxrjax.__version__, "jax": jax.__version__},
        "step": step,
        "precision": c["precision"],
        "image": c["image"] | {"steps": (_BORDERS[c["image"]["borders"]], *_IMAGE), "not_judged": _UNJUDGED},
    }
    if spec.segmenter is not None:
        network = _network(c["segmenter"], c["segmenter"]["size"])
        labels = {"labels": lung_masks.STRUCTURES, "lungs": lung_masks.LUNGS}
        min_areas = {key: c["segmenter"][key] for key in ("smallest_part", "smallest_lungs")}
        description["segmenter"] = network | labels | min_areas | {"steps": _LUNGS}
    if spec.classifier is None:
        return description | {"outputs": _STRUCTURES}
    patches = {key: c["patches"][key] for key in _PATCHES}
    steps = [
        *(["blacken all but the lungs"] if spec.inference.mask_lungs else []),
        strategies.choose(spec.inference.patch_mode).instructions,
        *([_CONTRAST] if spec.inference.channels == "contrast" else []),
        *_VOTE,
        *([_MEMBERS] if spec.num_members > 1 else []),
        *([] if temperature is None else [_TEMPERED]),
        _MAP + _SCALED[spec.inference.scaling],
    ]
    network = _network(c["classifier"], patches["size"])
    return description | {
        "classifier": network | {"head": c["classifier"]["head"], "classes": c["classifier"]["classes"]},
        "patches": patches,
        "voting": c["voting"] | {"members": spec.num_members, "temperature": temperature},
        "steps": steps,
        "seed": c["seed"],
        "image_ids": _IMAGE_IDS,
        "outputs": _OUTPUTS,
    }


def _network(section: dict[str, Any], size: int) -> dict[str, Any]:
    imagenet = section["normalise"] == "imagenet"
    return {
        "architecture": section["architecture"],
        "size": size,
        "channels": section["channels"],
        "mean": inputs.IMAGENET_MEAN if imagenet else None,
        "deviation": inputs.IMAGENET_DEVIATION if imagenet else None,
    }
