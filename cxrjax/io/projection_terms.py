"""Terms of a DICOM header that name the projection, in the languages in which technicians write them."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal

Projection = Literal["frontal", "lateral", "oblique", "several", ""]

SIDE_VIEWS = frozenset({"LL", "RL"})  # of ViewPosition (PS3.3 C.8.1.1)
_FRONTAL_STEMS = (
    *("frontal", "anteroposterior", "posteroanterior", "anterior", "posterior", "antero", "postero"),
    *("прям", "передн", "задн"),
)
_FRONTAL_WORDS = frozenset({"face", "faccia", "frente", "frontale", "front", "voor", "vorne", "dv", "vd"})
_LATERAL_STEMS = (
    *("latera", "latero", "seitl", "zijdel", "zijaanz", "zijopn", "profilo", "profilna", "bokov", "bocn", "boczn"),
    *("oldaliran", "oldalfelv", "sivukuva", "sidobild", "sidebild", "sidebillede", "sidevisning"),
    *("боков", "бічн", "бочн", "страничн", "профил", "бокова", "πλαγι", "προφιλ", "جانبي"),
)
_LATERAL_WORDS = frozenset(
    {"lat", "lats", "llat", "rlat", "profil", "perfil", "nghieng", "צד", "צידי", "xtlat", "xtablelat"}
    | {"bok", "yan", "dwars", "dwarse"}
)
# Names of the chest that technicians and devices write together with the view.
_COMPOUND = re.compile(r"^(?:chest|thorax|thx|torax|rxtorax|lung|cxr)(?:lat|ll|rl|seit)")
_OBLIQUE_STEMS = ("obliq", "oblicu", "obliku", "schrag", "schraeg", "schuin", "косая", "косой", "косо")
_OBLIQUE_WORDS = frozenset({"obl", "rao", "lao", "rpo", "lpo", "rlo", "llo"})
# Languages that write without spaces.
_LATERAL_PARTS = ("側面", "侧面", "側位", "侧位", "측면", "ด้านข้าง", "side view", "l→r", "r→l")
_FRONTAL_PARTS = ("正面", "正位", "正側", "正侧", "後前", "后前", "前後", "前后", "정면")
_OBLIQUE_PARTS = ("斜位",)
_SEVERAL = re.compile(
    r"\b(?:2|two|both|zwei|deux|dos|due|twee|beide[nr]?)\W*(?:v\b|view|plane|ebene|incid|proye|proie|richting)"
)
_JOINED = re.compile(r"[+&,/]|\b(?:and|und|et|y|e|i|en|og|och)\b")
_SPELLED = re.compile(r"(?<![^\W\d_])(?:p\W?a|a\W?p)(?![^\W\d_])")


def read_projection(text: str) -> Projection:
    """Return the projection that a free text names.

    Args:
        text: of a header or a table, in any of the languages of this module.

    Returns:
        "several" for a text such as "PA and lateral", which says nothing of one image; "" where it names none.
    """
    text = fold(text)
    words = re.findall(r"[^\W\d_]+", text)
    frontal = bool(_SPELLED.search(text)) or _names(text, words, _FRONTAL_WORDS, _FRONTAL_STEMS, _FRONTAL_PARTS)
    lateral = any(map(_is_lateral, words)) or any(part in text for part in _LATERAL_PARTS)
    oblique = _names(text, words, _OBLIQUE_WORDS, _OBLIQUE_STEMS, _OBLIQUE_PARTS)
    if _SEVERAL.search(text) or (frontal and lateral) or (frontal and oblique and _JOINED.search(text)):
        return "several"
    if lateral:
        return "lateral"
    if oblique:
        return "oblique"
    return "frontal" if frontal else ""


def is_lateral(view: str) -> bool:
    """Return whether a view, in upstream's words or DICOM's, is from the side; "PA and lateral" is not."""
    return read_projection(view) == "lateral"


def _names(
    text: str, words: Sequence[str], known: frozenset[str], stems: tuple[str, ...], parts: Sequence[str]
) -> bool:
    return any(word in known or word.startswith(stems) for word in words) or any(part in text for part in parts)


def _is_lateral(word: str) -> bool:
    if word.upper() in SIDE_VIEWS or word in _LATERAL_WORDS:
        return True
    return word.startswith(_LATERAL_STEMS) or bool(_COMPOUND.match(word))


def fold(text: str) -> str:
    """Return a text in lower case without accents."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", "".join(part for part in parts if not unicodedata.combining(part)))
