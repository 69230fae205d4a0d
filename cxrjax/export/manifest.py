"""Content of manifest.json, which describes exported networks to users without cxrjax: settings, inputs, steps.

Each ONNX file has the same sections as metadata, so that it suffices alone.
"""

import json
from collections.abc import Mapping
from typing import Any

import jax

import cxrjax
from cxrjax.config import Config
from cxrjax.export import decision
from cxrjax.inference import inputs, strategies
from cxrjax.inference.functional import PipelineSpec
from cxrjax.models.spec import ModelSpec
from cxrjax.ops import lung_masks

PURPOSE = "For research, not for diagnosis."
_IMAGE = (
    "invert the gray levels if bright pixels are not dense; where equalize is true, replace each pixel by the fraction "
    "of pixels that are as dark or darker, not counting the darkest level; else divide it by the highest level of its "
    "bit depth: 0..1",
    "raise to the power gamma and multiply by 255; resize to size x size pixels, whatever the proportions, by area "
    "averaging where a side shrinks and by cubic interpolation where it grows",
)
_BORDERS = {
    "none": "crop nothing",
    "square": "crop to the middle square",
    "bottom": "crop the lowest rows whose pixels are all 0 (for MONOCHROME1: all the highest level), at most half of "
    "the rows",
    "uniform": "crop the margins at all four sides whose pixels have nearly one gray level, black, white or gray; "
    "corners of one level that a rotated image leaves are not counted in the histogram (cxrjax/io/borders.py)",
}
_LUNGS = (
    "resize the radiograph to the segmenter's size by linear interpolation with antialiasing, and round to integers",
    "divide by 255, repeat for each channel, subtract mean and divide by deviation if they are given: segmenter.onnx",
    "the lung probability is the sum of exp(log_probabilities) over the labels of the lungs; pixels above 0.5 are the "
    "lung mask",
    "keep the two largest components of the mask (8 neighbors) that are at least min_component_area of the image, and "
    "fill their holes; set the probability of pixels that this adds to 1, and of those that it removes to 0",
    "enlarge the probability to the radiograph's size by linear interpolation; pixels above 0.5 are the lungs; if they "
    "are less than min_lung_area of the image, there are no lungs and no prediction",
)
_CONTRAST = (
    "compute three channels: Otsu's threshold; CLAHE (clip limit 3, 8 x 8 tiles); adaptive threshold after a median "
    "filter (cxrjax/ops/contrast.py)"
)
_VOTE = (
    "divide by 255, repeat for each channel, subtract mean and divide by deviation if they are given: classifier.onnx",
    "each patch votes for the class with its highest logit; the probabilities are the mean over the patches of softmax",
    "the prediction: for majority the class with the most votes, and of those with equally many the one with the "
    "highest mean probability; for mean_probability the class with the highest mean probability",
)
_VOTE_ON_FINDINGS = (
    _VOTE[0],
    "each patch votes yes on each finding whose logit is above 0; the probabilities are the mean over the patches of "
    "the sigmoid",
    "the prediction: each finding that the section decision accepts",
)
_THRESHOLDS = (
    "replace the probability p of each finding, the sigmoid of its logit, by p / 2t below its operating point t and by "
    "1 - (1 - p) / 2(1 - t) above it, and the logit by that of the new probability"
)
_TEMPERED_FINDINGS = (
    "for calibrated probabilities, raise the probability of each finding and its complement to the power 1 / "
    "temperature and divide by their sum; the prediction does not change"
)
_TEMPERED = (
    "for calibrated probabilities, raise them to the power 1 / temperature and divide by their sum; the prediction "
    "does not change"
)
_MEMBERS = "all numbered classifiers read the same patches, and every patch of every classifier has one vote"
_MAP = (
    "saliency map: map(x) = sum_k p_k CAM_k(x) / count(x) over the patches k that cover x; p_k is the probability of "
    "the prediction, CAM_k its class activation map in the patch, "
)
_SCALED = {
    "peak": "divided by its maximum and enlarged by linear interpolation",
    "range": "enlarged by linear interpolation and scaled from 0 at its minimum to 1 at its maximum (in the modes "
    "dense and lung_bbox scaled first); a constant one is 0",
}
_PATCHES = (
    *("mode", "mask_lungs", "channels", "size", "context_pixels", "count"),
    *("bbox_margin", "min_lung_confidence", "center_crop"),
)
_PREDICTION_OUTPUTS = {
    "votes": "for each class, number of the patches whose most probable class it is; zeros where no lungs were found",
    "probabilities": "for each class, mean over the patches; zeros where no lungs were found",
    "label": "index of the predicted class, or -1 where no lungs were found",
    "vote_fraction": "fraction of the patches that voted for the label",
    "saliency": "0..1, saliency map of the label",
    "lung_mask": "the lungs",
    "label_map": "labels of the segmenter; zeros without a segmenter",
    "lung_confidence": "mean lung probability inside the lungs; NaN without a segmenter",
    "expected_entropy": "nats, mean entropy of the patches' own probabilities",
    "mutual_information": "nats, entropy of the probabilities minus expected_entropy",
}
_FINDING_OUTPUTS = _PREDICTION_OUTPUTS | {
    "votes": "for each finding, number of the patches whose probability is above 0.5; zeros where no lungs were found",
    "probabilities": "for each finding, mean over the patches; zeros where no lungs were found",
    "label": "index of the finding that is most likely, positive or not, or -1 where no lungs were found",
    "saliency": "0..1, saliency map of that finding",
    "expected_entropy": "nats, mean entropy of the patches' own probabilities, summed over the findings",
    "num_patches": "number of the patches that vote on each finding; 0 where no lungs were found",
}
_SEGMENTATION_OUTPUTS = {
    "lung_mask": "the lungs",
    "label_map": "labels of the segmenter",
    "confidence": "mean lung probability inside the lungs",
    "has_lungs": "whether there are lungs",
}
_IMAGE_IDS = (
    "for each radiograph the CRC-32 (of zlib, PNG and gzip; zlib.crc32 in Python) of its size x size bytes in images, "
    "row by row from the top, as uint32; with the seed, which is in the program, it determines which patches are "
    "drawn and nothing else, so that the same image always gets the same prediction"
)
_UNJUDGED = "the program does not check that an image is a frontal chest radiograph; reject blank images before it"


