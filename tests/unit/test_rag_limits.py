"""goni_core.run with limits, as goni_rag runs poppler: a child's output, memory and time end."""

from __future__ import annotations

import sys

import pytest

from goni_core import run
from goni_core.errors import GoniError

LIMITS = run.Limits(cpu_s=10, memory=512 << 20, file_size=8 << 20)


def python(code: str) -> run.Completed:
    return run.run([sys.executable, "-c", code], timeout=30, limits=LIMITS, check=False)


def test_a_flood_of_output_is_cut_and_ended():
    done = python("import sys\nwhile True: sys.stdout.write('x' * 65536)")
    assert done.returncode != 0
    assert len(done.stdout) == run.OUTPUT_LIMIT


def test_both_outputs_come_back():
    done = python("import sys; print('out'); print('err', file=sys.stderr)")
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")


def test_memory_ends():
    assert python("bytes(1 << 30)").returncode != 0


def test_time_ends():
    with pytest.raises(GoniError) as caught:
        run.run([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.5, limits=LIMITS)
    assert caught.value.code == "timeout"
