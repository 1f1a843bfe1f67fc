"""Paths and methods to routes."""

from __future__ import annotations

import pytest

from lictor.actors.ingress.router import Router, canonical_uuid

ID = "0188a000-0000-7000-8000-0000000000ab"
ROUTES = [
    ("GET", "/flows/", "list"),
    ("POST", "/flows/", "create"),
    ("GET", "/flows/{id}", "one"),
    ("POST", "/flows/filter", "filter"),
    ("GET", "/flows/name/{name:str}", "named"),
    ("GET", "/flows/{id}/runs/{run}", "run"),
    ("GET", "/limits/{name:str}", "limit"),
    ("GET", "/limits/{id}", "limit of id"),
    ("POST", "/limits/filter", "limits"),
    ("GET", "/limits/{name:str}/slots", "slots"),
    ("DELETE", "/limits/{id}/slots", "free"),
]
router = Router("/api", ((method, path, name) for method, path, name in ROUTES))


@pytest.mark.parametrize(
    ("method", "path", "name", "params"),
    [
        ("GET", "/flows/", "list", ()),
        ("POST", "/flows/", "create", ()),
        ("POST", "/flows/filter", "filter", ()),
        ("GET", f"/flows/{ID}", "one", (ID,)),
        ("GET", f"/flows/{ID.upper()}", "one", (ID,)),
        ("GET", f"/flows/{ID.replace('-', '')}", "one", (ID,)),
        ("GET", f"/flows/{ID}/runs/{ID}", "run", (ID, ID)),
        ("GET", "/flows/name/a b", "named", ("a b",)),
        ("GET", f"/flows/name/{ID}", "named", (ID,)),
        ("GET", "/limits/x", "limit", ("x",)),
        ("GET", f"/limits/{ID}", "limit of id", (ID,)),
        ("POST", "/limits/filter", "limits", ()),
        ("GET", "/limits/filter", "limit", ("filter",)),
        ("GET", f"/limits/{ID}/slots", "slots", (ID,)),
        ("DELETE", f"/limits/{ID}/slots", "free", (ID,)),
    ],
)
def test_a_path_finds_its_route(method: str, path: str, name: str, params: tuple[str, ...]) -> None:
    assert router.find(method, "/api" + path) == (name, params)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/flows",
        "/flows/x",
        "/flows/filter/",
        "/flows/name/",
        "/flows/name/a/b",
        "//flows/",
        f"/flows/{ID}/",
        f"/flows/{{{ID}}}",
        f"/flows/{ID[:-1]}",
        "/flows/ ",
        "/limits/",
    ],
)
def test_other_paths_find_nothing(path: str) -> None:
    assert router.find("GET", "/api" + path) is None


@pytest.mark.parametrize("path", ["/flows/", "/apiflows/", "/other/flows/", "flows/"])
def test_paths_outside_the_prefix_find_nothing(path: str) -> None:
    assert router.find("GET", path) is None
    assert router.allowed(path) == []


def test_a_path_names_all_its_methods() -> None:
    assert router.allowed("/api/flows/") == ["GET", "POST"]
    assert router.allowed("/api/limits/filter") == ["GET", "POST"]
    assert router.allowed(f"/api/limits/{ID}/slots") == ["DELETE", "GET"]
    assert router.allowed("/api/flows") == []


def test_two_routes_that_answer_the_same_are_refused() -> None:
    with pytest.raises(ValueError, match="two routes"):
        Router("/api", [("GET", "/a/{id}", 1), ("GET", "/a/{other}", 2)])


@pytest.mark.parametrize("path", ["/a/{x:int}", "/a/b{x}", "/a/{x"])
def test_a_path_that_cannot_be_read_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"path segment|form of parameter"):
        Router("/api", [("GET", path, 1)])


@pytest.mark.parametrize("text", ["", ID + "0", "{" + ID + "}", "urn:uuid:" + ID, ID + "\n"])
def test_what_is_no_uuid_of_a_path(text: str) -> None:
    assert canonical_uuid(text) is None


def test_dashes_of_a_uuid_may_be_left_out_one_by_one() -> None:
    assert canonical_uuid(ID.replace("-", "", 2)) == ID
