"""Findings of ieee8023/covid-chestxray-dataset, a tree: "Pneumonia/Viral/COVID-19" states its parents too."""

from collections.abc import Iterable, Mapping

from cxrjax.io import findings

_SEPARATOR = "/"
_NO_FINDING = "no finding"
_NOT_STATED = {"", "todo", "unknown"}
# Words of older versions of upstream's file, in lower case, with their path in newer ones.
_PATHS = {
    "covid-19": "Pneumonia/Viral/COVID-19",
    "sars": "Pneumonia/Viral/SARS",
    "varicella": "Pneumonia/Viral/Varicella",
    "influenza": "Pneumonia/Viral/Influenza",
    "bacterial": "Pneumonia/Bacterial",
    "streptococcus": "Pneumonia/Bacterial/Streptococcus",
    "klebsiella": "Pneumonia/Bacterial/Klebsiella",
    "legionella": "Pneumonia/Bacterial/Legionella",
    "chlamydophila": "Pneumonia/Bacterial/Chlamydophila",
    "e.coli": "Pneumonia/Bacterial/E.Coli",
    "mycoplasma bacterial pneumonia": "Pneumonia/Bacterial/Mycoplasma",
    "pneumocystis": "Pneumonia/Fungal/Pneumocystis",
    "lipoid": "Pneumonia/Lipoid",
}

Parents = Mapping[str, str]  # name of a finding -> that of its parent, "" of a root


def find_parents(statements: Iterable[str]) -> dict[str, str]:
    """Return the tree of all findings that rows of upstream's file state."""
    parents: dict[str, str] = {}
    for statement in statements:
        for path in _split(statement):
            for parent, name in zip(["", *path], path, strict=False):
                parents.setdefault(name, parent)
    return parents


def read_findings(statement: str, parents: Parents) -> dict[str, float]:
    """Return what a statement says of each finding of a tree.

    A stated finding and its parents are positive. Below a finding that is stated without a child, nothing is known: a
    "Pneumonia" may be viral. All other findings are negative.

    Args:
        statement: words ("COVID-19, ARDS") or a path ("Pneumonia/Viral/COVID-19"), several separated by commas.
        parents: the tree, of `find_parents`.

    Returns:
        Findings of `cxrjax.io.findings`; {} where upstream states none.

    Examples:
        >>> parents = find_parents(["Pneumonia/Viral/COVID-19", "Pneumonia/Bacterial", "Tuberculosis"])
        >>> read_findings("Pneumonia/Viral", parents)
        {'Pneumonia': 1.0, 'Viral': 1.0, 'Bacterial': 0.0, 'Tuberculosis': 0.0}
    """
    if statement.strip().lower() in _NOT_STATED:
        return {}
    positive = {name for path in _split(statement) for name in path}
    continued = {parents[name] for name in positive}

    def read(name: str) -> float:
        if name in positive:
            return findings.POSITIVE
        parent = parents[name]
        if not parent:
            return findings.NEGATIVE
        if parent in positive:
            return findings.NEGATIVE if parent in continued else findings.UNKNOWN
        return read(parent)

    values = {name: read(name) for name in parents}
    return {name: value for name, value in values.items() if value == value}


def _split(statement: str) -> list[list[str]]:
    """Return the paths that a statement names; [] for none."""
    words = [word.strip() for word in statement.split(",")]
    stated = [word for word in words if word.lower() not in {*_NOT_STATED, _NO_FINDING}]
    paths = [_PATHS.get(word.lower(), word) for word in stated]
    return [[name.strip() for name in path.split(_SEPARATOR) if name.strip()] for path in paths]
