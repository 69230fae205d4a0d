"""Snapshot ensembles (Huang et al. 2017): several networks of one training run vote together."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, UInt8

from cxrjax.inference import pipeline
from cxrjax.inference.pipeline import NO_CLASS, Prediction
from cxrjax.models.spec import InferenceConfig, ModelSpec
from cxrjax.ops import voting
from cxrjax.runs import run_dir
from cxrjax.runs.checkpoints import Checkpoints, snapshot_tag


def load(workdir: Path, count: int) -> Any:
    """Load the variables of the last `count` snapshots of a run, every array with a first axis of `count` members.

    Raises:
        RunError: The run has fewer snapshots.
    """
    folder = workdir / "checkpoints"
    num_snapshots = len([path for path in folder.glob("snapshot_*") if any(path.iterdir())])
    if num_snapshots < count:
        raise run_dir.RunError(
            f"{workdir}: evaluation.ensemble_size is {count}, but the run has {num_snapshots} snapshots"
        )
    with Checkpoints(folder) as checkpoints:
        members = [checkpoints.restore(snapshot_tag(k)) for k in range(num_snapshots - count + 1, num_snapshots + 1)]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *members)


def predict_ensemble(
    segmenter: ModelSpec | None,
    classifier: ModelSpec,
    variables: Mapping[str, Any],
    images: UInt8[Array, "n s s"],
    keys: Key[Array, "n"],
    settings: InferenceConfig,
) -> Prediction:
    """Run `pipeline.predict` for every member of `variables["classifier"]` (see `load`), and pool the predictions."""
    segmentation = pipeline.segment_or_skip(segmenter, variables, images, settings)

    def predict_member(member: Any) -> Prediction:
        return pipeline.predict_from_masks(classifier, member, images, segmentation, keys, settings)

    return pool_predictions(
        jax.lax.map(predict_member, variables["classifier"]), settings.aggregation, settings.saliency_class
    )


def pool_predictions(members: Prediction, rule: str, saliency_class: int | None = None) -> Prediction:
    """Pool the predictions of m members for the same patches; every patch of every member has equal weight.

    Args:
        members: Predictions of the members, arrays [m, n, ...]. All members share the lung masks.
        rule: Aggregation of `voting.RULES`.
        saliency_class: `InferenceConfig.saliency_class`.

    Returns:
        The sum of the votes (and of the patches that vote on findings), the mean of the probabilities, and the label of
        both by the rule. The saliency map is the
        mean over the members with this label, since a map belongs to the label of its member; zero if there is none.
        If the settings name the class of the map, it is the mean over all members, and so are the maps of all classes.
        Features are averaged.
    """
    votes = members.votes.sum(0)
    probabilities = members.probabilities.mean(0)
    has_lungs = members.label[0] != NO_CLASS
    expected_entropy = members.expected_entropy.mean(0)
    if members.num_patches is None:
        pooled = jax.vmap(partial(voting.resolve_vote, rule=rule))(votes, probabilities, expected_entropy)
    else:
        resolve_findings = jax.vmap(partial(voting.resolve_findings, rule=rule))
        pooled = resolve_findings(votes, probabilities, expected_entropy, members.num_patches.sum(0))
    label = jnp.where(has_lungs, pooled.label, NO_CLASS)
    ood_statistics = jax.tree.map(lambda x: x[0], members.ood_statistics)  # equal for all members but for the features
    agrees = (members.label == (label if saliency_class is None else members.label))[..., None, None]
    embeddings = members.patch_embeddings
    if embeddings is not None:
        first = jax.tree.map(lambda x: x[0], embeddings)  # all members read the same patches
        embeddings = first._replace(features=embeddings.features.mean(0))
    return Prediction(
        votes=votes,
        probabilities=probabilities,
        label=label,
        vote_fraction=jnp.where(has_lungs, pooled.vote_fraction, 0),
        saliency=(members.saliency * agrees).sum(0) / jnp.maximum(agrees.sum(0), 1),
        lung_mask=members.lung_mask[0],
        label_map=members.label_map[0],
        lung_confidence=members.lung_confidence[0],
        expected_entropy=pooled.expected_entropy,
        mutual_information=pooled.mutual_information,
        ood_statistics=ood_statistics._replace(features=members.ood_statistics.features.mean(0)),
        patch_embeddings=embeddings,
        class_maps=None if members.class_maps is None else members.class_maps.mean(0),
        num_patches=pooled.num_patches,
    )
