"""Evaluation of the saliency maps of a trained classifier: one row per radiograph, scores with intervals, a verdict.

Writes RUN/saliency/SPLIT/: saliency_metrics.csv, with one row per radiograph; saliency_metrics.json, the
summary; and the deletion and insertion curves as curves.png and curves.svg.
"""

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from cxrjax import plotting
from cxrjax.config import Config
from cxrjax.config.settings import SaliencyEvalConfig
from cxrjax.data import batch, dataset
from cxrjax.evaluation import saliency_verdict
from cxrjax.inference import pipeline
from cxrjax.inference.inputs import SegmentedRadiograph
from cxrjax.io import csv_text, lesions_csv
from cxrjax.metrics import saliency as faithfulness
from cxrjax.models import from_config, registry, spec
from cxrjax.ops import voting
from cxrjax.runs import dataset_record, run_dir
from cxrjax.runtime import atomic_files, compile_notice, sharding
from cxrjax.runtime.progress import progress_bar


class MapSimilarity(NamedTuple):
    """Similarity of two saliency maps inside the region that the classifier was shown; float32."""

    correlation: Array  # absolute rank correlation, so that an inverted map counts as the same
    ssim: Array  # see `metrics.saliency.ssim`
    overlap: Array  # of the fraction of pixels with the highest values, `saliency_eval.top_fraction`


class SaliencyEvaluation(NamedTuple):
    """Predictions for a batch of radiographs and the metrics of their saliency maps; every array has the batch axis."""

    prediction: pipeline.Prediction
    region: Array  # bool [S, S], pixels that the classifier was shown; the metrics rank and compare these
    location_metrics: dict[str, Array]  # float32, by column of saliency_metrics.csv; NaN without lungs or known lesions
    curves: dict[str, Array]  # float32 [steps + 1], probability of the prediction, by `saliency_verdict.CURVES`
    chance_similarity: MapSimilarity  # to a map of the same texture with its peaks at random places


def evaluate_saliency(
    workdir: Path, split: str, directory: str | None = None, table: Path | None = None
) -> dict[str, Any]:
    """Evaluate the saliency maps of the best network of a run.

    Args:
        workdir: run directory of a classifier.
        split: "train", "val", "test", or another split of the data set.
        directory: another prepared data set than that of training.
        table: CSV of known lesions, which replaces the data set's own; see `io.lesions_csv`.

    Returns:
        The content of saliency_metrics.json; see `saliency_verdict.summarize_checks`.

    Raises:
        RunError: there is no trained network in the run directory, or the run is not that of a single classifier.
        DatasetError: the data set or its split does not exist.
        ValueError: the table of lesions is invalid, or no radiograph has a map.
    """
    config = run_dir.load_config(workdir)
    if not from_config.classes(config) or config.evaluation.ensemble_size > 1:
        raise run_dir.RunError(f"{workdir}: only the saliency maps of a single classifier can be evaluated")
    variables = run_dir.load_networks(workdir, config)
    cases = dataset.load_split(config, split, directory)
    if table is not None:
        directory = directory or config.data.dir
        lesions = dataset.load_lesions(
            directory, split, config.image.size, config.image.borders, lesions_csv.read(table)
        )
        cases = batch.with_columns(cases, lesions=lesions)
    segmenter = from_config.segmenter(config)
    classifier = from_config.classifier(config)
    rows, curves = zip(*iter_evaluations(segmenter, classifier, config, variables, cases), strict=True)
    result = saliency_verdict.summarize_checks(rows, curves, config.saliency_eval, config.seed)
    folder = workdir / "saliency" / dataset_record.results_dirname(workdir, config, split, directory)
    folder.mkdir(parents=True, exist_ok=True)
    _write_csv(folder / "saliency_metrics.csv", rows)
    for form in ("png", "svg"):
        plotting.draw_faithfulness(result["curves"], result["n"] - result["without_map"], folder / f"curves.{form}")
    atomic_files.atomic_write(folder / "saliency_metrics.json", (json.dumps(result, indent=2) + "\n").encode())
    return result


