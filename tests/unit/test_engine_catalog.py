"""The shipped catalog holds together, and a catalog that doesn't is refused with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from goni_core.errors import BadInput
from goni_engine import catalog
from goni_engine.plan import Memory

GIB = 1 << 30
ENTRIES = {entry.id: entry for entry in catalog.load().entries}


def changed(tmp_path: Path, **changes: object) -> Path:
    """The shipped catalog with its first entry changed; a key set to None is left out."""
    value = yaml.safe_load(catalog.SHIPPED.read_text("utf-8"))
    entry = value["models"][0] | changes
    value["models"][0] = {key: entry[key] for key in entry if changes.get(key, 1) is not None}
    path = tmp_path / "catalog.yaml"
    path.write_text(yaml.safe_dump(value), encoding="utf-8")
    return path


def fitting(gib: float) -> list[str]:
    memory = Memory(int(gib * GIB), int(gib * GIB))
    found = (
        catalog.offered(entry, memory, gpu=True, here=False) for entry in catalog.load().entries
    )
    return [offer.id for offer in found if offer.fits and offer.kind == "chat"]


def test_there_is_a_dozen_of_every_kind_and_pictures_too() -> None:
    assert len(ENTRIES) >= 12
    assert {entry.kind for entry in ENTRIES.values()} == set(catalog.KINDS)
    assert sum(entry.projector is not None for entry in ENTRIES.values()) >= 4


@pytest.mark.parametrize(("gib", "least"), [(7.7, 3), (15.5, 6), (31, 9), (62, 10), (125, 12)])
def test_every_size_of_box_has_several_to_choose_from(gib: float, least: int) -> None:
    """Of nominally 8, 16, 32, 64 and 128 GB some goes to firmware and graphics."""
    assert len(fitting(gib)) >= least


@pytest.mark.parametrize("gib", [7.7, 15.5, 31, 62, 125])
def test_every_size_of_box_has_a_mixture_of_experts(gib: float) -> None:
    sparse = [name for name in fitting(gib) if ENTRIES[name].active < ENTRIES[name].total / 2]
    assert sparse


def test_no_two_files_have_the_same_hash_or_the_same_name_here() -> None:
    remotes = [remote for entry in ENTRIES.values() for remote in entry.remotes]
    for key in ("sha256", "name", "path"):
        values = [getattr(remote, key) for remote in remotes if getattr(remote, key)]
        assert len(set(values)) == len(values)


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=str)
def test_memory_is_more_than_the_weights_but_not_absurdly(entry: catalog.Entry) -> None:
    files = sum(remote.bytes for remote in entry.remotes)
    assert files * 1.01 < entry.memory < files * 1.6 + 1e9


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=str)
def test_size_and_parameters_agree(entry: catalog.Entry) -> None:
    """Four to nine bits each: a slip of a digit in either would show."""
    assert 3.9 < entry.weights.bytes * 8 / (entry.total * 1e9) < 9.5


def test_the_bandwidth_rule_is_the_one_that_was_measured() -> None:
    """FACTS: a dense 31B of 18.3 GB does about 11.5 tokens/s."""
    dense = next(entry for entry in ENTRIES.values() if entry.id == "gemma-4-12b")
    assert dense.tokens_per_second == pytest.approx(0.84 * 256 / 6.975879296)
    sparse = ENTRIES["gpt-oss-120b"]
    assert sparse.active_bytes == pytest.approx(65.369017728e9 * 5.1 / 116.8)


def test_the_verdict_says_how_much_is_missing_and_how_fast() -> None:
    entry = ENTRIES["gpt-oss-20b"]
    small, large = Memory(8 * GIB, 8 * GIB), Memory(32 * GIB, 32 * GIB)
    refused = catalog.offered(entry, small, gpu=True, here=False)
    assert refused.missing_memory == entry.memory - 7 * GIB
    assert refused.words == "too large for this node: 6.0 GB of memory are missing"
    taken = catalog.offered(entry, large, gpu=True, here=True)
    assert (taken.fits, taken.missing_memory, taken.here) == (True, 0, True)
    assert taken.words == "fits; writes up to 77 words a second"
    slow = catalog.offered(entry, large, gpu=False, here=False)
    assert slow.tokens_per_second == pytest.approx(taken.tokens_per_second / 10, abs=0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"price": 0}, "unknown field 'price'"),
        ({"licence": None}, "licence is missing"),
        ({"sha256": None}, "sha256 is missing"),
        ({"sha256": "AC" * 32}, "sha256 does not look like one"),
        ({"hash_from": "a friend"}, "hash_from must be one of"),
        ({"bytes": 2.5}, "bytes must be a whole number"),
        ({"memory": 1}, "memory must be from"),
        ({"id": "../up"}, "id does not look like one"),
        ({"file": "a/b.gguf"}, "file does not look like one"),
        ({"file": "model.bin"}, "file does not look like one"),
        ({"source": {"repo": "a/b/c", "revision": "main"}}, "repo does not look like one"),
        ({"source": {"repo": "a/b", "revision": "../x"}}, "revision does not look like one"),
        ({"kind": "music"}, "kind must be one of"),
        ({"parameters": {"total": 1.0, "active": 2.0}}, "more parameters are active"),
        ({"projector": {"file": "p.gguf", "bytes": 1 << 20}}, "sha256 is missing"),
        ({"id": "gpt-oss-20b"}, "two models of the catalog have the same id"),
    ],
)
def test_a_bad_entry_is_refused_by_name(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        catalog.load(changed(tmp_path, **changes))


def test_an_entry_may_say_that_no_listing_states_its_hash(tmp_path: Path) -> None:
    value = yaml.safe_load(catalog.SHIPPED.read_text("utf-8"))
    value["models"][0]["sha256"] = None
    del value["models"][0]["hash_from"]
    path = tmp_path / "catalog.yaml"
    path.write_text(yaml.safe_dump(value), encoding="utf-8")
    assert catalog.load(path).entries[0].weights.sha256 == ""
