"""Normalize the spelling of labels."""

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
# Blanks, hyphens and underscores between words, next to a letter. In "1-2" and "TB-" they have a meaning.
_SEPARATORS = re.compile(r"(?<=[^\W\d_])[\s_-]+(?=\w)|(?<=\w)[\s_-]+(?=[^\W\d_])")


def normalize_label(word: str) -> str:
    """Return the label of the shared vocabulary that a word means; otherwise the word unchanged."""
    word = unicodedata.normalize("NFC", word)
    if word.strip().endswith(("+", "-")):  # positive and negative differ
        return word
    return _LABELS.get(re.sub("[^a-z0-9]", "", word.lower()), word)


def unify_spellings(words: Iterable[str]) -> dict[str, str]:
    """Unify the spellings of labels: that of the shared vocabulary, otherwise the most frequent one.

    Args:
        words: the labels of all radiographs, with repetitions.

    Returns:
        Word -> label. Words that differ only in case or in separators get one label.
    """
    counts = Counter(words)
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    for word, count in counts.items():
        spellings[_key(word)][normalize_label(word)] += count

    def most_frequent(frequency: Counter[str]) -> str:
        return min(frequency, key=lambda label: (-frequency[label], label))

    labels = {key: most_frequent(frequency) for key, frequency in spellings.items()}
    return {word: labels[_key(word)] for word in counts}


def find_multi_label(words: Iterable[str]) -> str:
    """Return a label that names several findings: "A|B", "['A', 'B']", or "A, B" if "A" is a label; "" if none does."""
    words = set(words)
    parts = {word: {part.strip() for part in re.split(r"[,+&/]|\band\b", word) if part.strip()} for word in words}
    counts = Counter(part for word_parts in parts.values() for part in word_parts)
    for word in sorted(words):
        if len([part for part in re.split("[|;]", word) if part.strip()]) > 1 or re.fullmatch(r"\[.*\]|\{.*\}", word):
            return word
        if len(parts[word]) > 1 and (
            parts[word] <= words or ("," in word and max(counts[part] for part in parts[word]) > 1)
        ):
            return word
    return ""


def describe_merged_spellings(labels: dict[str, str]) -> str:
    """Return a sentence with the spellings that were merged into one label, or ""."""
    spellings = defaultdict(list)
    for word, label in sorted(labels.items()):
        spellings[label].append(word)
    merged = [f"{', '.join(map(repr, words))} as {label}" for label, words in spellings.items() if len(words) > 1]
    return f"labels with several spellings are merged: {'; '.join(merged)}" if merged else ""


def _key(word: str) -> str:
    return _SEPARATORS.sub("", normalize_label(word).strip()).casefold()
