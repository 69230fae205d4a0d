"""The phantom has realistic anatomy, and the finding is the only difference between classes."""

from collections import Counter

import cv2
import numpy as np
import pytest

from data_prep.example import encode_png
from data_prep.phantom import LABELS, Phantom, draw, planted
from data_prep.phantom.overlays import add_corner_marker
from data_prep.phantom.source import SHORTCUT_LABEL, SHORTCUTS, SOURCE, PhantomOptions, make_phantom
from data_prep.record import PreparationError

SIZE = 256
SEEDS = range(8)
HEART, LEFT, RIGHT = 1, 2, 3
DISEASES = LABELS[1:]


@pytest.fixture(scope="module")
def phantoms() -> dict[str, list[Phantom]]:
    """Draw the same eight patients in every class."""
    return {label: [draw(label, np.random.default_rng(seed), SIZE) for seed in SEEDS] for label in LABELS}


def share(part: np.ndarray, whole: np.ndarray) -> float:
    return float((part & whole).sum() / whole.sum())


def columns_of(mask: np.ndarray) -> np.ndarray:
    return np.nonzero(mask)[1]


@pytest.mark.parametrize("label", LABELS)
def test_phantom_depends_on_the_seed_only(label, phantoms):
    again = draw(label, np.random.default_rng(0), SIZE)
    assert again.pixels.tobytes() == phantoms[label][0].pixels.tobytes()
    assert again.lesions.tobytes() == phantoms[label][0].lesions.tobytes()
    assert again.pixels.tobytes() != phantoms[label][1].pixels.tobytes()


def test_anatomy_does_not_depend_on_the_class(phantoms):
    for label in DISEASES:
        for healthy, ill in zip(phantoms["normal"], phantoms[label], strict=True):
            np.testing.assert_array_equal(healthy.structures, ill.structures)
            assert healthy[3:] == ill[3:]  # sex, age, view, spacing


def test_pixels_outside_the_lungs_do_not_depend_on_the_class(phantoms):
    """Markers, text, cables, collimation and noise are bit-equal outside the range of the system's blur."""
    reach = np.ones((21, 21), np.uint8)
    for label in DISEASES:
        for healthy, ill in zip(phantoms["normal"], phantoms[label], strict=True):
            beyond = cv2.dilate((ill.structures >= LEFT).astype(np.uint8), reach) == 0
            np.testing.assert_array_equal(healthy.pixels[beyond], ill.pixels[beyond])


@pytest.mark.parametrize("label", DISEASES)
def test_lesions_are_where_the_radiograph_changed(label, phantoms):
    """Lesions are brighter than the same patient without disease by more than ribs, and other pixels hardly differ."""
    for healthy, ill in zip(phantoms["normal"], phantoms[label], strict=True):
        change = ill.pixels.astype(float) - healthy.pixels
        within, lungs = ill.lesions > 0, ill.structures >= LEFT
        assert change[within].mean() > 12
        assert abs(change[lungs & ~within].mean()) < 0.35 * change[within].mean()
        assert change[within].sum() > 0.75 * change[lungs].sum()


@pytest.mark.parametrize("label", DISEASES)
def test_lesions_are_in_the_lungs_and_extensive(label, phantoms):
    shares = []
    for phantom in phantoms[label]:
        assert set(np.unique(phantom.lesions)) == {0, 1}
        assert not (phantom.lesions[phantom.structures < LEFT]).any()
        shares.append(share(phantom.lesions > 0, phantom.structures >= LEFT))
    assert min(shares) > 0.08
    low, high = (0.40, 0.80) if label == "viral" else (0.18, 0.48)
    assert low < np.mean(shares) < high


def test_a_healthy_patient_has_no_lesion(phantoms):
    assert not any(phantom.lesions.any() for phantom in phantoms["normal"])


def sides(phantom: Phantom) -> tuple[float, float]:
    """Return the fraction of the left and of the right lung that is lesion."""
    lesions = phantom.lesions > 0
    return share(lesions, phantom.structures == LEFT), share(lesions, phantom.structures == RIGHT)


