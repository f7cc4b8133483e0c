"""What the generator has to know beyond the document: words of the formats that are ours, agents and tokens that are
there, and what would end the run itself."""

import os

import requests
import schemathesis
from hypothesis import strategies as st

URL = os.environ["TESTED_URL"]
HEADERS = {"Authorization": "Bearer " + os.environ["TESTED_TOKEN"]}


def there(path, field):
    answer = requests.get(f"{URL}/api/v1/{path}", headers=HEADERS, timeout=30)
    return [item[field] for item in answer.json().get("items", [])]


AGENTS = there("agents", "instance_uid")
# the token of this run is one of them
TOKENS = set(there("tokens", "id"))

SELECTORS = ["*", "env=prod", "env in (prod,staging) && !legacy", "team=core || name =~ host-*"]

schemathesis.openapi.format("ampora-selector", st.sampled_from(SELECTORS))
# only the server makes them: they come with the pages of its answers
schemathesis.openapi.format("ampora-continue", st.nothing())
schemathesis.openapi.format("uuid", st.one_of(st.sampled_from(AGENTS), st.uuids().map(str)))


@schemathesis.hook
def before_call(context, case, kwargs):
    """One precondition, not both, as any caller would send; and whoever deletes a token that was there finds nothing
    instead."""
    headers = case.headers or {}
    if "If-Match" in headers and "If-None-Match" in headers:
        del headers["If-None-Match"]
    parameters = case.path_parameters or {}
    if "tokens/{id}" in case.path and parameters.get("id") in TOKENS:
        case.path_parameters = {**parameters, "id": "0000000000000000"}
