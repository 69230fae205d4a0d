"""Measure time and memory of a training step of each task at the paper's sizes.

    python -m benchmarks.train --torch-python=TORCH/bin/python --json=train.json

The classifier: ResNet18, 16 radiographs of 1024² per step, one random crop of 224² of each, flipped and rotated by at
most 5° within the step, for all competitors; L1, Adam (configs/oh2020.py:classify). The segmenter: FC-DenseNet103, 2
radiographs of 256², dropout 0.2, Adam (configs/oh2020.py:segment, without augmentation; cxrjax resamples with the
identity). cxrjax runs the step of `cxrjax.training.trainer`, the peers PyTorch with channels last, without and with
torch.compile. Float32. Steps per second are 1000 divided by the milliseconds; peak memory is of the whole process.
"""

from contextlib import ExitStack

from benchmarks.results import print_report
from benchmarks.runner import Competitor, interleave, parse, peer_forms, start_ours

TASKS = ("classifier", "segmenter")


def main() -> None:
    more = {"task": {"choices": TASKS, "help": "one task only (default: both)"}}
    options = parse(__doc__, more)
    for task in [options.task] if options.task else TASKS:
        work = f"train {task}"
        sizes = {"size": 64 if task == "segmenter" else 256} if options.quick else {}
        with ExitStack() as stack:
            competitors = [stack.enter_context(start_ours(work, **sizes))]
            for name, compiled in peer_forms(options).items():
                peer = Competitor(name, options.torch_python, "pytorch", work, {"compiled": compiled} | sizes)
                competitors.append(stack.enter_context(peer))
            seconds = interleave(competitors, options.rounds)
            path = options.json and options.json.with_stem(f"{options.json.stem}_{task}")
            print_report(f"Training: a step of the {task}", competitors, seconds, path)


if __name__ == "__main__":
    main()
