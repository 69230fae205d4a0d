"""What the settings of a run mean, in words: the page, the card and the checklist say the same."""

from typing import NamedTuple

from ml_collections import ConfigDict

from cxrjax.models import from_config

VOTING_PHRASES = {"majority": "the class of most", "mean_probability": "the class of the highest mean probability"}


class MethodDescription(NamedTuple):
    """Phrases; those of findings are blank where a run finds none."""

    levels: str  # of grey, as the networks see them
    lungs: str  # by what they are found; "" where none are looked for
    shown: str  # to the classifier, of a radiograph
    vote: str
    saliency: str


def describe_method(config: ConfigDict) -> MethodDescription:
    """The method of a run."""
    segmenter = from_config.segmenter(config)
    levels = "specified to one histogram" if config.image.equalise else "as they are"
    cut = "margins of nearly one level" if config.image.borders == "uniform" else "a blank lower border"
    levels = f"{cut} cut off, grey levels {levels}, gamma {config.image.gamma}"
    lungs = f"{config.segmenter.architecture} at {segmenter.size} pixels" if segmenter else ""
    if config.task != "classify":
        return MethodDescription(levels, lungs, "", "", "")
    classifier, settings = from_config.classifier(config), from_config.inference_config(config, config.patches.count)
    looks, shown = {
        "local": ("patches", f"{settings.patch_count} patches of {{}} pixels with their centres in the lungs"),
        "dense": ("windows", "all windows of {} pixels with their centres in the lungs, of one look at the radiograph"),
        "global": ("radiograph", f"{_global_input(settings.center_crop)} at {{}} pixels"),
        "crop": ("lungs' box", "the box of the lungs at {} pixels (the whole radiograph where they are not sure)"),
    }[settings.mode]
    shown = shown.format(classifier.size)
    shown += ", all but the lungs blackened" if settings.masked else ""
    shown += ", in three channels made of it" if settings.channels == "contrast" else ""
    several = {"local": f"{settings.patch_count} patches", "dense": "these windows"}.get(settings.mode)
    voters, members = several or "one look", config.evaluation.members
    voters += f" of each of {members} networks" if members > 1 else ""
    vote = f"{voters}, {VOTING_PHRASES[settings.voting_rule]}" if several or members > 1 else "none, there is one look"
    saliency = "class activation" if classifier.module.head.is_linear else "Grad-CAM"
    saliency += f" of the {looks}, weighted by the probability of the finding"
    return MethodDescription(levels, lungs, shown, vote, saliency)


def _global_input(cut: float) -> str:
    """Return the words for what a network of whole radiographs is shown of one, by the share of the side cut off."""
    return f"the middle of the radiograph, {1 - cut:.2%} of its side," if cut else "the whole radiograph"
