"""Segmentation: how long does FC-DenseNet103 take for 256² pixels, one radiograph and several at once?

    python -m benchmarks.segment --torch-python=TORCH/bin/python --json=segment.json

The network alone, float32, random weights; the peer is PyTorch with channels last, without and with torch.compile.
`votes.py` has the stage around it: the radiograph shrunk, its mask cleaned and enlarged.
"""

from contextlib import ExitStack

from benchmarks.record import tell
from benchmarks.side_by_side import Contestant, parse, peer_forms, race, start_ours


def main() -> None:
    given = parse(__doc__, {"batch": {"type": int, "default": 8, "help": "radiographs of the several at once"}})
    batches = [1, 2 if given.quick else given.batch]
    with ExitStack() as stack:
        contestants = [stack.enter_context(start_ours("segment", batches=batches))]
        for name, compiled in peer_forms(given).items():
            settings = {"batches": batches, "compiled": compiled}
            peer = Contestant(name, given.torch_python, "pytorch", "segment", settings)
            contestants.append(stack.enter_context(peer))
        tell("Segmentation: FC-DenseNet103 at 256²", contestants, race(contestants, given.rounds), given.json)


if __name__ == "__main__":
    main()
