"""The control experiments of an audit: the perturbation and the model of each."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jax import Array

from cxrjax.audit import left_out, markers, metadata_baseline, metadata_predictions, metrics, perturbations
from cxrjax.audit.context import AuditContext, NotApplicableError, require_lungs
from cxrjax.audit.perturbations import Perturbation
from cxrjax.audit.probe import ProbeNetwork, perturb
from cxrjax.data.batch import RadiographBatch, with_columns
from cxrjax.ops import voting
from cxrjax.runtime.formatting import join_labels

# Models of the experiments, as in audit.json
METADATA_MODEL = "metadata"
AUDITED_NETWORK = "network"
PROBE_NETWORK = "small network"
# Categories of the experiments, as in audit.json
SHORTCUT = "shortcut"
CONTENT = "content"
CHECK = "check"
# Experiments without a perturbation, the references of those with one
FULL_IMAGE = "full_image"
UNALTERED = "unaltered"
NUM_TRAININGS = 3  # of the probe network for each shortcut, since one training may miss a shortcut. Ours
NUM_SHUFFLES = 3  # of the labels: a network trained on a single shuffle may deviate from chance without a leak


class ExperimentResult(NamedTuple):
    """Result of an experiment."""

    rows: list[dict[str, Any]]  # as in predictions.csv
    note: str = ""
    details: dict[str, Any] = {}  # noqa: RUF012  further entries of audit.json; never modified
    rows_without_marker: list[dict[str, Any]] | None = None  # for a planted marker: the same radiographs without it
    repeat_rows: tuple[list[dict[str, Any]], ...] = ()  # rows of repeated trainings of the same network


class Experiment(NamedTuple):
    """A control experiment on the data or on a network."""

    name: str
    title: str
    question: str
    category: str  # SHORTCUT: without visible disease; CONTENT: the remaining image; CHECK: of the network or the audit
    model: str  # METADATA_MODEL, AUDITED_NETWORK or PROBE_NETWORK
    run: Callable[[AuditContext], ExperimentResult]  # raises NotApplicableError
    reference: str = ""  # name of the experiment whose scores on the same radiographs are compared
    reports_share: bool = False  # whether the share of the run's score that it reaches is reported
    metric_fn: metrics.Measure = metrics.measure_predictions
    saved: bool = True  # whether its rows are saved; otherwise, they are derived from those of the run at the end


def _metadata_baseline(context: AuditContext, attributes: tuple[str, ...]) -> ExperimentResult:
    train, test = context.metadata
    is_constant = all(len({features[name] for features in train}) == 1 for name in attributes)
    probabilities = metadata_predictions.predict(context, attributes)
    note = "the same for all radiographs of training, so that it cannot predict the label" if is_constant else ""
    cases = [{field: features[field] for field in metadata_baseline.ROW_FIELDS} for features in test]
    targets = context.record_targets[1] if context.is_multi_label else None
    return ExperimentResult(context.make_rows(cases, probabilities, targets), note)


def _train_probes(
    context: AuditContext,
    perturbation: Perturbation | None,
    uses_lungs: bool,
    num_trainings: int = 1,
) -> tuple[list[ProbeNetwork], RadiographBatch, np.ndarray]:
    """Train probe networks on perturbed images, and perturb those of the split.

    Args:
        context: inputs of the audit.
        perturbation: perturbation of the images; None for none.
        uses_lungs: whether the perturbation needs lung masks.
        num_trainings: number of networks, each with its own seed.

    Returns:
        The networks, the perturbed radiographs of the split, and their lung masks.

    Raises:
        NotApplicableError: the perturbation needs lung masks, and there are none.
    """
    train, train_lungs = context.probe_train
    test, test_lungs = context.probe_test
    if uses_lungs:
        require_lungs(train_lungs, test_lungs)
    if perturbation is not None:
        batch_size = context.probe_config.evaluation.batch_size
        train = with_columns(train, images=perturb(perturbation, train.images, train_lungs, batch_size))
        test = with_columns(test, images=perturb(perturbation, test.images, test_lungs, batch_size))
    seed = context.probe_config.seed
    networks = []
    for number in range(num_trainings):
        title = f", {number + 1} of {num_trainings}" if num_trainings > 1 else ""
        networks.append(ProbeNetwork(context.probe_config, train, seed + number, title))
    return networks, test, test_lungs


def _probe(
    context: AuditContext, perturbation: Perturbation | None, uses_lungs: bool, locate: bool
) -> ExperimentResult:
    """Train probe networks on perturbed images, and evaluate them.

    Args:
        context: inputs of the audit.
        perturbation: perturbation of the images; None for none.
        uses_lungs: whether the perturbation needs lung masks.
        locate: whether to train several networks, and to locate by occlusion the class that is predicted best.
    """
    num_trainings = NUM_TRAININGS if locate else 1
    networks, test, lungs = _train_probes(context, perturbation, uses_lungs, num_trainings=num_trainings)
    rows, *repeat_rows = [_make_rows(context, test, network.predict(test.images)) for network in networks]
    if not locate:
        return ExperimentResult(rows)
    note = f"trained {len(networks)} times; the scores are means, and their intervals include how the trainings differ"
    class_scores = metrics.measure_predictions(rows, context.classes, np.ones((1, len(rows))))["classes"]
    aurocs = {name: scores["auroc"].value[0] for name, scores in class_scores.items()}
    aurocs = {name: auroc for name, auroc in aurocs.items() if not np.isnan(auroc)}
    if not aurocs:
        return ExperimentResult(rows, note, repeat_rows=tuple(repeat_rows))
    best_class = max(aurocs, key=aurocs.__getitem__)
    is_best = context.has_class(test, best_class)
    target = context.classes.index(best_class)
    place = markers.occlusion_peak(networks[0].predict, test.images[is_best], lungs[is_best], target)
    assert place is not None  # the best class has radiographs, since its AUROC is defined
    details = {"place": {"class": best_class} | place}
    return ExperimentResult(rows, note, details, repeat_rows=tuple(repeat_rows))


def _audit_network(context: AuditContext, perturbation: Perturbation | None, hides: str) -> ExperimentResult:
    """Evaluate the audited network on perturbed images.

    Args:
        context: inputs of the audit.
        perturbation: perturbation of the images; None for none.
        hides: "lungs" or "background" if the perturbation hides either, else "".
    """
    if hides and context.run_config.patches.mask_lungs:
        reason = "nothing would be left" if hides == "lungs" else "nothing would change"
        raise NotApplicableError(f"the network gets the lungs alone, and {reason}")
    test, lungs = context.test_images
    model = context.audited_model
    if hides:
        require_lungs(lungs)
    images = test.images
    if perturbation is not None:
        images = perturb(perturbation, images, lungs, context.run_config.evaluation.batch_size)
    votes = model.predict(images, lungs, test.image_ids)
    has_prediction = np.asarray(lungs.any((1, 2)) | (not model.requires_segmentation))
    predictions = {"votes": np.asarray(votes.votes), "has_prediction": has_prediction}
    probabilities = np.asarray(votes.probabilities)
    if context.is_multi_label:
        num_patches = np.asarray(votes.num_patches)
        rule = context.run_config.voting.aggregation
        predictions["called"] = voting.find_positive(votes.votes, probabilities, num_patches, rule)
        predictions["num_patches"] = num_patches
    else:
        predictions["label"] = np.asarray(votes.label)
    rows = _make_rows(context, test, probabilities, **predictions)
    return ExperimentResult(rows, f"by {model.num_patches} patches per radiograph" if model.num_patches > 1 else "")


def _leave_source_out(context: AuditContext) -> ExperimentResult:
    train, _ = context.probe_train
    test, _ = context.probe_test
    sources = np.array(train.sources)
    rows = []
    descriptions = []
    for source in sorted(set(train.sources)):
        selected = left_out.select(context, source)
        if selected is None:
            continue
        classifier = replace(context.probe_config.classifier, classes=selected.classes)
        config = replace(context.probe_config, classifier=classifier)
        network = ProbeNetwork(config, train.select(np.flatnonzero(sources != source)))
        part = test.select(selected.rows)
        probabilities = np.zeros((len(part), len(context.classes)), np.float32)
        probabilities[:, [context.classes.index(name) for name in selected.classes]] = network.predict(part.images)
        rows += _make_rows(context, part, probabilities, targets=selected.targets)
        descriptions.append(selected.description)
    if not rows:
        raise NotApplicableError("no class comes from two sources of which one could be left out of training")
    return ExperimentResult(rows, f"trained without their source: {'; '.join(descriptions)}")


def _plant_marker(context: AuditContext, inside: bool) -> ExperimentResult:
    """Train with a marker on one class, and test with the marker on the other classes."""
    train, train_lungs = context.probe_train
    test, test_lungs = context.probe_test
    require_lungs(train_lungs, test_lungs)
    target = max(context.classes, key=lambda name: context.count_class(train, name))
    batch_size = context.probe_config.evaluation.batch_size
    target_rows = np.flatnonzero(context.has_class(train, target))
    can_have_marker = test_lungs.any((1, 2)) | (not inside)
    other_rows = np.flatnonzero(can_have_marker & context.lacks_class(test, target))
    if not len(other_rows):
        raise NotApplicableError("there is no radiograph of another class to put the mark on")
    marked_train = markers.add_markers(train, train_lungs, target_rows, inside, batch_size)
    network = ProbeNetwork(context.probe_config, marked_train)
    unmarked = test.select(other_rows)
    lungs = test_lungs[other_rows]
    marked = markers.add_markers(unmarked, lungs, np.arange(len(unmarked)), inside, batch_size)
    place = markers.occlusion_peak(network.predict, marked.images, lungs, context.classes.index(target))
    assert place is not None  # there are radiographs
    place |= markers.marker_hit_rate(place["peaks"], lungs, inside)
    return ExperimentResult(
        rows=_make_rows(context, marked, network.predict(marked.images)),
        note=f"in training every {target} has the mark; here all others have it",
        details={"target": target, "place": place},
        rows_without_marker=_make_rows(context, unmarked, network.predict(unmarked.images)),
    )


def _shuffle_labels(context: AuditContext, number: int) -> ExperimentResult:
    train, _ = context.probe_train
    test, _ = context.probe_test
    order = np.random.default_rng([context.probe_config.seed, number]).permutation(len(train))
    shuffled = with_columns(
        train,
        labels=[train.labels[i] for i in order],
        findings=None if train.findings is None else [train.findings[i] for i in order],
    )
    network = ProbeNetwork(context.probe_config, shuffled)
    return ExperimentResult(_make_rows(context, test, network.predict(test.images)))


def _within_source(context: AuditContext) -> ExperimentResult:
    mixed = metrics.mixed_sources(context.rows)
    if len({row["source"] for row in context.rows}) < 2:
        raise NotApplicableError("all radiographs come from one source")
    if not mixed:
        raise NotApplicableError("no source holds more than one class")
    return ExperimentResult([row for row in context.rows if row["source"] in mixed], f"in {', '.join(mixed)}")


def _rank_pairs(context: AuditContext, sign: int) -> ExperimentResult:
    """Return the run's rows with the share of each class in their source, times -1 for pairs with the source."""
    rows = context.rows
    if len({row["source"] for row in rows}) < 2:
        raise NotApplicableError("all radiographs come from one source")
    shares = metadata_predictions.source_shares(context, [row["source"] for row in rows])
    rows = metrics.with_source_shares(rows, context.classes, sign * shares)
    ranked = list(metrics.measure_against_source(rows, context.classes, np.ones((1, len(rows))))["classes"])
    if not ranked:
        raise NotApplicableError("no class has pairs of radiographs in which the source points to the wrong one")
    return ExperimentResult(rows, f"of {join_labels(ranked)}")


