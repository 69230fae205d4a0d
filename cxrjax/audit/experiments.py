"""The controls of an audit, and what each shows to which network."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from cxrjax.audit import markers, metadata_baseline, metrics, perturbations
from cxrjax.audit.context import AuditContext, NotApplicableError, require_lungs
from cxrjax.audit.perturbations import Alteration
from cxrjax.audit.probe import ProbeNetwork, alter
from cxrjax.data import batch as cohort
from cxrjax.metrics import baselines

TABLE, NETWORK, SMALL = "table", "network", "small network"
SHORTCUT, CONTENT, CHECK = "shortcut", "content", "check"
FULL_IMAGE, AUDITED = "whole", "network"  # the controls that hide nothing, by which those that do are measured
TRAININGS = 3  # of each shortcut's small network: what one training finds, another may miss. Ours
SHUFFLES = 3  # of the labels: a network that learned one shuffle alone may be off chance without a leak


class ExperimentResult(NamedTuple):
    """What a control found."""

    rows: list[dict[str, Any]]  # as in predictions.csv
    note: str = ""
    facts: dict[str, Any] = {}  # noqa: RUF012  what the rows do not say, for audit.json; never changed
    unmarked: list[dict[str, Any]] | None = None  # of a planted mark: the same radiographs without it
    repeats: tuple[list[dict[str, Any]], ...] = ()  # rows of other trainings of the same network


class Experiment(NamedTuple):
    """A question that is put to the data or to a network."""

    name: str
    title: str
    question: str
    kind: str  # SHORTCUT: no disease can be seen; CONTENT: what is left; CHECK: of the network or of the audit
    by: str  # TABLE, NETWORK or SMALL
    run: Callable[[AuditContext], ExperimentResult]  # raises NotDone
    reference: str = ""  # the control whose scores on the same radiographs it is compared with
    share: bool = False  # whether what it reaches is a part of the run's score
    measure: metrics.Measure = metrics.measure_predictions
    kept: bool = True  # whether its rows are its own; those of others are taken anew at the end


def _table(material: AuditContext, attributes: tuple[str, ...]) -> ExperimentResult:
    seen, asked = material.metadata
    labels = np.array([material.classes.index(label) for label in material.train_sources_and_labels[1]])
    constant = all(len({facts[name] for facts in seen}) == 1 for name in attributes)
    if attributes == metadata_baseline.ATTRIBUTES["source"]:
        guesses = baselines.source_probabilities(
            material.source_label_counts, [facts["source"] for facts in asked], material.classes
        )
    else:
        guesses = metadata_baseline.naive_bayes(seen, labels, asked, attributes, len(material.classes))
    note = "the same for all radiographs of training, so that it tells nothing" if constant else ""
    return ExperimentResult(
        material.make_rows([{key: facts[key] for key in metadata_baseline.CASE} for facts in asked], guesses), note
    )


def _shown(
    material: AuditContext,
    alteration: Alteration | None,
    by_lungs: bool,
    rows: np.ndarray | None = None,
    trainings: int = 1,
) -> tuple[list[ProbeNetwork], cohort.RadiographBatch, np.ndarray]:
    """Train small networks, and alter what they are asked of.

    Args:
        material: of the audit.
        alteration: of pictures; None for none.
        by_lungs: whether it needs lungs.
        rows: of the training radiographs; None for all.
        trainings: how many networks, each from other random numbers.

    Returns:
        The networks, the radiographs that they are asked of, altered, and their lungs.
    """
    (train, lungs), (test, test_lungs) = material.probe_train, material.probe_test
    if by_lungs:
        require_lungs(lungs, test_lungs)
    if alteration is not None:
        batch = material.config.evaluation.batch_size
        train = cohort.with_columns(train, images=alter(alteration, train.images, lungs, batch))
        test = cohort.with_columns(test, images=alter(alteration, test.images, test_lungs, batch))
    train = train if rows is None else train.select(rows)
    networks = [ProbeNetwork(material.config, train, material.config.seed + number) for number in range(trainings)]
    return networks, test, test_lungs


def _small(material: AuditContext, alteration: Alteration | None, by_lungs: bool, look: bool) -> ExperimentResult:
    """What the small network learns of altered pictures; `look`: and where, of the class that it knows best."""
    networks, test, lungs = _shown(material, alteration, by_lungs, trainings=TRAININGS if look else 1)
    rows, *repeats = [_tell(material, test, each.ask(test.images)) for each in networks]
    network = networks[0]
    if not look:
        return ExperimentResult(rows)
    note = f"trained {len(networks)} times; the scores are means, and their intervals hold how the trainings differ"
    areas = metrics.measure_predictions(rows, material.classes, np.ones((1, len(rows))))["classes"]
    known = {name: of["auroc"].value[0] for name, of in areas.items() if not np.isnan(of["auroc"].value[0])}
    if not known:
        return ExperimentResult(rows, note, repeats=tuple(repeats))
    best = max(known, key=known.get)
    of = np.array([label == best for label in test.labels])
    place = markers.occlusion_peak(network.ask, test.images[of], lungs[of], material.classes.index(best))
    return ExperimentResult(rows, note, {"place": {"class": best} | place}, repeats=tuple(repeats))


def _asked(material: AuditContext, alteration: Alteration | None, hides: str) -> ExperimentResult:
    """What the run's network finds in altered pictures; `hides`: "lungs" or "background", where it hides either."""
    if hides and material.run.patches.masked:
        seen = "it would be shown nothing" if hides == "lungs" else "nothing would change"
        raise NotApplicableError(f"the network is shown the lungs alone, and {seen}")
    (test, lungs), asked = material.test_images, material.audited_model
    if hides:
        require_lungs(lungs)
    images = test.images
    if alteration is not None:
        images = alter(alteration, images, lungs, material.run.evaluation.batch_size)
    vote = asked.ask(images, lungs, test.image_ids)
    found = lungs.any((1, 2)) | (not asked.needs_lungs)
    rows = _tell(material, test, vote.probabilities, finding=vote.finding, votes=vote.votes, found=found)
    return ExperimentResult(rows, f"by {asked.patches} patches a radiograph" if asked.patches > 1 else "")


