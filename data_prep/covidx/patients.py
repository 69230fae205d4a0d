"""Test patients of COVIDx, for the collections without a published list.

COVID-Net's script (lindawangg/COVID-Net, create_COVIDx.ipynb) lacks the comma between '191' and 'COVID-00024', so both
are in its training lists, in release 3 as in 9A. Here they are two test patients.
"""

_IEEE8023 = (8, 31)  # other pneumonia, viral and bacterial
_IEEE8023_COVID = (19, 20, 36, 42, 86, 94, 97, 117, 132, 138, 144, 150, 163, 169, 174, 175, 179, 190, 191)
_FIGURE1 = (24, 25, 26, 27, 29, 30, 32, 33, 35, 36, 37, 38)
_ACTUALMED = (
    *(19, 24, 29, 30, 44, 45, 46, 53, 67, 73, 100, 106, 110, 112, 126, 135, 153, 158, 174, 189, 191, 195),
    *(201, 218, 220, 234, 237, 240),
)

TEST = frozenset(
    [f"ieee8023-{number}" for number in (*_IEEE8023, *_IEEE8023_COVID)]
    + [f"figure1-COVID-{number:05d}" for number in _FIGURE1]
    + [f"actualmed-ANON{number}" for number in _ACTUALMED]
)

# Image numbers of the COVID-19 Radiography Database, whose patients are unknown. They are those of its first release;
# COVID-Net assumes that later releases did not change them.
RADIOGRAPHY_TEST = frozenset((70, 72, 77, 81, 87, 94, 95, 106, 107, 116, 119, 129, 131, 213, 214, 215, 216))
RADIOGRAPHY_COPIES = frozenset((*range(100, 106), *range(110, 114), *range(122, 127), 217))  # of ieee8023's images
