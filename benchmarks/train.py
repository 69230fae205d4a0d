"""Measure time and memory of a training step of each task at the paper's sizes.

    python -m benchmarks.train --torch-python=TORCH/bin/python --json=train.json

The classifier is ResNet18 on 16 radiographs of 1024² per step; all competitors sample one patch of 224² from each,
flip it and rotate it by at most 5° within the step (L1, Adam; configs/oh2020.py:classify). The segmenter is
FC-DenseNet103 on 2 radiographs of 256² (dropout 0.2, Adam; configs/oh2020.py:segment without augmentation; cxrjax
resamples with the identity). cxrjax runs the step of `cxrjax.training.trainer`; PyTorch uses channels last, without and
with torch.compile. All compute in float32. Steps per second are 1000 divided by the milliseconds; peak memory is that
of the whole process.
"""

from contextlib import ExitStack

from benchmarks.results import print_report
from benchmarks.runner import Competitor, interleave, parse, pytorch_variants, start_ours

TASKS = ("classifier", "segmenter")


def main() -> None:
    more = {"task": {"choices": TASKS, "help": "measure one task only (default: both)"}}
    options = parse(__doc__, more)
    for task in [options.task] if options.task else TASKS:
        workload = f"train {task}"
        sizes = {"image_size": 64 if task == "segmenter" else 256} if options.quick else {}
        with ExitStack() as stack:
            competitors = [stack.enter_context(start_ours(workload, **sizes))]
            for name, compiled in pytorch_variants(options).items():
                settings = {"compiled": compiled} | sizes
                peer = Competitor(name, options.torch_python, "pytorch", workload, settings)
                competitors.append(stack.enter_context(peer))
            seconds = interleave(competitors, options.rounds)
            path = options.json and options.json.with_stem(f"{options.json.stem}_{task}")
            print_report(f"Training: a step of the {task}", competitors, seconds, path)


if __name__ == "__main__":
    main()