def _match_histogram_probe(context: AuditContext) -> ExperimentResult:
    quantiles = perturbations.pool_levels(context.probe_train[0].images)
    return _probe(
        context, lambda images, _: perturbations.match_histogram(images, quantiles), uses_lungs=False, locate=False
    )


def _match_histogram_network(context: AuditContext) -> ExperimentResult:
    quantiles = perturbations.pool_levels(context.test_images[0].images)
    return _audit_network(context, lambda images, _: perturbations.match_histogram(images, quantiles), hides="")


def _show_box(_: Array | np.ndarray, lungs: Array | np.ndarray) -> Array:
    return perturbations.box_only(lungs)


def _reduce_resolution(images: Array | np.ndarray, _: Array | np.ndarray) -> Array:
    return perturbations.downsample_resolution(images)


def _make_rows(
    context: AuditContext,
    radiographs: RadiographBatch,
    probabilities: np.ndarray,
    targets: np.ndarray | None = None,
    **predictions: np.ndarray,
) -> list[dict[str, Any]]:
    """Return rows as in predictions.csv.

    Args:
        context: inputs of the audit.
        radiographs: n radiographs.
        probabilities: float [n, K].
        targets: truth of several findings, [n, K]; None for that of the radiographs.
        **predictions: see `AuditContext.make_rows`.
    """
    fields = zip(radiographs.paths, radiographs.patients, radiographs.sources, radiographs.labels, strict=True)
    cases = [dict(zip(metadata_baseline.ROW_FIELDS, values, strict=True)) for values in fields]
    if targets is None:
        targets = context.targets(radiographs)
    return context.make_rows(cases, probabilities, targets, **predictions)


