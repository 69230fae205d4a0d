"""Items are processed ahead, in order and up to a limit."""

import threading
from itertools import count

import pytest

from cxrjax.runtime.read_ahead import map_ahead


def test_results_are_in_order_and_reading_ahead_is_limited():
    drawn = []

    def items():
        for number in count():
            drawn.append(number)
            yield number

    results = map_ahead(lambda number: number**2, items(), num_threads=3, num_ahead=5)
    for number in range(20):
        assert next(results) == number**2
        assert len(drawn) == number + 6
    results.close()
    assert len(drawn) == 25


def test_threads_work_while_a_result_is_used():
    ready = threading.Event()

    def work(number):
        if number:
            ready.set()
        return number

    results = map_ahead(work, range(2), num_threads=1, num_ahead=1)
    assert next(results) == 0
    assert ready.wait(10) and list(results) == [1]


def test_error_is_raised_in_the_order_of_results():
    results = map_ahead(lambda number: 6 // number, [3, 2, 0, 1], num_threads=2, num_ahead=4)
    assert [next(results), next(results)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)
