"""Description of a run's settings in words, the same on the page, the model card and the checklist."""

from typing import NamedTuple

from cxrjax.config import Config
from cxrjax.inference import strategies
from cxrjax.inference.functional import PipelineSpec

VOTING_PHRASES = {"majority": "the class of most", "mean_probability": "the class of the highest mean probability"}


class MethodDescription(NamedTuple):
    """Phrases that describe a run; those of a classifier are blank for a segmenter."""

    preprocessing: str  # preprocessing of the radiograph
    segmenter: str  # its architecture and input size; "" where there is none
    classifier_input: str  # input of the classifier
    vote: str
    saliency: str


_BORDERS = {
    "uniform": "margins of nearly one level",
    "bottom": "a blank lower border",
    "none": "nothing",
    "square": "all but the middle square",
}


def describe_method(config: Config) -> MethodDescription:
    """Return the description of a run's method."""
    spec = PipelineSpec.from_config(config)
    histogram = "specified to one histogram" if config.image.equalize else "as they are"
    preprocessing = f"{_BORDERS[config.image.borders]} cut off, gray levels {histogram}, gamma {config.image.gamma}"
    segmenter_phrase = (
        f"{config.segmenter.architecture} at {spec.segmenter.patch_size} pixels" if spec.segmenter else ""
    )
    if spec.classifier is None:
        return MethodDescription(preprocessing, segmenter_phrase, "", "", "")
    settings = spec.inference
    described = strategies.choose(settings.patch_mode).describe(spec.classifier.patch_size, settings)
    classifier_input = described.pixels
    if settings.mask_lungs:
        classifier_input += ", everything but the lungs blackened"
    if settings.channels == "enhanced":
        classifier_input += ", in three channels of enhanced contrast"
    if described.voters or spec.num_members > 1:
        members = f" of each of {spec.num_members} networks" if spec.num_members > 1 else ""
        vote = f"{described.voters or 'one prediction'}{members}, {VOTING_PHRASES[settings.aggregation]}"
    else:
        vote = "none, there is one prediction per radiograph"
    saliency = "class activation" if spec.classifier.module.head.is_linear else "Grad-CAM"
    saliency += f" of the {described.map_unit}, weighted by the probability of the prediction"
    return MethodDescription(preprocessing, segmenter_phrase, classifier_input, vote, saliency)
