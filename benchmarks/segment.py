"""Measure the time of FC-DenseNet103 at 256² pixels, for one radiograph and for several at once.

    python -m benchmarks.segment --torch-python=TORCH/bin/python --json=segment.json

Only the network is measured, in float32 with random weights, and compared with PyTorch with channels last, without and
with torch.compile. `inference.py` measures the whole stage, with resizing and the postprocessing of the mask.
"""

from contextlib import ExitStack

from benchmarks.results import print_report
from benchmarks.runner import Competitor, interleave, parse, pytorch_variants, start_ours


def main() -> None:
    options = parse(
        __doc__, {"batch": {"type": int, "default": 8, "help": "size of the larger batch (default: %(default)s)"}}
    )
    batches = [1, 2 if options.quick else options.batch]
    with ExitStack() as stack:
        competitors = [stack.enter_context(start_ours("segment", batches=batches))]
        for name, compiled in pytorch_variants(options).items():
            settings = {"batches": batches, "compiled": compiled}
            peer = Competitor(name, options.torch_python, "pytorch", "segment", settings)
            competitors.append(stack.enter_context(peer))
        print_report(
            "Segmentation with FC-DenseNet103 at 256²",
            competitors,
            interleave(competitors, options.rounds),
            options.json,
        )


if __name__ == "__main__":
    main()