def _leave_source_out(material: AuditContext) -> ExperimentResult:
    (train, _), (test, _) = material.probe_train, material.probe_test
    sources, labels = np.array(train.sources), np.array(train.labels)
    parts, note = [], []
    for source in sorted(set(sources)):
        elsewhere = set(labels[sources != source])
        asked = [i for i in range(len(test)) if test.sources[i] == source and test.labels[i] in elsewhere]
        if not asked or len(elsewhere) < 2:
            continue
        (network,), _, _ = _shown(material, None, False, np.flatnonzero(sources != source))
        left = test.select(np.array(asked))
        parts += _tell(material, left, network.ask(left.images))
        note.append(f"{', '.join(sorted(set(left.labels)))} of {source} ({len(asked)})")
    if not parts:
        raise NotApplicableError("no class comes from two sources of which one could be left out of training")
    return ExperimentResult(parts, f"trained without their source: {'; '.join(note)}")


def _plant(material: AuditContext, inside: bool) -> ExperimentResult:
    (train, lungs), (test, test_lungs) = material.probe_train, material.probe_test
    require_lungs(lungs, test_lungs)
    target = max(material.classes, key=train.labels.count)
    batch = material.config.evaluation.batch_size
    of_target = np.flatnonzero([label == target for label in train.labels])
    bearing = test_lungs.any((1, 2)) | (not inside)
    others = np.flatnonzero(bearing & [label != target for label in test.labels])
    if not len(others):
        raise NotApplicableError("there is no radiograph of another class to put the mark on")
    network = ProbeNetwork(material.config, markers.add_markers(train, lungs, of_target, inside, batch))
    clean, there = test.select(others), test_lungs[others]
    marked = markers.add_markers(clean, there, np.arange(len(clean)), inside, batch)
    place = markers.occlusion_peak(network.ask, marked.images, there, material.classes.index(target))
    place |= markers.marker_hit_rate(place["peaks"], there, inside)
    rows, unmarked = (_tell(material, split, network.ask(split.images)) for split in (marked, clean))
    note = f"in training every {target} has the mark; here all others have it"
    return ExperimentResult(rows, note, {"target": target, "place": place}, unmarked)


def _shuffle(material: AuditContext, number: int) -> ExperimentResult:
    (train, _), (test, _) = material.probe_train, material.probe_test
    order = np.random.default_rng([material.config.seed, number]).permutation(len(train))
    shuffled = cohort.with_columns(train, labels=[train.labels[i] for i in order])
    return ExperimentResult(_tell(material, test, ProbeNetwork(material.config, shuffled).ask(test.images)))


def _within_source(material: AuditContext) -> ExperimentResult:
    mixed = metrics.mixed_sources(material.rows)
    if len({row["source"] for row in material.rows}) < 2:
        raise NotApplicableError("all radiographs come from one source")
    if not mixed:
        raise NotApplicableError("no source holds more than one class")
    return ExperimentResult([row for row in material.rows if row["source"] in mixed], f"in {', '.join(mixed)}")


def _level_small(material: AuditContext) -> ExperimentResult:
    alteration = partial(
        perturbations.match_histogram, quantiles=perturbations.pool_levels(material.probe_train[0].images)
    )
    return _small(material, alteration, by_lungs=False, look=False)


def _level_asked(material: AuditContext) -> ExperimentResult:
    alteration = partial(
        perturbations.match_histogram, quantiles=perturbations.pool_levels(material.test_images[0].images)
    )
    return _asked(material, alteration, hides="")


