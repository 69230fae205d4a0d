"""Are the maps of a trained classifier to be believed? A row a radiograph, each figure with its interval, a verdict.

Writes RUN/maps/SPLIT/: checks.csv, checks.json, and the deletion and insertion curves as curves.png and curves.svg.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from ml_collections import ConfigDict
from tqdm import tqdm

from cxrjax import plotting
from cxrjax.data import batch, dataset
from cxrjax.evaluation import saliency_verdict
from cxrjax.inference import pipeline
from cxrjax.io import csv_text, lesions_csv
from cxrjax.metrics import saliency as faithfulness
from cxrjax.models import from_config, registry, spec
from cxrjax.ops import voting
from cxrjax.runs import run_dir
from cxrjax.runtime import atomic_files, sharding


class MapSimilarity(NamedTuple):
    """How like two maps are where the classifier looked; float32 each."""

    correlation: Array  # of ranks, without its sign: a map turned inside out is the same map
    similarity: Array  # SSIM
    overlap: Array  # of the hottest pixels


class SaliencyEvaluation(NamedTuple):
    """What a network shows of radiographs, and what that tells of its maps; every array with the batch's axis."""

    diagnosis: pipeline.Prediction
    region: Array  # bool [S, S], what the classifier was shown: orders and comparisons are of these pixels
    places: dict[str, Array]  # float32, where the map lies, by figure of `trust`; NaN where there is no such place
    curves: dict[str, Array]  # float32 [steps + 1], probability of the finding, by curve of `saliency_verdict.CURVES`
    misplaced: MapSimilarity  # to a map of the same texture whose hot spots lie anywhere: chance


def evaluate_saliency(
    workdir: Path, split: str, directory: str | None = None, table: Path | None = None
) -> dict[str, Any]:
    """Check the maps of the best network of a run.

    Args:
        workdir: the run directory, of a classifier.
        split: "train", "val", "test", or another that the data set has.
        directory: another prepared data set than the one it was trained on.
        table: known lesions, in place of the data set's own; see `lesions`.

    Returns:
        What checks.json says; see `saliency_verdict.judge`.

    Raises:
        UnfitRun, DatasetError: see there; or the run is no single classifier's.
        ValueError: the table of lesions is not fit; no such `maps.fill`; no map in the whole split.
    """
    config = run_dir.load_config(workdir)
    if config.task != "classify" or config.evaluation.members > 1:
        raise run_dir.RunError(f"{workdir}: only the maps of a single classifier can be checked")
    variables = run_dir.load_networks(workdir, config)
    cases = dataset.load_split(config, split, directory)
    if table is not None:
        directory = directory or config.data.directory
        cases = batch.with_columns(
            cases,
            lesions=dataset.load_lesions(
                directory, split, config.image.size, config.image.borders, lesions_csv.read(table)
            ),
        )
    segmenter, classifier = from_config.segmenter(config), from_config.classifier(config)
    rows, curves = zip(*iter_evaluations(segmenter, classifier, config, variables, cases), strict=True)
    judged = saliency_verdict.judge(rows, curves, config.maps, config.seed)
    folder = workdir / "maps" / dataset.results_dirname(config, split, directory)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "checks.csv", rows)
    for form in ("png", "svg"):
        plotting.draw_faithfulness(judged["curves"], folder / f"curves.{form}")
    atomic_files.atomic_write(folder / "checks.json", (json.dumps(judged, indent=2) + "\n").encode())
    return judged


