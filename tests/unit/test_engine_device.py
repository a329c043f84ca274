"""The device is what llama-server lists, not what a label says."""

from __future__ import annotations

import os
from pathlib import Path

from goni_engine.device import Device, Devices, cores, gpus_in, separate

LISTED = """Available devices:
  Vulkan0: Radeon 8060S Graphics (RADV GFX1151) (98304 MiB, 97000 MiB free)
  RPC0: 10.0.0.2:50052 (8192 MiB, 8000 MiB free)
"""


def test_a_gpu_is_found_and_remote_servers_are_not() -> None:
    name = "Radeon 8060S Graphics (RADV GFX1151)"
    assert gpus_in(LISTED) == (Device("Vulkan0", name, 98304, 97000),)
    assert Devices(gpus_in(LISTED), 8).words.startswith("running on Radeon 8060S")


def test_no_gpu_is_said_loudly() -> None:
    assert gpus_in("Available devices:\n  (none)\n") == ()
    assert Devices((), 8).words == "running on the CPU: about 10 times slower than a GPU"


def test_two_threads_of_one_core_count_once(tmp_path: Path) -> None:
    allowed = sorted(os.sched_getaffinity(0))
    for number in allowed:
        folder = tmp_path / f"cpu{number}/topology"
        folder.mkdir(parents=True)
        (folder / "core_cpus_list").write_text("all of them\n")
    assert cores(tmp_path) == 1
    assert cores(tmp_path / "nowhere") == len(allowed)


def test_only_memory_on_the_card_comes_on_top_of_the_main_memory(tmp_path: Path) -> None:
    gpus = gpus_in(LISTED)
    assert not separate(gpus, tmp_path)
    file = tmp_path / "card0/device/mem_info_vram_total"
    file.parent.mkdir(parents=True)
    for size, found in ((512, False), (98304, True)):
        file.write_text(f"{size << 20}\n")
        assert separate(gpus, tmp_path) is found
    assert not separate((), tmp_path)
    assert Devices(gpus, 8).own_memory == 0
    assert Devices(gpus, 8, separate=True).own_memory == 97000 << 20
