"""Temperatures and network: what the node has around it.

Temperatures are hwmon's in thousandths of a degree, with the maker's own limits where it tells them
(linux/Documentation/hwmon/sysfs-interface.rst). Addresses are counted, never shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from goni_client.findings import Finding, bad, good, unknown, warning

HOT = 90.0
"""Degrees Celsius that are too many where the maker names no limit."""
LEAST_SPEED = 1000
"""Mbit/s below which models come slowly."""


def look_heat(hwmon: Path = Path("/sys/class/hwmon")) -> Iterator[Finding]:
    area = "temperature"
    found = [(sensor, path) for sensor in sorted(hwmon.glob("hwmon*")) for path in _inputs(sensor)]
    if not found:
        yield unknown(area, "no sensor is visible")
    for sensor, path in found:
        name = (sensor / "name").read_text().strip()
        yield heat(name, _degrees(path), _limit(path))


def _inputs(sensor: Path) -> list[Path]:
    """The sensor's first reading that works: of the many, the one that the chip acts on."""
    return [path for path in sorted(sensor.glob("temp*_input")) if _readable(path)][:1]


def _readable(path: Path) -> bool:
    try:
        return bool(path.read_text())
    except OSError:
        return False


def _degrees(path: Path) -> float:
    return int(path.read_text()) / 1000


def _limit(path: Path) -> float:
    for kind in ("crit", "max"):
        other = path.with_name(path.name.replace("_input", f"_{kind}"))
        if other.exists() and (limit := _degrees(other)) > 0:
            return limit
    return HOT


def heat(name: str, degrees: float, limit: float) -> Finding:
    """A sensor at ``degrees`` Celsius that should stay below ``limit``."""
    area, words = "temperature", f"{name} {degrees:.0f} °C of at most {limit:.0f}"
    if degrees >= limit:
        return bad(area, words, "free its air inlets, and look whether the fan turns")
    if degrees >= limit - 5:
        return warning(area, words, "it slows down; give it more air")
    return good(area, words)


def look_network(devices: Path = Path("/sys/class/net")) -> Iterator[Finding]:
    """Every wired or wireless device: link and speed. Names are the kernel's, not the owner's."""
    found = [path for path in sorted(devices.iterdir()) if (path / "device").exists()]
    states = [
        network(path.name, _read(path / "operstate"), _read(path / "speed")) for path in found
    ]
    if not any(finding.state.value == "good" for finding in states):
        yield bad("network", "nothing is connected", "plug a cable in")
    yield from states


def network(name: str, state: str, speed: str) -> Finding:
    """A device by what the kernel says of it; ``speed`` in Mbit/s, empty or -1 if it has none."""
    number = int(speed) if speed.lstrip("-").isdigit() else 0
    if state != "up":
        return unknown("network", f"{name} is not connected")
    if 0 < number < LEAST_SPEED:
        advice = "use another cable or switch; models come slowly"
        return warning("network", f"{name} runs at {number} Mbit/s only", advice)
    return good("network", f"{name} connected" + (f", {number} Mbit/s" if number > 0 else ""))


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
