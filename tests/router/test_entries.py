"""The catalog as the router tells it: also what nobody can be asked for."""

from msgspec import structs

from echo import MODEL
from router_setup import Setup, party, row, setup
from tertulia.catalog import catalog
from tertulia.catalog.catalog import Hub, Listing, Wheel
from tertulia.types import Entry

__all__ = ["setup"]

RAN = structs.replace(row("org/ran", far=Listing(id="r")), runs=True, parameters=2_000_000_000, released="2024-07")


def entry(found: list[Entry], model: str) -> Entry:
    return next(one for one in found if one.id == model)


def test_a_model_that_nobody_serves_is_told_with_what_is_known_of_it(setup: Setup):
    lone = structs.replace(row("org/lone"), recommended=True, licence="MIT")
    found = entry(setup.router(rows=(lone,)).entries(), "org/lone")
    assert (found.recommended, found.licence, found.context_length, found.description) == (
        True,
        "MIT",
        4096,
        lone.description,
    )
    assert (found.providers, found.status, found.catalog, found.runs, found.fetch) == ([], "", True, False, 0)


def test_a_provider_without_a_key_is_told_with_what_is_missing(setup: Setup):
    router = setup.router(party("far", why="set FAR_KEY"), rows=(RAN,), told={"org/ran": RAN.providers})
    [one] = entry(router.entries(), "org/ran").providers
    assert (one.provider, one.status, one.why) == ("far", "no key", "set FAR_KEY")
    assert "org/ran" not in [card.id for card in router.models()]


def test_a_listing_that_is_gone_says_so(setup: Setup):
    gone = row("org/gone", far=Listing(id="g", live=False))
    router = setup.router(party("far"), rows=(gone,), told={"org/gone": gone.providers})
    [one] = entry(router.entries(), "org/gone").providers
    assert (one.status, one.why) == ("error", "it no longer serves it")


def test_what_a_pull_fetches_is_known_from_the_wheel_or_reckoned_from_the_parameters(setup: Setup):
    wheel = structs.replace(row("org/wheel"), source=Wheel("w==1", "", 7, "m", "", 9), runs=True, parameters=100)
    hub = structs.replace(row("org/hub"), source=Hub("org/hub"), runs=True)
    found = setup.router(rows=(RAN, wheel, hub)).entries()
    told = [(one.fetch, one.about) for one in (entry(found, name) for name in ("org/ran", "org/wheel", "org/hub"))]
    assert told == [(4_000_000_000, True), (7, False), (0, True)]


def test_ranks_are_by_the_hubs_score_and_only_where_it_told_one(setup: Setup):
    rows = [
        structs.replace(row(f"org/{name}"), trending=score) for name, score in (("a", 1.0), ("b", None), ("c", 9.5))
    ]
    found = setup.router(rows=tuple(rows)).entries()
    assert [entry(found, f"org/{name}").trending for name in "abc"] == [2, 0, 1]


def test_this_machines_come_first_then_the_catalogs_then_what_else_is_listed(setup: Setup):
    found = setup.router(party("far", models=("org/far",)), rows=(RAN,)).entries()
    assert [one.id for one in found] == [*(card.id for card in setup.home.models()), "org/ran", "org/far"]
    assert not entry(found, "org/far").catalog


def test_the_list_stays_the_same_while_it_is_fresh(setup: Setup):
    router = setup.router(rows=(RAN,))
    assert router.entries() is router.entries()


def test_the_pages_eight_are_recommended_and_all_that_is_shipped_has_its_facts():
    rows = catalog.rows()
    assert sum(one.recommended for one in rows) == 8
    assert all(one.parameters > 1_000_000 and len(one.released) == 7 for one in rows)
    assert all(one.runs for one in rows if one.source)


def test_this_machine_is_known_to_call_tools_and_to_keep_to_a_form(setup: Setup):
    [one] = entry(setup.router().entries(), MODEL).providers
    assert (one.provider, one.supports_tools, one.supports_structured_output) == ("local", True, True)
