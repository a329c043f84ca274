"""Where things are: the image's places, or a checkout's when there is no image.

systemd gives each service its own directories through the environment (systemd.exec(5)); the
``GONI_*`` variables are for tests and for commands run from a checkout.
"""

from __future__ import annotations

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
"""The repository's root when running from a checkout (meaningless inside the image)."""


def run_dir() -> Path:
    """The folder of the services' Unix sockets."""
    return Path(os.environ.get("GONI_RUN", "/run/goni"))


def engine_socket() -> Path:
    return run_dir() / "engine.sock"


def rag_socket() -> Path:
    return run_dir() / "rag.sock"


def gateway_socket() -> Path:
    return run_dir() / "gateway.sock"


def mesh_socket() -> Path:
    return run_dir() / "mesh.sock"


def state_dir(service: str) -> Path:
    """``service``'s own state: ``$STATE_DIRECTORY`` under systemd, else below ``$GONI_STATE``."""
    given = os.environ.get("STATE_DIRECTORY")
    if given:
        return Path(given.split(":")[0])
    return Path(os.environ.get("GONI_STATE", "/var/lib/goni")) / service


def update_socket() -> Path:
    return run_dir() / "update.sock"


def install_socket() -> Path:
    return run_dir() / "install.sock"


def engine_dir() -> Path:
    """llama.cpp's programs (``bin/``) and shared libraries (``lib/``): the image's, else the
    checkout's.
    """
    return _first("GONI_ENGINE", Path("/usr/lib/goni/engine"), CHECKOUT / "out/engine/host")


def models_dir() -> Path:
    """The models that come with Goni."""
    return _first("GONI_MODELS", Path("/usr/share/goni/models"), CHECKOUT / "out/models")


def credential(name: str) -> Path | None:
    """The file of a systemd credential (``LoadCredential=``), when there is one."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return None
    path = Path(folder) / name
    return path if path.exists() else None


def _first(variable: str, image: Path, checkout: Path) -> Path:
    given = os.environ.get(variable)
    if given:
        return Path(given)
    return image if image.exists() else checkout