def _on_images(
    name: str, title: str, question: str, category: str, perturbation: Perturbation, hides: str
) -> list[Experiment]:
    """Return the experiments with a perturbation: one of the probe network, and one of the audited network."""
    probe = partial(_probe, perturbation=perturbation, uses_lungs=True, locate=category == SHORTCUT)
    audit_network = partial(_audit_network, perturbation=perturbation, hides=hides)
    return [
        Experiment(name, title, question, category, PROBE_NETWORK, probe, FULL_IMAGE, reports_share=True),
        Experiment(f"{name}_network", title, question, CHECK, AUDITED_NETWORK, audit_network, UNALTERED),
    ]


def _on_metadata(name: str, title: str, attributes: tuple[str, ...]) -> Experiment:
    return Experiment(
        name,
        title,
        question="What predicts the label before the image is seen?",
        category=SHORTCUT,
        model=METADATA_MODEL,
        run=partial(_metadata_baseline, attributes=attributes),
        reports_share=True,
        metric_fn=metrics.measure_baseline,
    )


def _on_shuffled_labels(number: int) -> Experiment:
    return Experiment(
        f"shuffled_labels_{number}",
        title=f"labels shuffled, {number} of {NUM_SHUFFLES}",
        question="Is a network that can learn nothing at chance?",
        category=CHECK,
        model=PROBE_NETWORK,
        run=partial(_shuffle_labels, number=number),
        reference=FULL_IMAGE,
    )