def test_consolidation_is_in_one_lung(phantoms):
    for phantom in phantoms["bacterial"]:
        assert min(sides(phantom)) == 0
        assert max(sides(phantom)) > 0.25


@pytest.mark.parametrize("label", ["viral", "covid19"])
def test_viral_and_covid_are_in_both_lungs(label, phantoms):
    for phantom in phantoms[label]:
        assert min(sides(phantom)) > 0.08


def lung_heights(phantom: Phantom) -> tuple[float, float]:
    """Return the mean height of lesions and lungs, 0 at the top of the lungs and 1 at their base."""
    rows = np.nonzero(phantom.structures >= LEFT)[0]
    span = np.ptp(rows)
    return (np.nonzero(phantom.lesions)[0].mean() - rows.min()) / span, (rows.mean() - rows.min()) / span


def test_tuberculosis_is_apical_and_covid_basal_and_peripheral(phantoms):
    differences = [lesion - lung for lesion, lung in map(lung_heights, phantoms["tuberculosis"])]
    assert max(differences) < 0
    assert np.mean(differences) < -0.08
    differences = [lesion - lung for lesion, lung in map(lung_heights, phantoms["covid19"])]
    assert np.mean(differences) > 0.06
    for phantom in phantoms["covid19"]:
        center = columns_of(phantom.structures == HEART).mean()
        outward = np.abs(columns_of(phantom.lesions > 0) - center).mean()
        assert outward > np.abs(columns_of(phantom.structures >= LEFT) - center).mean()


def test_left_lung_and_heart_apex_are_on_the_right_of_the_image(phantoms):
    for phantom in phantoms["normal"]:
        left, heart, right = (columns_of(phantom.structures == value).mean() for value in (LEFT, HEART, RIGHT))
        assert right < heart < left
        midline = (columns_of(phantom.structures == LEFT).max() + columns_of(phantom.structures == RIGHT).min()) / 2
        assert heart > midline


def test_right_diaphragm_is_higher_on_average():
    def dome(structures: np.ndarray, side: int) -> float:
        mask = structures == side
        outer = np.quantile(columns_of(mask), 0.4 if side == RIGHT else 0.6)
        return np.flatnonzero(mask[:, int(outer)])[-1] / len(mask)

    drawn = [draw("normal", np.random.default_rng(seed), 128).structures for seed in range(24)]
    lower = [dome(structures, LEFT) - dome(structures, RIGHT) for structures in drawn]
    assert 0.01 < np.mean(lower) < 0.10


def test_proportions_match_jsrt():
    """The mean of 24 patients is within 3 standard deviations of 246 contours of JSRT, whose patients are adults."""
    phantoms = [draw("normal", np.random.default_rng(seed), 128) for seed in range(24)]
    adults = [phantom.structures for phantom in phantoms if phantom.age > 14 and phantom.view == "PA"]
    areas = [np.mean([(structures == value).mean() for structures in adults]) for value in (HEART, LEFT, RIGHT)]
    for area, (mean, deviation) in zip(areas, [(0.090, 0.014), (0.138, 0.027), (0.169, 0.030)], strict=True):
        assert abs(area - mean) < 3 * deviation


def test_tissue_is_brighter_than_lung_and_air_is_black(phantoms):
    for phantom in phantoms["normal"]:
        lung = phantom.pixels[phantom.structures >= LEFT].mean()
        assert phantom.pixels[phantom.structures == HEART].mean() > lung + 40


def test_corner_marker_changes_only_the_lower_right_corner(phantoms):
    for phantom in phantoms["covid19"]:
        change = add_corner_marker(phantom.pixels) != phantom.pixels
        rows, columns = np.nonzero(change)
        assert min(rows.min(), columns.min()) > 0.85 * SIZE
        assert not (change & (phantom.structures >= LEFT)).any()
        assert add_corner_marker(phantom.pixels)[round(0.93 * SIZE), round(0.93 * SIZE)] == 255


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_shortcut_is_added_to_its_class_only(shortcut):
    options = PhantomOptions(count=1, size=64, shortcut=shortcut)
    for row in SOURCE.records(None, options):
        example, (label, number, _) = SOURCE.read(row, options), row.payload
        planted = label == SHORTCUT_LABEL
        assert (example.source == "phantom") == (not planted or shortcut != "source")
        plain = encode_png(make_phantom(label, number, 0, 64).pixels)
        assert (example.image == plain) == (not planted or shortcut != "marker")


