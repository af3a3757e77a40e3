"""Viewers and hosts on the presence channel."""

from __future__ import annotations

from codewrap.uplink.watchers import Watchers


def test_a_viewer_is_new_once() -> None:
    watchers = Watchers()
    assert watchers.add("anna.1", {"role": "writer"})
    assert not watchers.add("anna.1", {"role": "writer"})
    assert watchers.add("anna.2", {"role": "viewer"})
    assert watchers.viewers == {"anna.1", "anna.2"}


def test_hosts_do_not_watch() -> None:
    watchers = Watchers()
    assert not watchers.add("host.1", {"role": "host"})
    assert (watchers.hosts, watchers.viewers) == ({"host.1"}, set())


def test_one_without_a_role_watches() -> None:
    watchers = Watchers()
    assert watchers.add("browser", {})
    assert watchers.viewers == {"browser"}


def test_who_has_left_is_new_again_and_who_never_came_is_no_trouble() -> None:
    watchers = Watchers()
    watchers.add("anna", {})
    watchers.add("host", {"role": "host"})
    watchers.remove("anna")
    watchers.remove("host")
    watchers.remove("nobody")
    assert (watchers.hosts, watchers.viewers) == (set(), set())
    assert watchers.add("anna", {})


def test_a_link_that_is_lost_forgets_all() -> None:
    watchers = Watchers()
    watchers.add("anna", {})
    watchers.add("host", {"role": "host"})
    watchers.clear()
    assert (watchers.hosts, watchers.viewers) == (set(), set())


def test_all_are_quick_while_everybody_understands_client_output() -> None:
    watchers = Watchers()
    assert not watchers.all_quick
    watchers.add("anna", {"client_output": True})
    watchers.add("host", {"role": "host"})
    assert watchers.all_quick
    watchers.add("browser", {"client_output": "yes"})
    assert not watchers.all_quick
    watchers.remove("browser")
    assert watchers.all_quick
    watchers.clear()
    assert not watchers.all_quick