def evaluate_map(
    segmenter: spec.ModelSpec, classifier: spec.ModelSpec, config: ConfigDict, variables: Any, given: Any
) -> SaliencyEvaluation:
    """Diagnose radiographs as evaluation does, then see where the maps lie and what the findings rest on.

    Args:
        segmenter: see `pipeline.diagnose`.
        classifier: likewise.
        config: of the run.
        variables: `{"segmenter": …, "classifier": …}`.
        given: images uint8 [B, S, S], keys [B], known lesions bool [B, S, S].
    """
    settings, few = (
        from_config.inference_config(config, count) for count in (config.patches.count, config.maps.patches)
    )
    diagnosis = pipeline.predict(segmenter, classifier, variables, *given[:2], settings)
    prepared = registry.precompute_kernels(variables["classifier"])

    def one(image: Array, key: Array, lesion: Array, found: pipeline.Prediction) -> SaliencyEvaluation:
        texture, ties, traced = jax.random.split(jax.random.fold_in(key, 1), 3)
        lungs = found.mask, found.lung_confidence
        covered = pipeline.receptive_mask(classifier, image, *lungs, key, settings)
        region = covered & found.mask if settings.masked else covered
        misplaced = faithfulness.phase_randomized_map(found.map, texture)
        orders = [faithfulness.rank_pixels(saliency, region, ties) for saliency in (found.map, misplaced)]
        blank = jnp.where(region, _fill(image, config.maps), image)

        def score(picture: Array) -> Array:
            """The mean probability of the finding in a few patches, always the same, or in all windows."""
            looks = pipeline.classify_image(classifier, prepared, picture, *lungs, traced, few)
            return voting.count_votes(looks.logits, few.voting_rule, looks.valid).probabilities[found.finding]

        # One loop over all curves and not one each: the network is compiled once. Deletion, then insertion.
        turns = jnp.stack([image, image, blank, blank]), jnp.stack([blank, blank, image, image]), jnp.stack(2 * orders)
        curves = lax.map(lambda turn: faithfulness.deletion_curve(score, *turn, config.maps.steps), turns)
        return SaliencyEvaluation(
            diagnosis=found,
            region=region,
            places=_places(found.map, found.mask, lesion, covered, region),
            curves=dict(zip(saliency_verdict.CURVES, curves, strict=True)),
            misplaced=_liken(found.map, misplaced, region, config.maps.hottest),
        )

    return lax.map(lambda each: one(*each), (*given, diagnosis))


def map_similarity(classifier: spec.ModelSpec, config: ConfigDict, variables: Any, given: Any) -> MapSimilarity:
    """How like the maps of a look are to those of the same findings by other weights, or of other patches.

    Args:
        classifier: see `pipeline.diagnose`.
        config: of the run.
        variables: of the classifier, trained or re-drawn.
        given: images uint8 [B, S, S], keys [B] that the patches are drawn from, and the look's diagnosis and region.
    """
    settings = from_config.inference_config(config, config.patches.count)
    prepared = registry.precompute_kernels(variables)

    def one(image: Array, key: Array, found: pipeline.Prediction, region: Array) -> MapSimilarity:
        lungs = found.mask, found.lung_confidence
        looks = pipeline.classify_image(classifier, prepared, image, *lungs, key, settings)
        other = pipeline.saliency_map(classifier, prepared, image, looks, found.finding, settings)
        return _liken(found.map, other, region, config.maps.hottest)

    return lax.map(lambda each: one(*each), given)


