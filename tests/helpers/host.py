"""The program of each process of `test_multihost.py`: python host.py OUT.npz [HOST:PORT PROCESSES PROCESS]."""

import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cxrjax.config import default_config
from cxrjax.data import loader, sampler
from cxrjax.data.image_input import InputSpec
from cxrjax.inference import pipeline
from cxrjax.inference.functional import PipelineSpec
from cxrjax.inference.patch_parallel import PatchParallelPredictor
from cxrjax.models import from_config, registry, spec
from cxrjax.runtime import compilation_cache, multihost, sharding
from cxrjax.training import param_groups, train_step
from cxrjax.training.task import Task


class Tiny(nn.Module):
    """A network with batch norm, whose statistics depend on the whole batch."""

    @nn.compact
    def __call__(self, x, train):
        x = nn.BatchNorm(not train, momentum=0.9, name="norm")(nn.Dense(4, name="stem")(x))
        return nn.Dense(2, name="head")(nn.relu(x))[:, 0]


def train_tiny(batch_size: int, streamed: bool = False, count: int = 4) -> train_step.TrainState:
    """Train some steps on thirty points, cached or streamed; the second epoch begins within them."""
    config, module = default_config(), Tiny()
    config.optimizer.name = "sgd"  # Adam would blow up what rounding does
    x = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)

    def loss(params, batch_stats, batch, key):
        noisy = batch + 0.1 * jax.random.normal(key, batch.shape)
        y, new = module.apply(
            {"params": params, "batch_stats": batch_stats}, noisy, train=True, mutable=["batch_stats"]
        )
        return ((y - batch.sum(1)) ** 2).mean(), new["batch_stats"]

    groups_of_all = np.zeros(30, np.int32)
    task = Task(x, groups_of_all, lambda key: module.init(key, x, train=False), loss, dict)
    shares, phase = sharding.BatchSharding(batch_size), param_groups.plan_phases([], 0, 1.0)[0]
    order = sampler.BatchSampler(groups_of_all, batch_size, "shuffle", seed=0)
    feed = loader.make_loader((lambda row: x[row]) if streamed else x, order, shares, num_threads=2)
    optimiser = train_step.build_optimizer(config, count, phase)
    step = train_step.make_train_step(task, optimiser, phase, config, feed)
    draw_key = jax.jit(partial(jax.random.fold_in, jax.random.key(0)), out_shardings=shares.replicated)
    state = shares.replicate(train_step.init_state(task.init(jax.random.key(0)), optimiser, config))
    for number in range(order.steps_per_epoch - 2, order.steps_per_epoch - 2 + count):
        state = step(state, feed.next_batch(number), jnp.float32(0.01), draw_key(number))
    return jax.device_get(state)


def run_rowwise(batch_size: int) -> dict[str, np.ndarray]:
    """Run a program in which rows do not depend on each other."""
    shares = sharding.BatchSharding(batch_size)
    x = np.arange(2 * batch_size, dtype=np.float32).reshape(-1, 2)
    names = np.arange(batch_size, dtype=np.uint32) + 5

    @shares.compile
    def run(scale, given):
        x, names = given
        keys = jax.vmap(lambda name: jax.random.fold_in(jax.random.key(0), name))(names)
        return {"scaled": scale * x, "drawn": jax.vmap(jax.random.uniform)(keys)}

    found = shares.gather(run(shares.replicate(np.float32(3)), shares.shard((x, names))))
    np.testing.assert_array_equal(found["scaled"], 3 * x)
    return found


class BrightLungs(nn.Module):
    """Bright pixels are lungs."""

    def __call__(self, x, train):
        lung = 20 * (x[..., 0] - 0.5)
        return nn.log_softmax(jnp.stack([0 * lung, 0 * lung - 50, lung, 0 * lung - 50], -1))


def predict_batch(batch_size: int) -> pipeline.Prediction:
    """Predict radiographs, the last without lungs: on one device or with their seven patches distributed."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (batch_size, 64, 64)).astype(np.uint8)
    images[:-1, 10:50, 8:28] = rng.integers(160, 255, (40, 20))
    segmenter = spec.ModelSpec(BrightLungs(), 32, 1)
    classifier = spec.ModelSpec(registry.create("resnet18", 3, width=8, stages=(1,)), 32, 1)
    weights = {"segmenter": {}, "classifier": from_config.init(classifier, jax.random.key(1))}
    settings = spec.InferenceConfig("local", True, 7, 2, "majority", 0.005, 0.02, "gray", 0.05, 0.875)
    run_spec = PipelineSpec(InputSpec(size=64), ("a", "b", "c"), segmenter, classifier, settings, seed=3)
    names = np.arange(batch_size, dtype=np.uint32) + 5
    if jax.device_count() == 1:
        found = pipeline.predict(segmenter, classifier, weights, images, pipeline.image_keys(3, names), settings)
        assert (found.label >= 0).sum() == batch_size - 1
        return jax.device_get(found)
    most, code, finds = jax.local_device_count(), compilation_cache.hash_package(), []
    turns = 2 if jax.process_count() == 1 else 1  # a single process runs it a second time from the trace cache
    with (
        TemporaryDirectory() as kept,
        mock.patch.object(compilation_cache, "_trace_cache", compilation_cache.TraceCache(Path(kept), code)),
    ):
        for _ in range(turns):
            share = PatchParallelPredictor(run_spec, weights, batch_size, most)
            finds.append(share(images, names))
        assert len(list(Path(kept).iterdir())) == (3 if turns == 2 else 0)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6), finds[0], finds[-1])
    return finds[-1]


def work() -> dict[str, np.ndarray]:
    """Return all arrays of batches of several sizes, by name."""
    states = [train_tiny(6), train_tiny(9), train_tiny(9, streamed=True)]
    tree = {"rows": [run_rowwise(size) for size in (1, 6, 17)], "steps": states, "diagnosis": predict_batch(3)}
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree.leaves_with_path(tree)}


if __name__ == "__main__":
    out, *place = sys.argv[1:]
    if place:
        multihost.initialize(place[0], int(place[1]), int(place[2]))
    first = multihost.broadcast_bool(multihost.is_primary())
    assert first, "what the first process decides holds in all"
    np.savez(out, **work(), devices=sharding.BatchSharding(6).mesh.size)
