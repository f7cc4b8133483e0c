"""What the generator has to know beyond the document: words of the formats that are ours, agents and tokens that are
there, and what would end the run itself."""

import itertools
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
CLIENTS = itertools.count(1)
# the token of this run is one of them
TOKENS = set(there("tokens", "id"))

SELECTORS = ["*", "env=prod", "env in (prod,staging) && !legacy", "team=core || name =~ host-*"]

schemathesis.openapi.format("ampora-selector", st.sampled_from(SELECTORS))
# only the server makes them: they come with the pages of its answers
schemathesis.openapi.format("ampora-continue", st.nothing())
schemathesis.openapi.format("uuid", st.one_of(st.sampled_from(AGENTS), st.uuids().map(str)))


@schemathesis.hook
def before_call(context, case, kwargs):
    """One precondition, not both, as any caller would send. A client of its own behind the proxy that we are: many
    calls show tokens that do not work, and too many of one client are told to wait. And whoever deletes a token that
    was there finds nothing instead."""
    headers = case.headers
    if "If-Match" in headers and "If-None-Match" in headers:
        del headers["If-None-Match"]
    number = next(CLIENTS)
    headers["X-Forwarded-For"] = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    parameters = case.path_parameters or {}
    if "tokens/{id}" in case.path and parameters.get("id") in TOKENS:
        case.path_parameters = {**parameters, "id": "0000000000000000"}
