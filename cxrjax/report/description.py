"""Description of a run's settings in words, the same on the page, the model card and the checklist."""

from typing import NamedTuple

from ml_collections import ConfigDict

from cxrjax.models import from_config

VOTING_PHRASES = {"majority": "the class of most", "mean_probability": "the class of the highest mean probability"}


class MethodDescription(NamedTuple):
    """Phrases that describe a run; those of a classifier are blank for a segmenter."""

    preprocessing: str  # preprocessing of the radiograph
    segmenter: str  # its architecture and input size; "" where there is none
    classifier_input: str  # input of the classifier
    vote: str
    saliency: str


def describe_method(config: ConfigDict) -> MethodDescription:
    """Return the description of a run's method."""
    segmenter = from_config.segmenter(config)
    histogram = "specified to one histogram" if config.image.equalise else "as they are"
    borders = "margins of nearly one level" if config.image.borders == "uniform" else "a blank lower border"
    preprocessing = f"{borders} cut off, gray levels {histogram}, gamma {config.image.gamma}"
    segmenter_phrase = f"{config.segmenter.architecture} at {segmenter.patch_size} pixels" if segmenter else ""
    if config.task != "classify":
        return MethodDescription(preprocessing, segmenter_phrase, "", "", "")
    classifier = from_config.classifier(config)
    settings = from_config.inference_config(config, config.patches.count)
    map_unit, input_phrase = {
        "local": ("patches", f"{settings.num_patches} patches of {{}} pixels with their centers in the lungs"),
        "dense": (
            "windows",
            "all windows of {} pixels with their centers in the lungs, in one pass over the radiograph",
        ),
        "global": ("radiograph", f"{_global_input(settings.center_crop)} at {{}} pixels"),
        "crop": ("lungs' box", "the box of the lungs at {} pixels (the whole radiograph where they are not certain)"),
    }[settings.patch_mode]
    input_phrase = input_phrase.format(classifier.patch_size)
    if settings.mask_lungs:
        input_phrase += ", everything but the lungs blackened"
    if settings.channels == "contrast":
        input_phrase += ", in three channels of enhanced contrast"
    voters = {"local": f"{settings.num_patches} patches", "dense": "these windows"}.get(settings.patch_mode)
    num_members = config.evaluation.members
    if voters or num_members > 1:
        members = f" of each of {num_members} networks" if num_members > 1 else ""
        vote = f"{voters or 'one prediction'}{members}, {VOTING_PHRASES[settings.aggregation]}"
    else:
        vote = "none, there is one prediction per radiograph"
    saliency = "class activation" if classifier.module.head.is_linear else "Grad-CAM"
    saliency += f" of the {map_unit}, weighted by the probability of the finding"
    return MethodDescription(preprocessing, segmenter_phrase, input_phrase, vote, saliency)


def _global_input(cropped_share: float) -> str:
    """Return the phrase for the input of a classifier of whole radiographs, given the share of the side cut off."""
    if not cropped_share:
        return "the whole radiograph"
    return f"the middle of the radiograph, {1 - cropped_share:.2%} of its side,"
