"""Training: how long is a step of each task at the paper's sizes, and how much memory does it take?

    python -m benchmarks.train --torch-python=TORCH/bin/python --json=train.json

The classifier: ResNet18, 16 radiographs of 1024² a step, a crop of 224² of each drawn, flipped and turned by 5° at most
in the step, on both sides; L1, Adam (configs/oh2020.py:classify). The segmenter: FC-DenseNet103, 2 radiographs of 256²,
dropout 0.2, Adam (configs/oh2020.py:segment, which augments nothing; ours resamples by the identity all the same). Ours
is the step of `cxrjax.training.trainer`, the peers PyTorch with channels last, without and with torch.compile. Float32.
Steps a second are 1000 over the milliseconds; peak memory is of the whole process.
"""

from contextlib import ExitStack

from benchmarks.record import tell
from benchmarks.side_by_side import Contestant, parse, peer_forms, race, start_ours

TASKS = ("classifier", "segmenter")


def main() -> None:
    more = {"task": {"choices": TASKS, "help": "one alone, and not both"}}
    given = parse(__doc__, more)
    for task in [given.task] if given.task else TASKS:
        work, small = f"train {task}", {"size": 64 if task == "segmenter" else 256} if given.quick else {}
        with ExitStack() as stack:
            contestants = [stack.enter_context(start_ours(work, **small))]
            for name, compiled in peer_forms(given).items():
                peer = Contestant(name, given.torch_python, "pytorch", work, {"compiled": compiled} | small)
                contestants.append(stack.enter_context(peer))
            seconds = race(contestants, given.rounds)
            path = given.json and given.json.with_stem(f"{given.json.stem}_{task}")
            tell(f"Training: a step of the {task}", contestants, seconds, path)


if __name__ == "__main__":
    main()
