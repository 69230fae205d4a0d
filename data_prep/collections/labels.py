"""Labels as people write them, brought to one spelling each."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable

_WORDS = {
    "normal": ("normal", "healthy", "nofinding", "nofindings"),
    "bacterial": ("bacterial", "bacteria", "bacterialpneumonia", "pneumoniabacterial"),
    "tuberculosis": ("tuberculosis", "tb"),
    "viral": ("viral", "virus", "viralpneumonia", "pneumoniaviral"),
    "covid19": ("covid19", "covid", "sarscov2", "covid19pneumonia", "covidpneumonia"),
}
_LABELS = {word: label for label, words in _WORDS.items() for word in words}
# Blanks, hyphens and underscores beside a letter: they part words, and say nothing. In "1-2" and "TB-" they do.
_SEPARATORS = re.compile(r"(?<=[^\W\d_])[\s_-]+(?=\w)|(?<=\w)[\s_-]+(?=[^\W\d_])")


def normalize_label(word: str) -> str:
    """The label of the shared vocabulary that a word says, else the word as it is."""
    word = unicodedata.normalize("NFC", word)
    if word.strip().endswith(("+", "-")):  # positive and negative are not the same
        return word
    return _LABELS.get(re.sub("[^a-z0-9]", "", word.lower()), word)


def unify_spellings(words: Iterable[str]) -> dict[str, str]:
    """Brings labels to one spelling: that of the shared vocabulary, else the one that most radiographs have.

    Args:
        words: of all radiographs, repeated as they are.

    Returns:
        Word -> label. Words that differ only in case, or in what parts their words, have one label.
    """
    counts = Counter(words)
    spellings: dict[str, Counter] = defaultdict(Counter)
    for word, count in counts.items():
        spellings[_key(word)][normalize_label(word)] += count
    usual = {key: min(known, key=lambda label: (-known[label], label)) for key, known in spellings.items()}
    return {word: usual[_key(word)] for word in counts}


def find_multi_label(words: Iterable[str]) -> str:
    """Return a label that names several findings, as "A|B", "['A', 'B']", or "A, B" beside "A"; "" if none does."""
    words = set(words)
    parts = {word: {part.strip() for part in re.split(r"[,+&/]|\band\b", word) if part.strip()} for word in words}
    counts = Counter(part for several in parts.values() for part in several)
    for word in sorted(words):
        if len([part for part in re.split("[|;]", word) if part.strip()]) > 1 or re.fullmatch(r"\[.*\]|\{.*\}", word):
            return word
        if len(parts[word]) > 1 and (
            parts[word] <= words or ("," in word and max(counts[part] for part in parts[word]) > 1)
        ):
            return word
    return ""


def describe_merged_spellings(labels: dict[str, str]) -> str:
    """A sentence that names the words that became one label, or ""."""
    merged = defaultdict(list)
    for word, label in sorted(labels.items()):
        merged[label].append(word)
    said = [f"{', '.join(map(repr, words))} as {label}" for label, words in merged.items() if len(words) > 1]
    return f"labels of several spellings are taken as one: {'; '.join(said)}" if said else ""


def _key(word: str) -> str:
    return _SEPARATORS.sub("", normalize_label(word).strip()).casefold()
