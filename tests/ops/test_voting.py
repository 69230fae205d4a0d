"""Votes by hand."""

import jax
import numpy as np
import pytest

from cxrjax.ops import voting

count_votes = jax.jit(voting.count_votes, static_argnames="rule")


def logits(*probabilities):
    return np.log(np.array(probabilities, np.float32))


def test_majority_wins_over_mean_probability():
    patches = logits([0.5, 0.4, 0.1], [0.5, 0.4, 0.1], [0.02, 0.97, 0.01])
    vote = count_votes(patches, "majority")
    assert list(vote.votes) == [2, 1, 0]
    assert vote.label == 0
    assert vote.vote_fraction == pytest.approx(2 / 3)
    np.testing.assert_allclose(vote.probabilities, [0.34, 0.59, 0.07], atol=1e-6)
    assert count_votes(patches, "mean_probability").label == 1


def test_a_tie_goes_to_the_higher_mean_probability_of_those_tied():
    patches = logits([0.6, 0.0001, 0.3999], [0.0001, 0.55, 0.4499])  # class 2 is likeliest on average, but has no vote
    vote = count_votes(patches, "majority")
    assert list(vote.votes) == [1, 1, 0]
    assert vote.label == 0


def test_the_order_of_patches_does_not_matter():
    patches = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32)
    one, other = count_votes(patches, "majority"), count_votes(patches[::-1], "majority")
    assert one.label == other.label and (one.votes == other.votes).all()


def test_entropy_is_that_within_patches_and_that_between_them():
    certain, torn = logits([1, 1e-30], [1e-30, 1]), logits([0.5, 0.5], [0.5, 0.5])
    assert count_votes(certain, "majority")[-2:] == pytest.approx((0, np.log(2)), abs=1e-6)
    assert count_votes(torn, "majority")[-2:] == pytest.approx((np.log(2), 0), abs=1e-6)
    both = count_votes(logits([0.9, 0.1], [0.3, 0.7]), "majority")
    within = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1) + 0.3 * np.log(0.3) + 0.7 * np.log(0.7)) / 2
    of_mean = -(0.6 * np.log(0.6) + 0.4 * np.log(0.4))
    assert both[-2:] == pytest.approx((within, of_mean - within), rel=1e-5)


def test_what_does_not_count_has_no_vote():
    patches = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    counted = np.arange(20) % 3 == 0
    alone, among = count_votes(patches[counted], "majority"), count_votes(patches, "majority", counted)
    assert (alone.votes == among.votes).all() and alone.label == among.label
    np.testing.assert_allclose(np.hstack(alone), np.hstack(among), rtol=1e-5)


def test_an_unknown_rule_is_refused_by_name():
    with pytest.raises(ValueError, match="soft"):
        count_votes(logits([0.5, 0.5]), "soft")
