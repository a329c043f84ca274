"""The steps of the setup, in their order."""

from __future__ import annotations

from goni_firstboot import protection
from goni_firstboot.step import Services, Step
from goni_firstboot.steps.household import Household
from goni_firstboot.steps.language import Language
from goni_firstboot.steps.model import Model
from goni_firstboot.steps.name import Name
from goni_firstboot.steps.network import Network
from goni_firstboot.steps.owner import Owner
from goni_firstboot.steps.recovery import Recovery
from goni_firstboot.steps.summary import Summary


def row(services: Services) -> tuple[Step, ...]:
    """Every step, first to last. The household comes before the owner: whoever joins one needs no
    owner here, and the owner's password begins a new one. Installing to a disk belongs after them.
    """
    return (
        Language(),
        Name(),
        Network(),
        Household(services.mesh),
        Owner(services.gateway, services.mesh),
        Model(services.gateway, services.engine),
        Recovery(services.install),
        Summary(protection.look),
    )
