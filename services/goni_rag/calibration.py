"""The numbers of ``evidence``, as tests.bench.fit_evidence prints them."""

from __future__ import annotations

WEIGHTS = {
    "meaning": 12.7980,
    "around": 6.6244,
    "missing": -3.5248,
    "support": 10.5839,
    "rest": -3.9260,
    "lead": 9.6928,
    "foreign": 1.0919,
    "foreign meaning": -0.3459,
}
BIAS = -9.3606
THRESHOLD = 0.1652
