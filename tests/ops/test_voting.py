"""Votes by hand."""

import jax
import numpy as np
import pytest

from cxrjax.ops import voting

count_votes = jax.jit(voting.count_votes, static_argnames="rule")


def logits(*probabilities):
    return np.log(np.array(probabilities, np.float32))


def test_thresholds_decide_their_findings_and_votes_the_others():
    votes = np.array([[9, 1, 6], [0, 5, 4]])
    probabilities = np.array([[0.7, 0.2, 0.45], [0.1, 0.5, 0.55]], np.float32)
    thresholds = np.array([0.8, 0.2, np.nan])
    for rule, third in (("majority", [True, False]), ("mean_probability", [False, True])):
        positive = voting.find_positive(votes, probabilities, np.array([10, 10]), rule, thresholds)
        assert positive.tolist() == [[False, True, third[0]], [False, True, third[1]]]


def test_majority_wins_over_mean_probability():
    patches = logits([0.5, 0.4, 0.1], [0.5, 0.4, 0.1], [0.02, 0.97, 0.01])
    vote = count_votes(patches, "majority")
    assert list(vote.votes) == [2, 1, 0]
    assert vote.label == 0
    assert vote.vote_fraction == pytest.approx(2 / 3)
    np.testing.assert_allclose(vote.probabilities, [0.34, 0.59, 0.07], atol=1e-6)
    assert count_votes(patches, "mean_probability").label == 1


def test_tie_is_resolved_by_mean_probability_of_tied_classes():
    patches = logits([0.6, 0.0001, 0.3999], [0.0001, 0.55, 0.4499])  # class 2 is likeliest on average, but has no vote
    vote = count_votes(patches, "majority")
    assert list(vote.votes) == [1, 1, 0]
    assert vote.label == 0


def test_votes_do_not_depend_on_the_order_of_patches():
    patches = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32)
    one, other = count_votes(patches, "majority"), count_votes(patches[::-1], "majority")
    assert one.label == other.label and (one.votes == other.votes).all()


def test_expected_entropy_and_mutual_information_by_hand():
    certain, torn = logits([1, 1e-30], [1e-30, 1]), logits([0.5, 0.5], [0.5, 0.5])
    assert count_votes(certain, "majority")[4:6] == pytest.approx((0, np.log(2)), abs=1e-6)
    assert count_votes(torn, "majority")[4:6] == pytest.approx((np.log(2), 0), abs=1e-6)
    both = count_votes(logits([0.9, 0.1], [0.3, 0.7]), "majority")
    within = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1) + 0.3 * np.log(0.3) + 0.7 * np.log(0.7)) / 2
    of_mean = -(0.6 * np.log(0.6) + 0.4 * np.log(0.4))
    assert both[4:6] == pytest.approx((within, of_mean - within), rel=1e-5)


def test_invalid_patches_do_not_vote():
    patches = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    counted = np.arange(20) % 3 == 0
    alone, among = count_votes(patches[counted], "majority"), count_votes(patches, "majority", counted)
    assert (alone.votes == among.votes).all() and alone.label == among.label
    np.testing.assert_allclose(np.hstack(alone[:-1]), np.hstack(among[:-1]), rtol=1e-5)


def test_an_unknown_rule_is_refused_by_name():
    with pytest.raises(ValueError, match="soft"):
        count_votes(logits([0.5, 0.5]), "soft")


def test_patches_vote_yes_or_no_on_each_finding():
    patches = np.log([[4.0, 0.25, 9], [3, 0.5, 1 / 9], [2 / 3, 1 / 3, 3], [99, 99, 99]]).astype(np.float32)
    vote = jax.device_get(voting.count_findings(patches, "majority", np.arange(4) < 3))
    assert vote.votes.tolist() == [2, 0, 2] and vote.num_patches == 3
    expected = np.mean([[0.8, 0.2, 0.9], [0.75, 1 / 3, 0.1], [0.4, 0.25, 0.75]], axis=0)
    np.testing.assert_allclose(vote.probabilities, expected, rtol=1e-5)
    assert vote.label == 0  # 0.65 against 0.583 of the last finding with as many votes
    assert vote.vote_fraction == pytest.approx(2 / 3)
    entropies = [[p * np.log(p) + (1 - p) * np.log(1 - p) for p in row] for row in ([0.8, 0.2, 0.9],)]
    alone = jax.device_get(voting.count_findings(patches[:1], "majority"))
    assert alone.expected_entropy == pytest.approx(-np.sum(entropies), rel=1e-5)
    assert alone.mutual_information == pytest.approx(0, abs=1e-6)


def test_votes_on_one_finding_equal_votes_between_two_classes():
    logits_of_yes = np.random.default_rng(0).normal(size=(21, 1)).astype(np.float32)
    one = jax.device_get(voting.count_findings(logits_of_yes, "majority"))
    two = jax.device_get(voting.count_votes(np.hstack([np.zeros_like(logits_of_yes), logits_of_yes]), "majority"))
    assert one.votes[0] == two.votes[1]
    assert one.probabilities[0] == pytest.approx(two.probabilities[1], rel=1e-5)
    assert one.expected_entropy == pytest.approx(two.expected_entropy, rel=1e-5)
    assert one.mutual_information == pytest.approx(two.mutual_information, rel=1e-4)


def test_finding_is_positive_by_majority_and_ties_by_probability():
    votes, probabilities = np.array([[3, 2, 2, 1]]), np.array([[0.4, 0.6, 0.4, 0.9]])
    assert voting.find_positive(votes, probabilities, np.array([4]), "majority").tolist() == [
        [True, True, False, False]
    ]
    by_mean = voting.find_positive(votes, probabilities, np.array([4]), "mean_probability")
    assert by_mean.tolist() == [[False, True, False, True]]


def test_apply_thresholds_maps_an_operating_point_to_one_half():
    """Worked by hand from `op_norm` of torchxrayvision: p / 2t below t, 1 - (1 - p) / 2(1 - t) above."""
    probabilities = np.array([[0.05, 0.8, 0.3], [0.2, 0.9, 0.3], [0.6, 0.95, 1e-6]])
    points = (0.2, 0.9, 0.5)
    moved = voting.apply_thresholds(np.log(probabilities / (1 - probabilities)).astype(np.float32), points)
    expected = np.array([[0.125, 4 / 9, 0.3], [0.5, 0.5, 0.3], [0.75, 0.75, 1e-6]])
    np.testing.assert_allclose(jax.nn.sigmoid(moved), expected, rtol=2e-6)


def test_apply_thresholds_is_monotonic_and_finite():
    logits = np.linspace(-100, 100, 2001, dtype=np.float32)[:, None]
    moved = np.asarray(voting.apply_thresholds(logits, (0.01,)))[:, 0]
    assert np.isfinite(moved).all() and (np.diff(moved) >= 0).all()
    assert (moved > 0).sum() == (logits[:, 0] > np.log(0.01 / 0.99)).sum()
    np.testing.assert_array_equal(voting.apply_thresholds(logits, ()), logits)
