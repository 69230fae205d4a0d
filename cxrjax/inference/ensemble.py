"""Several networks of one training vote together: snapshot ensembles (Huang et al. 2017)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from cxrjax.inference import pipeline
from cxrjax.inference.pipeline import NO_CLASS, Prediction
from cxrjax.models.spec import InferenceConfig, ModelSpec
from cxrjax.ops import voting
from cxrjax.runs import run_dir
from cxrjax.runs.checkpoints import Checkpoints, snapshot_tag


def load(workdir: Path, count: int) -> Any:
    """Variables of the last `count` snapshots of a run, every array with a first axis of that many members.

    Raises:
        UnfitRun: the run has kept fewer.
    """
    folder = workdir / "checkpoints"
    kept = len([path for path in folder.glob("snapshot_*") if any(path.iterdir())])
    if kept < count:
        raise run_dir.RunError(f"{workdir}: evaluation.members is {count}, but it has kept {kept} snapshots")
    with Checkpoints(folder) as checkpoints:
        members = [checkpoints.restore(snapshot_tag(k)) for k in range(kept - count + 1, kept + 1)]
    return jax.tree.map(lambda *each: np.stack(each), *members)


def predict_ensemble(
    segmenter: ModelSpec | None,
    classifier: ModelSpec,
    variables: Mapping[str, Any],
    images: Array,
    keys: Array,
    settings: InferenceConfig,
) -> Prediction:
    """`pipeline.diagnose` by the members that `variables["classifier"]` holds (see `load`), pooled."""
    found = pipeline.segment_or_skip(segmenter, variables, images, settings)

    def one(member: Any) -> Prediction:
        return pipeline.predict_from_masks(classifier, member, images, found, keys, settings)

    return pool_predictions(jax.lax.map(one, variables["classifier"]), settings.aggregation)


def pool_predictions(each: Prediction, rule: str) -> Prediction:
    """One Diagnosis of those of M members, who saw the same patches: every patch of every member counts as one.

    Args:
        each: the members' Diagnoses, every array with a first axis M.
        rule: of `voting.RULES`.

    Returns:
        The votes added up, the probabilities averaged, the finding of both by the rule. The map is the mean over the
        members whose own finding that is, for a map shows its own finding and no other; zero where there are none.
        Features are averaged.
    """
    votes, probabilities = each.votes.sum(0), each.probabilities.mean(0)
    pooled = jax.vmap(lambda *one: voting.resolve_vote(*one, rule))(votes, probabilities, each.expected_entropy.mean(0))
    has_lungs = each.label[0] != NO_CLASS
    label = jnp.where(has_lungs, pooled.label, NO_CLASS)
    ood_statistics = jax.tree.map(lambda x: x[0], each.ood_statistics)  # equal for all members but for the features
    agrees = (each.label == label)[..., None, None]
    return Prediction(
        votes=votes,
        probabilities=probabilities,
        label=label,
        vote_fraction=jnp.where(has_lungs, pooled.vote_fraction, 0),
        saliency=(each.saliency * agrees).sum(0) / jnp.maximum(agrees.sum(0), 1),
        lung_mask=each.lung_mask[0],
        lung_confidence=each.lung_confidence[0],
        expected_entropy=pooled.expected_entropy,
        mutual_information=pooled.mutual_information,
        ood_statistics=ood_statistics._replace(features=each.ood_statistics.features.mean(0)),
    )