def _tell(
    material: AuditContext, split: cohort.RadiographBatch, probabilities: np.ndarray, **known: np.ndarray
) -> list[dict[str, Any]]:
    names = zip(split.paths, split.patients, split.sources, split.labels, strict=True)
    cases = [dict(zip(metadata_baseline.CASE, one, strict=True)) for one in names]
    return material.make_rows(cases, probabilities, **known)


def _on_pictures(
    name: str, title: str, question: str, kind: str, alteration: Alteration, hides: str
) -> list[Experiment]:
    """A control on altered pictures: of the small network, and of the run's."""
    small = partial(_small, alteration=alteration, by_lungs=True, look=kind == SHORTCUT)
    asked = partial(_asked, alteration=alteration, hides=hides)
    return [
        Experiment(name, title, question, kind, SMALL, small, FULL_IMAGE, share=True),
        Experiment(f"{name}_network", title, question, CHECK, NETWORK, asked, AUDITED),
    ]


def _on_facts(name: str, title: str, attributes: tuple[str, ...]) -> Experiment:
    question = "What tells the label before the picture is looked at?"
    return Experiment(
        name,
        title,
        question,
        SHORTCUT,
        TABLE,
        partial(_table, attributes=attributes),
        share=True,
        measure=metrics.measure_guesses,
    )


def _on_shuffled(number: int) -> Experiment:
    question = "Is a network that can learn nothing at chance?"
    title = f"labels shuffled, {number} of {SHUFFLES}"
    return Experiment(
        f"shuffled_labels_{number}", title, question, CHECK, SMALL, partial(_shuffle, number=number), FULL_IMAGE
    )


_ALL = tuple(name for names in metadata_baseline.ATTRIBUTES.values() for name in names)
EXPERIMENTS = (
    _on_facts("source", "source alone", metadata_baseline.ATTRIBUTES["source"]),
    _on_facts("view", "view alone", metadata_baseline.ATTRIBUTES["view"]),
    _on_facts("resolution", "height and width alone", metadata_baseline.ATTRIBUTES["resolution"]),
    _on_facts("file_form", "file form alone", metadata_baseline.ATTRIBUTES["file_form"]),
    _on_facts("facts", "source, view, size and file form together", _ALL),
    Experiment(FULL_IMAGE, "whole radiograph", "What does the small network learn, nothing hidden?", CONTENT, SMALL,
            partial(_small, alteration=None, by_lungs=False, look=False), share=True),
    *_on_pictures("background", "background alone", "Can the label be told where there is no lung?", SHORTCUT,
                  perturbations.mask_out_lungs, "lungs"),
    Experiment("box", "box of the lungs alone", "Do the lungs' size and place tell it, or that none are found?", SHORTCUT,
            SMALL, partial(_small, alteration=perturbations.box_only, by_lungs=True, look=True), FULL_IMAGE, share=True),
    *_on_pictures("border", "border alone", "Can it be told from the outer tenth?", SHORTCUT,
                  perturbations.border_only, "lungs"),
    *_on_pictures("lungs", "lungs alone", "What do the lungs tell by themselves?", CONTENT,
                  perturbations.lungs_only, "background"),
    Experiment("within_source", "within one source", "What is left where the source cannot help?", CONTENT, NETWORK,
            _within_source, measure=metrics.measure_within_sources, kept=False),
    Experiment("leave_source_out", "a source left out", "Is a class known again in a source not trained on?", CHECK,
            SMALL, _leave_source_out, FULL_IMAGE),
    Experiment("marker_outside", "mark planted outside the lungs", "Would this audit notice a mark in the corner?", CHECK,
            SMALL, partial(_plant, inside=False), FULL_IMAGE),
    Experiment("marker_inside", "mark planted inside the lungs", "Would it notice one in the lungs?", CHECK, SMALL,
            partial(_plant, inside=True), FULL_IMAGE),
    *(_on_shuffled(number + 1) for number in range(SHUFFLES)),
    Experiment(AUDITED, "asked again, nothing altered", "What does the network find, asked as in this audit?", CHECK,
            NETWORK, partial(_asked, alteration=None, hides="")),
    Experiment("common_levels", "common grey levels", "Can it be learned without the grey levels of a source?", CHECK,
            SMALL, _level_small, FULL_IMAGE),
    Experiment("common_levels_network", "common grey levels", "Does it need the grey levels of a source?", CHECK, NETWORK,
            _level_asked, AUDITED),
    # The small network's pictures are of a common resolution already, and a coarser one.
    Experiment("common_resolution_network", f"through {perturbations.RESOLUTION} pixels", "Does it need the sharpness?", CHECK,
            NETWORK, partial(_asked, alteration=perturbations.downsample_resolution, hides=""), AUDITED),
)  # fmt: skip
