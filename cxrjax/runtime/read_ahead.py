"""Work on a stream of items that threads do ahead of its use; `cxrjax.data.dataset.read_rows` reads a data set."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], *, num_threads: int, num_ahead: int
) -> Generator[Result]:
    """Apply a function to items in threads, and yield the results in the order of the items.

    The items are drawn in the thread that draws the results, at most `num_ahead` in advance, so that as many results
    are in memory at most. An error of the function is raised in the place of its result.

    Args:
        function: may be called in several threads at once.
        items: finite or infinite.
        num_threads: threads that apply the function.
        num_ahead: items that are drawn in advance.
    """
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(num_threads) as pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > num_ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