@compile_notice.describe_program("the checks of the saliency maps")
def evaluate_batch(
    segmenter: spec.ModelSpec | None,
    classifier: spec.ModelSpec,
    config: Config,
    variables: Any,
    inputs: tuple[Array, Array, Array],
) -> SaliencyEvaluation:
    """Predict a batch of radiographs as evaluation does, and evaluate the saliency maps.

    Args:
        segmenter: see `pipeline.predict`.
        classifier: see `pipeline.predict`.
        config: settings of the run.
        variables: `{"segmenter": …, "classifier": …}`.
        inputs: images uint8 [B, S, S], keys [B], known lesions bool [B, S, S].
    """
    settings = from_config.inference_config(config, config.patches.count)
    curve_settings = from_config.inference_config(config, config.saliency_eval.num_patches)
    images, keys, _ = inputs
    predictions = pipeline.predict(segmenter, classifier, variables, images, keys, settings)
    prepared = registry.precompute_kernels(variables["classifier"])

    def evaluate_one(image: Array, key: Array, lesion: Array, prediction: pipeline.Prediction) -> SaliencyEvaluation:
        texture_key, tie_key, patch_key = jax.random.split(_purpose_key(key, "metrics"), 3)
        radiograph = SegmentedRadiograph(image, prediction.lung_mask, prediction.lung_confidence, key)
        covered = pipeline.receptive_mask(classifier, radiograph, settings)
        region = covered & prediction.lung_mask if settings.mask_lungs else covered
        chance_map = faithfulness.phase_randomized_map(prediction.saliency, texture_key)
        orders = [faithfulness.rank_pixels(saliency, region, tie_key) for saliency in (prediction.saliency, chance_map)]
        blank = jnp.where(region, _deletion_baseline(image, config.saliency_eval), image)

        def score(perturbed: Array) -> Array:
            """Return the mean probability of the prediction, over the same few patches each time or all windows."""
            perturbed_radiograph = radiograph._replace(image=perturbed, key=patch_key)
            patches = pipeline.classify_image(classifier, prepared, perturbed_radiograph, curve_settings)
            vote = voting.count(patches.logits, curve_settings.targets, curve_settings.aggregation, patches.valid)
            return vote.probabilities[prediction.label]

        # A single loop over the four curves, so that the network is compiled once: two of deletion, two of insertion.
        before = jnp.stack([image, image, blank, blank])
        after = jnp.stack([blank, blank, image, image])
        ranks = jnp.stack(2 * orders)
        curves = lax.map(
            lambda curve: faithfulness.deletion_curve(score, *curve, steps=config.saliency_eval.num_steps),
            (before, after, ranks),
        )
        return SaliencyEvaluation(
            prediction=prediction,
            region=region,
            location_metrics=_location_metrics(prediction.saliency, prediction.lung_mask, lesion, covered, region),
            curves=dict(zip(saliency_verdict.CURVES, curves, strict=True)),
            chance_similarity=_compare_maps(prediction.saliency, chance_map, region, config.saliency_eval.top_fraction),
        )

    return lax.map(lambda example: evaluate_one(*example), (*inputs, predictions))


@compile_notice.describe_program("the saliency maps of randomized networks")
def map_similarity(
    classifier: spec.ModelSpec,
    config: Config,
    variables: Any,
    inputs: tuple[Array, Array, pipeline.Prediction, Array],
) -> MapSimilarity:
    """Compare saliency maps with those of the same predictions by other weights, or from other patches.

    Args:
        classifier: see `pipeline.predict`.
        config: settings of the run.
        variables: variables of the classifier, trained or randomized.
        inputs: images uint8 [B, S, S]; keys [B] to draw the patches from; the predictions and the region bool
            [B, S, S] of `evaluate_batch`.
    """
    settings = from_config.inference_config(config, config.patches.count)
    prepared = registry.precompute_kernels(variables)

    def compare_one(image: Array, key: Array, prediction: pipeline.Prediction, region: Array) -> MapSimilarity:
        radiograph = SegmentedRadiograph(image, prediction.lung_mask, prediction.lung_confidence, key)
        patches = pipeline.classify_image(classifier, prepared, radiograph, settings)
        other = pipeline.saliency_map(classifier, prepared, image, patches, prediction.label, settings)
        return _compare_maps(prediction.saliency, other, region, config.saliency_eval.top_fraction)

    return lax.map(lambda example: compare_one(*example), inputs)


