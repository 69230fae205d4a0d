"""Signals end a process with one line and the status of the signal; each test starts a process."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAD = """
import sys, time
from cxrjax.runtime import signals
signals.GRACE = signals._State.grace = 0.5
"""


def start(body):
    """Start a process, and wait until it prints its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", HEAD + textwrap.dedent(body)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signal_ends_with_one_line_and_its_exit_status(number, status):
    process = start("""
        try:
            with signals.handled(lambda: "go on"):
                try:
                    print("ready", flush=True)
                    time.sleep(60)
                finally:
                    print("cleaned up", flush=True)
        finally:
            print("left", flush=True)
    """)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == status and out == "cleaned up\nleft\n"
    assert err == f"cxrjax: stopped by {number.name}; go on\n"


def test_hangup_does_not_end_a_process_started_by_nohup():
    process = start("""
        import signal
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        with signals.handled(lambda: "go on"):
            print("ready", flush=True)
            sys.stdin.readline()
            print("done", flush=True)
    """)
    process.send_signal(signal.SIGHUP)
    out, err = process.communicate("\n", timeout=30)
    assert process.returncode == 0 and out == "done\n" and not err


def test_blocked_process_is_ended_after_the_grace_period():
    process = start("""
        import threading
        def block():  # an instruction that no handler interrupts, as a compilation is
            lock = threading.Lock()
            lock.acquire()
            for _ in range(100):
                try:
                    lock.acquire(timeout=60)
                except KeyboardInterrupt:
                    pass
        with signals.handled(lambda: "go on"):
            print("ready", flush=True)
            block()
    """)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 143 and err == "cxrjax: stopped by SIGTERM; go on\n"


@pytest.mark.parametrize(
    "swallow",
    [
        "raise ImportError('made of it')",  # as the import of a compiled module does
        "sys.exit(1)",
    ],
)
def test_errors_caused_by_the_signal_print_no_traceback(swallow):
    process = start(f"""
        with signals.handled(lambda: "go on"):
            try:
                print("ready", flush=True)
                time.sleep(60)
            except KeyboardInterrupt:
                {swallow}
    """)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and err == "cxrjax: stopped by SIGINT; go on\n"


def test_signal_during_a_destructor_is_raised_afterwards():
    process = start("""
        class Slow:
            def __del__(self):
                print("ready", flush=True)
                time.sleep(60)
        signals.GRACE = signals._State.grace = 60
        with signals.handled(lambda: "go on"):
            Slow()
            time.sleep(60)
    """)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 143 and err == "cxrjax: stopped by SIGTERM; go on\n"


def test_exit_functions_run_and_destructors_do_not():
    process = start("""
        import atexit
        class Crash:
            def __del__(self):
                print("a destructor ran")
        with signals.handled(lambda: "go on"):
            crash = Crash()
            atexit.register(print, "temporary files are removed")
            print("ready", flush=True)
            time.sleep(60)
    """)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 143 and err == "cxrjax: stopped by SIGTERM; go on\n"
    assert out == "temporary files are removed\n"


def test_deferred_block_finishes_after_a_signal():
    process = start("""
        with signals.handled(lambda: "go on"), signals.deferred(grace=30) as stop:
            print("ready", flush=True)
            while not stop():
                time.sleep(0.01)
            time.sleep(1)  # saves, longer than the grace outside of the block
            print("saved", flush=True)
        print("not reached")
    """)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 143 and out == "saved\n" and err == "cxrjax: stopped by SIGTERM; go on\n"


def test_a_second_signal_ends_a_deferred_block():
    process = start("""
        with signals.handled(lambda: "go on"), signals.deferred(grace=60) as stop:
            print("ready", flush=True)
            while not stop():
                time.sleep(0.01)
            print("first signal", flush=True)
            time.sleep(60)
    """)
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "first signal\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 143 and err == "cxrjax: stopped by SIGTERM; go on\n"


def test_process_without_a_signal_is_not_affected():
    process = start("""
        with signals.handled(lambda: "go on"):
            print("ready", flush=True)
            assert signals.received() is None
    """)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0 and not err
