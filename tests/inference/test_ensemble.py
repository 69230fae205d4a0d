"""Votes of ensembles, by hand."""

import jax
import numpy as np
import pytest

from cxrjax.inference import ensemble, ood, pipeline
from cxrjax.models import from_config, registry, spec
from cxrjax.ops import voting
from cxrjax.runs import checkpoints, run_dir


def make_prediction(votes, probabilities, finding, value, within=0.0):
    """Return the prediction of one radiograph with ten patches and a constant saliency map."""
    votes = np.array([votes])
    return pipeline.Prediction(
        votes, np.array([probabilities], np.float32), np.array([finding]), votes.max(1) / 10,
        np.full((1, 2, 2), value, np.float32), np.ones((1, 2, 2), bool), np.full((1, 2, 2), 2, np.uint8),
        np.array([0.9], np.float32),
        np.array([within], np.float32), np.zeros(1, np.float32),
        ood.OODStatistics(np.zeros((1, 11)), np.zeros((1, 16, 16)), np.full((1, 4), value)),
    )  # fmt: skip


def stack(*each):
    return jax.tree.map(lambda *parts: np.stack(parts), *each)


pool, count_votes = (jax.jit(f, static_argnames="rule") for f in (ensemble.pool_predictions, voting.count_votes))


MEMBERS = (
    make_prediction([6, 4, 0], [0.5, 0.4, 0.1], 0, 0.8),
    make_prediction([1, 5, 4], [0.1, 0.5, 0.4], 1, 0.4),
    make_prediction([4, 6, 0], [0.3, 0.6, 0.1], 1, 0.2),
)


def test_pooled_votes_count_patches_of_all_members():
    pooled = pool(stack(*MEMBERS), "majority")
    assert pooled.votes.tolist() == [[11, 15, 4]] and pooled.label.tolist() == [1]
    np.testing.assert_allclose(pooled.probabilities, [[0.3, 0.5, 0.2]], rtol=1e-6)
    assert pooled.vote_fraction.tolist() == pytest.approx([0.5])
    np.testing.assert_allclose(pooled.saliency, 0.3, rtol=1e-6)  # of the two members that found it
    np.testing.assert_allclose(pooled.ood_statistics.features, [[1.4 / 3] * 4], rtol=1e-6)
    named = ensemble.pool_predictions(stack(*MEMBERS), "majority", saliency_class=2)
    np.testing.assert_allclose(named.saliency, 1.4 / 3, rtol=1e-6)  # of all members
    assert named.class_maps is None
    maps = [member.saliency[:, None] * np.array([1, 0.5, 0])[:, None, None] for member in MEMBERS]
    members = [member._replace(class_maps=class_maps) for member, class_maps in zip(MEMBERS, maps, strict=True)]
    pooled_maps = pool(stack(*members), "majority").class_maps
    np.testing.assert_allclose(pooled_maps[0, :, 0, 0], [1.4 / 3, 0.7 / 3, 0], rtol=1e-6)


def test_pooled_predictions_equal_votes_over_all_patches():
    logits = jax.random.normal(jax.random.key(0), (3, 10, 4))
    for rule in voting.RULES:
        votes = [count_votes(each, rule) for each in logits]
        each = (make_prediction(vote.votes, vote.probabilities, vote.label, 0, vote.expected_entropy) for vote in votes)
        each = stack(*each)
        pooled, together = pool(each, rule), count_votes(logits.reshape(30, 4), rule)
        assert pooled.label[0] == together.label and (pooled.votes[0] == together.votes).all()
        np.testing.assert_allclose(pooled.probabilities[0], together.probabilities, rtol=1e-5)
        np.testing.assert_allclose(pooled.expected_entropy[0], together.expected_entropy, rtol=1e-5)
        np.testing.assert_allclose(pooled.mutual_information[0], together.mutual_information, rtol=1e-4)


def test_pooling_predictions_without_lungs_gives_no_class():
    none = make_prediction([0, 0, 0], [0, 0, 0], pipeline.NO_CLASS, 0.0)
    pooled = pool(stack(none, none), "majority")
    assert pooled.label.tolist() == [pipeline.NO_CLASS] and pooled.vote_fraction.tolist() == [0]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(pooled))


def test_members_are_the_last_snapshots(tmp_path):
    network = spec.ModelSpec(registry.create("resnet18", 2, width=4, stages=(1,)), 16, 1)
    blank = from_config.zero_variables(network)
    with checkpoints.Checkpoints(tmp_path / "checkpoints") as saved:
        for k in (1, 2, 3):
            saved.save(checkpoints.snapshot_tag(k), k, jax.tree.map(lambda leaf, k=k: np.full_like(leaf, k), blank))
    members = ensemble.load(tmp_path, 2)
    for leaf in jax.tree.leaves(members):
        assert (leaf[0] == 2).all() and (leaf[1] == 3).all() and len(leaf) == 2
    with pytest.raises(run_dir.RunError, match="ensemble_size is 4, but the run has 3 snapshots"):
        ensemble.load(tmp_path, 4)