def iter_evaluations(
    segmenter: spec.ModelSpec,
    classifier: spec.ModelSpec,
    config: ConfigDict,
    variables: Mapping[str, Any],
    cases: batch.RadiographBatch,
) -> Iterator[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    """Check the maps of a split, radiograph by radiograph.

    Args:
        segmenter: see `pipeline.diagnose`.
        classifier: likewise.
        config: of the run.
        variables: `{"segmenter": …, "classifier": …}`.
        cases: the split.

    Yields:
        A row of checks.csv, and the curves float32 [steps + 1] by name; of a radiograph without lungs no curves.
    """
    batch_size = min(config.evaluation.batch_size, len(cases))
    shares = sharding.BatchSharding(batch_size)
    first = shares.compile(partial(evaluate_map, segmenter, classifier, config))
    again = shares.compile(partial(map_similarity, classifier, config))
    trained, redrawn = variables["classifier"], _redraw(config, classifier, variables["classifier"])
    draws = config.maps.seeds if spec.PATCH_MODES[config.patches.mode].draws_patches else 0
    keys, *others = (pipeline.image_keys(config.seed + k, cases.image_ids) for k in range(draws + 1))
    known = np.zeros(cases.images.shape, bool) if cases.lesions is None else cases.lesions
    for rows, count in tqdm(
        list(batch.padded_batches(len(cases), batch_size)), desc="checking maps", unit="batch", delay=2
    ):
        images, drawn, marked = shares.shard((cases.images[rows], keys[rows], known[rows]))
        seen = first(variables, (images, drawn, marked))
        shown = (seen.diagnosis, seen.region)
        likenesses = {
            "misplaced": [seen.misplaced],
            **{name: [again(each, (images, drawn, *shown)) for each in some] for name, some in redrawn.items()},
        }
        if others:
            likenesses["seeds"] = [again(trained, (images, shares.shard(other[rows]), *shown)) for other in others]
        means = {name: jax.tree.map(lambda *each: sum(each) / len(each), *some) for name, some in likenesses.items()}
        found, places, curves, means = shares.gather((seen.diagnosis.finding, seen.places, seen.curves, means))
        for i, row in enumerate(rows[:count]):
            who = {"path": cases.paths[row], "patient_id": cases.patients[row], "source": cases.sources[row]}
            who |= {"label": cases.labels[row], "finding": ""}
            if found[i] == pipeline.NO_CLASS:
                yield who, {}
                continue
            who["finding"] = config.classifier.classes[found[i]]
            of_row = {name: curve[i] for name, curve in curves.items()}
            areas = {name: faithfulness.auc(curve) for name, curve in of_row.items()}
            like = {f"{name}_{kind}": x[i] for name, each in means.items() for kind, x in each._asdict().items()}
            yield who | {name: x[i] for name, x in places.items()} | areas | like, of_row


def _redraw(config: ConfigDict, classifier: spec.ModelSpec, trained: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Variables by the share of layers drawn anew, from the output down: "redrawn_50", …, each several times."""
    layers, levels = from_config.layers(classifier), config.maps.levels
    keys = jax.random.split(jax.random.key(config.seed + 1), config.maps.draws)
    drawn = [from_config.init(classifier, key) for key in keys]
    tops = {level: layers[len(layers) - round(len(layers) * level / levels) :] for level in range(1, levels + 1)}
    return {
        f"redrawn_{round(100 * level / levels)}": [
            faithfulness.randomize_layers(trained, each, set(top)) for each in drawn
        ]
        for level, top in tops.items()
    }


def _fill(image: Array, maps: ConfigDict) -> Array:
    """What is put in the place of deleted pixels: uint8 [S, S]."""
    if maps.fill == "black":
        return jnp.zeros_like(image)
    if maps.fill != "blur":
        raise ValueError(f"no maps.fill called {maps.fill!r}; there are black, blur")
    return jnp.round(faithfulness.smooth(image.astype(jnp.float32), maps.blur * len(image))).astype(image.dtype)


def _places(saliency: Array, lungs: Array, lesion: Array, covered: Array, region: Array) -> dict[str, Array]:
    """Where a map lies, and where one would that knows nothing.

    Of energy in the lungs: one that is even over what the patches cover. Of lesions: one with as much energy in the
    region as the map, and even there.
    """
    inside, uniform = faithfulness.energy_inside, covered.astype(jnp.float32)

    share = inside(region.astype(jnp.float32), lesion)

    def known(place: Array, value: Array) -> Array:
        return jnp.where(place.any(), value, jnp.nan)

    return {
        "energy_in_lungs": known(lungs, inside(saliency, lungs)),
        "energy_in_lungs_chance": known(lungs, inside(uniform, lungs)),
        "energy_in_lesions": known(lesion, inside(saliency, lesion)),
        "pointing_game": known(lesion, faithfulness.points_inside(saliency, lesion)),
        "energy_in_lesions_chance": known(lesion, inside(saliency, region) * share),
        "pointing_game_chance": known(lesion, share),
    }


def _liken(a: Array, b: Array, region: Array, hottest: float) -> MapSimilarity:
    return MapSimilarity(
        correlation=jnp.abs(faithfulness.rank_correlation(a, b, region)),
        similarity=faithfulness.structural_similarity(a, b, region),
        overlap=faithfulness.overlap(a, b, region, hottest),
    )


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """The rows as CSV, blank where a number is not known."""
    columns = list(max(rows, key=len))

    def cell(value: Any) -> Any:
        return value if isinstance(value, str) or not np.isnan(value) else ""

    table = [columns, *([cell(row.get(column, "")) for column in columns] for row in rows)]
    atomic_files.atomic_write(path, csv_text.encode_rows(table))
