"""Sizes of the benchmarks: those of the paper, or tiny ones to check that they run."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Sizes of one run of all parts.

    Attributes:
        image: side of a standardized radiograph, pixels.
        segmenter: architecture of the segmenter.
        segmenter_size: side of the segmenter's input, pixels.
        classifier: architecture of the classifier.
        patch: side of a patch, pixels.
        votes: patches per radiograph.
        chunk: patches per radiograph that are classified at once.
        batches: batch sizes of inference; the stages are timed at the middle one.
        segmenter_batches: batch sizes of the segmenter's training; the first is the paper's.
        classifier_batches: batch sizes of the classifier's training; the first is the paper's.
        files: number of files to predict.
        pictures: number of files to predict with figures.
        steps: number of steps of each of two equal trainings.
        turns: number of measurements, of which the median is reported.
        matrix: side of the matrices that measure the rate of operations.
        copied: bytes copied to measure the bandwidth.
        tiny: whether PyTorch and parts that take minutes are skipped.
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
        """Return the sizes as settings by config key."""
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