def iter_evaluations(
    segmenter: spec.ModelSpec | None,
    classifier: spec.ModelSpec,
    config: Config,
    variables: Mapping[str, Any],
    cases: batch.RadiographBatch,
) -> Iterator[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    """Evaluate the saliency maps of a split, one radiograph at a time.

    Args:
        segmenter: see `pipeline.predict`.
        classifier: see `pipeline.predict`.
        config: settings of the run.
        variables: `{"segmenter": …, "classifier": …}`.
        cases: the split.

    Yields:
        A row of saliency_metrics.csv, and the curves float32 [steps + 1] by name; there are none without lungs.
    """
    batch_size = min(config.evaluation.batch_size, len(cases))
    shares = sharding.BatchSharding(batch_size)
    evaluate = shares.compile(partial(evaluate_batch, segmenter, classifier, config))
    compare = shares.compile(partial(map_similarity, classifier, config))
    trained = variables["classifier"]
    randomized = _randomized_variables(config, classifier, trained)
    num_draws = config.saliency_eval.num_resamples if spec.PATCH_MODES[config.patches.mode].draws_patches else 0
    keys = pipeline.image_keys(config.seed, cases.image_ids)
    resampling_keys = jax.vmap(lambda key: jax.random.split(_purpose_key(key, "resampling"), num_draws))(keys)
    lesions = np.zeros(cases.images.shape, bool) if cases.lesions is None else cases.lesions
    for rows, count in progress_bar(
        list(batch.padded_batches(len(cases), batch_size)),
        desc="evaluating saliency maps",
        unit="batch",
    ):
        images, batch_keys, batch_lesions = shares.shard((cases.images[rows], keys[rows], lesions[rows]))
        evaluation = evaluate(variables, (images, batch_keys, batch_lesions))
        evaluated = (evaluation.prediction, evaluation.region)
        similarities = {"phase_randomized": [evaluation.chance_similarity]}
        for name, members in randomized.items():
            similarities[name] = [compare(member, (images, batch_keys, *evaluated)) for member in members]
        if num_draws:
            similarities["resampled"] = [
                compare(trained, (images, shares.shard(draw), *evaluated)) for draw in resampling_keys[rows].T
            ]
        mean_similarities = {
            name: jax.tree.map(lambda *values: sum(values) / len(values), *members)
            for name, members in similarities.items()
        }
        labels, locations, curves, mean_similarities = shares.gather(
            (evaluation.prediction.label, evaluation.location_metrics, evaluation.curves, mean_similarities)
        )
        for i, row in enumerate(rows[:count]):
            columns = {
                "path": cases.paths[row],
                "patient_id": cases.patients[row],
                "source": cases.sources[row],
                "label": cases.labels[row],
                "prediction": "",
            }
            if labels[i] == pipeline.NO_CLASS:
                yield columns, {}
                continue
            columns["prediction"] = config.classifier.classes[labels[i]]
            row_curves = {name: curve[i] for name, curve in curves.items()}
            columns |= {name: values[i] for name, values in locations.items()}
            columns |= {name: faithfulness.auc(curve) for name, curve in row_curves.items()}
            for name, similarity in mean_similarities.items():
                columns |= {f"{name}_{kind}": values[i] for kind, values in similarity._asdict().items()}
            yield columns, row_curves


def _purpose_key(key: Array, purpose: str) -> Array:
    """Return an independent random key for a purpose, so that no two purposes draw the same numbers."""
    return jax.random.fold_in(key, zlib.crc32(purpose.encode()))


def _randomized_variables(
    config: Config, classifier: spec.ModelSpec, trained: Mapping[str, Any]
) -> dict[str, list[Any]]:
    """Return variables with the uppermost layers randomized, several draws of each, by "randomized_PERCENTAGE".

    `saliency_eval.num_depths` is the number of equal steps from the output layer down to all layers, as "randomized_50"
    and "randomized_100" of two; `saliency_eval.num_randomizations` is the number of draws.
    """
    layers = from_config.layer_paths(classifier)
    num_levels = config.saliency_eval.num_depths
    key = _purpose_key(jax.random.key(config.seed), "randomized weights")
    keys = jax.random.split(key, config.saliency_eval.num_randomizations)
    random = [from_config.init(classifier, key) for key in keys]
    variables = {}
    for level in range(1, num_levels + 1):
        top_layers = set(layers[len(layers) - round(len(layers) * level / num_levels) :])
        name = f"randomized_{round(100 * level / num_levels)}"
        variables[name] = [faithfulness.randomize_layers(trained, member, top_layers) for member in random]
    return variables


def _deletion_baseline(image: Array, settings: SaliencyEvalConfig) -> Array:
    """Return the image that replaces deleted pixels, black or blurred: uint8 [S, S]."""
    if settings.baseline == "black":
        return jnp.zeros_like(image)
    return jnp.round(faithfulness.smooth(image.astype(jnp.float32), settings.blur_sigma * len(image))).astype(
        image.dtype
    )


def _location_metrics(saliency: Array, lungs: Array, lesion: Array, covered: Array, region: Array) -> dict[str, Array]:
    """Return a map's energy in lungs and lesions and its pointing game, each with the value of an uninformative map.

    For the lungs, the uninformative map is uniform over the pixels that the patches cover. For the lesions, it is
    uniform over the region, with as much energy there as the map has.
    """
    energy_inside = faithfulness.energy_inside
    uniform = covered.astype(jnp.float32)
    lesion_share = energy_inside(region.astype(jnp.float32), lesion)

    def if_any(mask: Array, value: Array) -> Array:
        return jnp.where(mask.any(), value, jnp.nan)

    return {
        "energy_in_lungs": if_any(lungs, energy_inside(saliency, lungs)),
        "energy_in_lungs_chance": if_any(lungs, energy_inside(uniform, lungs)),
        "energy_in_lesions": if_any(lesion, energy_inside(saliency, lesion)),
        "pointing_game": if_any(lesion, faithfulness.points_inside(saliency, lesion)),
        "energy_in_lesions_chance": if_any(lesion, energy_inside(saliency, region) * lesion_share),
        "pointing_game_chance": if_any(lesion, lesion_share),
    }


def _compare_maps(a: Array, b: Array, region: Array, top_fraction: float) -> MapSimilarity:
    return MapSimilarity(
        correlation=jnp.abs(faithfulness.rank_correlation(a, b, region)),
        ssim=faithfulness.ssim(a, b, region),
        overlap=faithfulness.overlap(a, b, region, top_fraction),
    )


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV; NaN and missing values become blank cells."""
    columns = list(max(rows, key=len))

    def cell(value: Any) -> Any:
        return value if isinstance(value, str) or not np.isnan(value) else ""

    table = [columns, *([cell(row.get(column, "")) for column in columns] for row in rows)]
    atomic_files.atomic_write(path, csv_text.encode_rows(table))
