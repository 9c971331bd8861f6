"""The document's links lead from an answer to operations that ask for just that."""

from typing import Any

import pytest

from api.app import create_app
from api.links import LINKS, add_links
from ledger.settings import load_settings

DOCUMENT = create_app(load_settings({})).openapi()
OPERATIONS: dict[str, Any] = {
    operation["operationId"]: operation
    for methods in DOCUMENT["paths"].values()
    for operation in methods.values()
}


@pytest.mark.parametrize("link", LINKS, ids=lambda link: f"{link.before}-{'-'.join(link.after)}")
def test_a_link_names_parameters_that_its_operations_have(link: Any) -> None:
    for after in link.after:
        parameters = {each["name"]: each for each in OPERATIONS[after]["parameters"]}
        assert set(link.values) <= set(parameters)
        needed = {
            name for name, each in parameters.items() if each["in"] == "path" and each["required"]
        }
        assert needed <= set(link.values), f"{after} cannot be called with that alone"
    told = OPERATIONS[link.before]["responses"][str(link.status)]["links"]
    assert set(link.after) <= {each["operationId"] for each in told.values()}


def test_no_link_hides_another() -> None:
    told = [
        each
        for operation in OPERATIONS.values()
        for answer in operation["responses"].values()
        for each in answer.get("links", {}).values()
    ]
    assert len(told) == sum(len(link.after) for link in LINKS)


def test_a_link_to_an_operation_that_is_not_there_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        add_links(DOCUMENT, [LINKS[0]._replace(after=("nowhere",))])
