"""Rows of the table of waiting times: medians, and the ratio of the seconds."""

from benchmarks.start import Start
from benchmarks.waits import Wait, format_wait


def test_format_wait_has_medians_and_their_ratio() -> None:
    ours = [Start(3.0, 100.0, 5.0), Start(1.0, 300.0, 4.0), Start(2.0, 200.0, 6.0)]
    peer = [Start(4.0, 50.0, 7.0)]
    assert format_wait(Wait("start", ours, "1 s", peer, "60%")) == [
        "start",
        "2.00 (5.00)",
        "4.00 (7.00)",
        "0.50",
        "60%",
        "200",
        "1 s",
    ]
    assert format_wait(Wait("start", ours, "1 s"))[2:5] == ["", "", ""]
