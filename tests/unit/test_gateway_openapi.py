"""The API's description, against the routes that are served."""

from __future__ import annotations

from goni_gateway import openapi, service


def test_every_body_is_described_and_no_other() -> None:
    described = list(openapi.described(service.routes()))
    posts = {route.endpoint.__name__ for method, _, route in described if method == "POST"}
    puts = {route.endpoint.__name__ for method, _, route in described if method == "PUT"}
    assert posts == (openapi.BODIES.keys() | openapi.BODILESS) - puts
    assert openapi.BODIES.keys() <= posts | puts


def test_every_operation_has_a_name_of_its_own_and_its_parameters() -> None:
    document = openapi.description(service.routes())
    operations = [
        (path, operation)
        for path, methods in document["paths"].items()
        for operation in methods.values()
    ]
    names = [operation["operationId"] for _, operation in operations]
    assert len(names) == len(set(names)) > 30
    for path, operation in operations:
        assert {f"{{{each['name']}}}" in path for each in operation["parameters"]} <= {True}
        assert path.count("{") == len(operation["parameters"])
    assert "/v1/responses" in document["paths"]
    assert "/" not in document["paths"]