@pytest.mark.parametrize("strength", [0.5, 0.8, 0.95, 1.0])
def test_planted_feature_has_its_strength_except_in_the_broken_split(strength):
    options = PhantomOptions(count=40, size=64, planted=f"border={strength},marker=0.5", broken=20)
    counts = Counter((row.label, row.split, "border" in row.source) for row in SOURCE.records(None, options))
    for label in LABELS:
        expected = strength if label == SHORTCUT_LABEL else 1 - strength
        assert counts[label, "", True] == round(40 * expected)
        assert counts[label, "broken", True] == counts[label, "broken", False] == 10
    both = Counter(row.source for row in SOURCE.records(None, options) if row.label == SHORTCUT_LABEL)
    assert set(both) >= {"phantom_border", "phantom_marker_border"} or strength < 1


def test_planted_feature_changes_only_radiographs_of_its_source():
    options = PhantomOptions(count=2, size=64, planted="texture=1,marker=1,border=1", broken=2)
    for row in SOURCE.records(None, options):
        example, (label, number, features) = SOURCE.read(row, options), row.payload
        assert example.source == row.source == "_".join(("phantom", *features))
        assert (example.image == encode_png(make_phantom(label, number, 0, 64).pixels)) == (not features)
        assert SOURCE.read(row, options).image == example.image


def test_planted_lung_size_is_that_of_children():
    options = PhantomOptions(count=3, size=64, planted="lung_size=1", broken=2)
    drawn = [(SOURCE.read(row, options), row.label) for row in SOURCE.records(None, options) if not row.split]
    for example, label in drawn:
        assert (example.age < 15) == (label == SHORTCUT_LABEL) == (example.source == "phantom_lung_size")


def test_scan_lines_are_equal_along_a_row_and_film_edges_are_inside_the_image():
    pixels = np.full((128, 128), 100, np.uint8)
    lines = planted.add_scan_lines(pixels, np.random.default_rng(0)).astype(int) - 100
    assert (lines == lines[:, :1]).all()
    assert 6 < lines[:, 0].std() < 10
    edge = planted.add_film_edge(pixels) != pixels
    assert not edge[:3].any() and edge[4, 4:-4].all() and not edge[8:-8, 8:-8].any()


def test_phantom_without_planted_features_equals_the_earlier_version():
    options = PhantomOptions(count=2, size=64)
    assert SOURCE.settings(options) == {"size": 64}
    rows = list(SOURCE.records(None, options))
    assert [row.id for row in rows[:2]] == ["normal/00000", "normal/00001"]
    assert {(row.source, row.split) for row in rows} == {("phantom", "")}
    pixels = make_phantom("covid19", 3, 7, 64).pixels  # those of the earlier version, up to rounding
    assert pixels.mean() == pytest.approx(129.4735, abs=0.01)
    expected = [[6, 8, 163, 21], [140, 98, 163, 73], [62, 126, 201, 85], [9, 191, 205, 184]]
    np.testing.assert_allclose(pixels[::16, ::16], expected, atol=1)


@pytest.mark.parametrize("text", ["hat=1", "marker", "marker=2", "marker=much"])
def test_invalid_planted_features_are_refused(text):
    with pytest.raises(PreparationError, match="texture, marker, border, lung_size"):
        list(SOURCE.records(None, PhantomOptions(planted=text)))


def test_invalid_phantoms_are_refused():
    with pytest.raises(ValueError, match="'flu'.*normal, bacterial"):
        draw("flu", np.random.default_rng(0))
    with pytest.raises(ValueError, match="32 pixels"):
        draw("normal", np.random.default_rng(0), 32)