_ALL_ATTRIBUTES = tuple(name for names in metadata_baseline.ATTRIBUTES.values() for name in names)
EXPERIMENTS = (
    _on_metadata("source", "source alone", metadata_baseline.ATTRIBUTES["source"]),
    _on_metadata("view", "view alone", metadata_baseline.ATTRIBUTES["view"]),
    _on_metadata("resolution", "height and width alone", metadata_baseline.ATTRIBUTES["resolution"]),
    _on_metadata("file_format", "file format alone", metadata_baseline.ATTRIBUTES["file_format"]),
    _on_metadata("metadata", "source, view, size and file format together", _ALL_ATTRIBUTES),
    Experiment(FULL_IMAGE, "whole radiograph", "What does the small network learn, nothing hidden?", CONTENT,
            PROBE_NETWORK, partial(_probe, perturbation=None, uses_lungs=False, locate=False), reports_share=True),
    *_on_images("background", "background alone", "Can the label be predicted where there is no lung?", SHORTCUT,
                perturbations.mask_out_lungs, "lungs"),
    Experiment("lung_box", "box of the lungs alone", "Do the lungs' size and position, or missing lungs, predict it?",
            SHORTCUT, PROBE_NETWORK, partial(_probe, perturbation=_show_box, uses_lungs=True, locate=True),
            FULL_IMAGE, reports_share=True),
    *_on_images("border", "border alone", "Can it be predicted from the outer tenth of each side?", SHORTCUT,
                perturbations.border_only, "lungs"),
    *_on_images("lungs", "lungs alone", "How well do the lungs alone predict the label?", CONTENT,
                perturbations.lungs_only, "background"),
    Experiment("within_source", "within one source", "What is left where the source cannot help?", CONTENT,
            AUDITED_NETWORK, _within_source, metric_fn=metrics.measure_within_sources, saved=False),
    Experiment("with_source", "pairs with the source", "How are two radiographs ranked whose sources tell them apart?",
            CHECK, AUDITED_NETWORK, partial(_rank_pairs, sign=-1), metric_fn=metrics.measure_against_source,
            saved=False),
    Experiment("against_source", "pairs against the source", "And two radiographs whose sources mislead?", CHECK,
            AUDITED_NETWORK, partial(_rank_pairs, sign=1), "with_source", metric_fn=metrics.measure_against_source,
            saved=False),
    Experiment("leave_source_out", "a source left out", "Is a class known again in a source not trained on?", CHECK,
            PROBE_NETWORK, _leave_source_out, FULL_IMAGE, metric_fn=metrics.measure_left_out),
    Experiment("marker_outside", "mark planted outside the lungs", "Would this audit notice a mark in the corner?",
            CHECK, PROBE_NETWORK, partial(_plant_marker, inside=False), FULL_IMAGE),
    Experiment("marker_inside", "mark planted inside the lungs", "Would it notice one in the lungs?", CHECK,
            PROBE_NETWORK, partial(_plant_marker, inside=True), FULL_IMAGE),
    *(_on_shuffled_labels(number + 1) for number in range(NUM_SHUFFLES)),
    Experiment(UNALTERED, "predicted again, nothing altered", "What does the network predict in the way of this audit?",
            CHECK, AUDITED_NETWORK, partial(_audit_network, perturbation=None, hides="")),
    Experiment("common_levels", "common gray levels", "Can it be learned without the gray levels of a source?", CHECK,
            PROBE_NETWORK, _match_histogram_probe, FULL_IMAGE),
    Experiment("common_levels_network", "common gray levels", "Does it need the gray levels of a source?", CHECK,
            AUDITED_NETWORK, _match_histogram_network, UNALTERED),
    # The images of the probe network have a common resolution already, which is coarser.
    Experiment("common_resolution_network", f"through {perturbations.RESOLUTION} pixels", "Does it need the sharpness?",
            CHECK, AUDITED_NETWORK, partial(_audit_network, perturbation=_reduce_resolution, hides=""),
            UNALTERED),
)  # fmt: skip
