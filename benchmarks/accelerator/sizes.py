"""The sizes that everything is measured at: the paper's, or tiny ones that show that it runs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Sizes of one run of all parts.

    Attributes:
        image: pixels, side of a standardized radiograph.
        segmenter: its architecture.
        segmenter_size: pixels, side of what it reads.
        classifier: its architecture.
        patch: pixels, side of a patch.
        votes: patches per radiograph.
        chunk: patches of each radiograph that are classified at once.
        batches: radiographs at once, in inference; the stages are timed at the middle one.
        segmenter_batches: radiographs per step of training; the first is the paper's.
        classifier_batches: likewise.
        files: that are predicted.
        pictures: of these, with a picture each.
        steps: of two equal runs.
        turns: of which the median counts.
        matrix: side of the matrices of the ceiling.
        copied: bytes that are copied for the ceiling.
        tiny: whether peers and what takes minutes are left out.
    """

    image: int = 1024
    segmenter: str = "fc_densenet103"
    segmenter_size: int = 256
    classifier: str = "resnet18"
    patch: int = 224
    votes: int = 100
    chunk: int = 50
    batches: tuple[int, ...] = (1, 8, 32)
    segmenter_batches: tuple[int, ...] = (2, 16)
    classifier_batches: tuple[int, ...] = (16, 256)
    files: int = 1000
    pictures: int = 200
    steps: int = 20
    turns: int = 7
    matrix: int = 8192
    copied: int = 2**32
    tiny: bool = False

    @property
    def changes(self) -> dict[str, object]:
        """The settings of a config that these sizes are, by key."""
        return {
            "image.size": self.image,
            "segmenter.architecture": self.segmenter,
            "segmenter.size": self.segmenter_size,
            "classifier.architecture": self.classifier,
            "patches.size": self.patch,
            "patches.count": self.votes,
            "patches.batch_size": self.chunk,
        }


FULL = Sizes()
TINY = Sizes(
    image=64,
    segmenter="fc_densenet29",
    segmenter_size=32,
    classifier="resnet6",
    patch=32,
    votes=4,
    chunk=2,
    batches=(1, 2),
    segmenter_batches=(2,),
    classifier_batches=(4,),
    files=6,
    pictures=4,
    steps=2,
    turns=2,
    matrix=64,
    copied=2**16,
    tiny=True,
)