def describe_model(
    config: Config, spec: PipelineSpec, stored_calibration: Mapping[str, Any] | None, notice: str, step: int | None
) -> dict[str, Any]:
    """Return the description of an exported run, as a JSON-serializable dictionary.

    Args:
        config: config of the run.
        spec: its specification.
        stored_calibration: `calibration.load` of its network; None without calibration.
        notice: sentences that accompany every prediction; "" where there are none.
        step: training step of its network.
    """
    c = json.loads(config.to_json())
    description: dict[str, Any] = {
        "purpose": PURPOSE,
        **({"notice": notice} if notice else {}),
        "task": c["task"],
        "versions": {"cxrjax": cxrjax.__version__, "jax": jax.__version__},
        "step": step,
        "precision": c["precision"],
        "image": c["image"] | {"steps": (_BORDERS[c["image"]["borders"]], *_IMAGE), "not_judged": _UNJUDGED},
    }
    if spec.segmenter is not None:
        network = _network(c["segmenter"], spec.segmenter)
        labels = {"labels": lung_masks.STRUCTURES, "lungs": lung_masks.LUNGS}
        min_areas = {key: c["segmenter"][key] for key in ("min_component_area", "min_lung_area")}
        description["segmenter"] = network | labels | min_areas | {"steps": _LUNGS}
    if spec.classifier is None:
        return description | {"outputs": _SEGMENTATION_OUTPUTS}
    patches = {key: c["patches"][key] for key in _PATCHES}
    temperature = stored_calibration["temperature"] if stored_calibration else None
    is_multi_label = spec.inference.targets == "multi"
    vote = _VOTE_ON_FINDINGS if is_multi_label else _VOTE
    steps = [
        *(["set all pixels outside the lungs to 0"] if spec.inference.mask_lungs else []),
        strategies.choose(spec.inference.patch_mode).instructions,
        *([_CONTRAST] if spec.inference.channels == "enhanced" else []),
        vote[0],
        *([_THRESHOLDS] if spec.inference.thresholds else []),
        *vote[1:],
        *([_MEMBERS] if spec.num_members > 1 else []),
        *([] if temperature is None else [_TEMPERED_FINDINGS if is_multi_label else _TEMPERED]),
        _MAP + _SCALED[spec.inference.scaling],
    ]
    network = _network(c["classifier"], spec.classifier)
    return description | {
        "classifier": network
        | {"head": c["classifier"]["head"], "classes": c["classifier"]["classes"]}
        | ({"targets": "multi"} if is_multi_label else {})
        | ({"thresholds": spec.inference.thresholds} if spec.inference.thresholds else {}),
        "patches": patches,
        "voting": c["voting"] | {"members": spec.num_members, "temperature": temperature},
        "steps": steps,
        "decision": decision.describe(config, spec, stored_calibration),
        "seed": c["seed"],
        "image_ids": _IMAGE_IDS,
        "outputs": _FINDING_OUTPUTS if is_multi_label else _PREDICTION_OUTPUTS,
    }


def to_metadata(description: Mapping[str, Any]) -> dict[str, str]:
    """Return the metadata of an ONNX file: each section of `describe_model` by its name, as JSON."""
    return {section: json.dumps(content) for section, content in description.items()}


def _network(section: dict[str, Any], network: ModelSpec) -> dict[str, Any]:
    statistics = inputs.NORMALIZATIONS[network.normalization]
    return {
        "architecture": section["architecture"],
        "size": network.input_size,
        "channels": network.in_channels,
        "mean": statistics.mean if statistics else None,
        "deviation": statistics.deviation if statistics else None,
    }
