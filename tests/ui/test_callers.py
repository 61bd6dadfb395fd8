"""Who calls, as far as the network tells, and what one address may have."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import InstallationError
from pipelines.jobs.records import QueueLimits
from tests.ui.served import served_page
from tests.ui.test_guard import ask
from ui.callers import VARIABLE, Callers, callers_from_environment


def scope(peer: str, *forwarded: str) -> dict[str, Any]:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return {"type": "http", "client": (peer, 1), "headers": headers}


def test_without_proxies_the_peer_counts_and_what_it_claims_does_not() -> None:
    callers = Callers()
    name = callers.name(scope("203.113.1.1"))
    assert name is not None
    assert callers.name(scope("203.113.1.1", "9.9.9.9")) == name
    assert callers.name(scope("203.113.1.2")) != name
    # Digits alone may stand in the hash by chance.
    assert "203.113" not in name
    # Nobody who reads the store can tell whose it was, nor link it with another start's.
    assert Callers().name(scope("203.113.1.1")) != name


@pytest.mark.parametrize("peer", ["127.0.0.1", "10.16.3.80", "192.168.0.9", "fc00::1", "", "x"])
def test_a_private_peer_may_be_a_proxy_that_nobody_told_of_so_nobody_is_counted(peer: str) -> None:
    assert Callers().name(scope(peer)) is None
    assert Callers().name(scope(peer, "9.9.9.9")) is None
    assert Callers(1).name(scope(peer, "9.9.9.9")) is not None
    # One more proxy than was believed of a Space: its visitors must not share one limit.
    assert Callers(1).name(scope(peer, "9.9.9.9, 10.0.0.7")) is None


def test_of_what_is_forwarded_only_what_the_trusted_proxies_wrote_counts() -> None:
    one, two = Callers(1, only_public=False), Callers(2, only_public=False)
    peer = "10.0.0.1"
    honest = one.name(scope(peer, "9.9.9.9"))
    assert honest is not None
    for claimed in ("1.1.1.1, 9.9.9.9", " 1.1.1.1,,junk , 9.9.9.9:5123"):
        assert one.name(scope(peer, claimed)) == honest
    # Claimed in a header of its own.
    assert one.name(scope(peer, "1.1.1.1", "9.9.9.9")) == honest
    through_two = two.name(scope(peer, "9.9.9.9, 10.0.0.7"))
    assert two.name(scope(peer, "1.1.1.1, 9.9.9.9, 10.0.0.7")) == through_two
    # Who comes past the proxies is who connects.
    assert two.name(scope(peer, "9.9.9.9")) == two.name(scope(peer))
    assert one.name(scope(peer, "junk")) is None


def test_the_addresses_of_one_holder_are_one_caller() -> None:
    callers = Callers()
    name = callers.name(scope("2a01:4f8:1:2::1"))
    assert name == callers.name(scope("2a01:4f8:1:2:ffff:ffff:0:9"))
    assert name != callers.name(scope("2a01:4f8:1:3::1"))
    assert callers.name(scope("::ffff:9.9.9.9")) == callers.name(scope("9.9.9.9"))


def test_the_environment_says_how_many_proxies_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert callers_from_environment().num_proxies == 0
    monkeypatch.setenv("SPACE_ID", "somebody/lathe")
    assert callers_from_environment().num_proxies == 1
    assert callers_from_environment().only_public
    monkeypatch.setenv(VARIABLE, "2")
    assert callers_from_environment().num_proxies == 2
    assert not callers_from_environment().only_public
    monkeypatch.setenv(VARIABLE, "-1")
    with pytest.raises(InstallationError, match=VARIABLE):
        callers_from_environment()


def test_new_keys_do_not_get_an_address_more_by_any_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    limits = QueueLimits(per_address=3)
    with served_page(tmp_path, limits) as (url, desk):

        def submit(address: str, way: str = "run") -> tuple[int, str]:
            body = json.dumps({"data": ["hang 60"]}).encode()
            headers = {"x-forwarded-for": f"1.2.3.{submit.calls}, {address}"}
            # What a caller calls itself counts for nothing.
            headers["x-lathe-caller"] = f"name {submit.calls}"
            submit.calls += 1
            status, _, answer = ask(f"{url}/gradio_api/{way}/submit", body, headers)
            return status, answer.decode()

        submit.calls = 0  # type: ignore[attr-defined]
        assert [submit("9.9.9.9", way)[0] for way in ("run", "api", "run")] == [200] * 3
        status, said = submit("9.9.9.9")
        assert status == 422
        assert "3 jobs at once are allowed from one network address" in said
        # Through Gradio's queue the same event is another task's; it is refused all the same.
        status, event = submit("9.9.9.9", "call")
        assert status == 200
        number = re.search(r'"event_id":\s*"(\w+)"', event)
        assert number is not None
        _, _, answer = ask(f"{url}/gradio_api/call/submit/{number[1]}")
        assert b"network address" in answer
        assert submit("9.9.9.8")[0] == 200
        assert len(desk.store.queue()) == 4
        with desk.store.reading() as database:
            kept = [row["caller"] for row in database.execute("SELECT caller FROM jobs")]
        assert len(set(kept)) == 2
        assert not any("9.9" in name for name in kept)
