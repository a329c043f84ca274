"""What holds for every test: no traffic but to this machine, no model loaded but for the test.

A fuzzed route may ask for a download; unless a test serves a hub of its own, nobody answers.
"""

from __future__ import annotations

import os

os.environ.setdefault("GONI_HUB", "https://127.0.0.1:9")
os.environ.setdefault("GONI_QUIET_S", "3600")
