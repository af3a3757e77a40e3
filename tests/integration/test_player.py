"""What is exported plays in asciinema's own player, in a browser: text, sizes, markers, and the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codewrap.cli.export import Format, pieces
from codewrap.cli.recordings import Recording
from codewrap.protocol.geometry import Size
from codewrap.store.archive import Archive
from tests.support.chromium import Chromium
from tests.support.keptlogs import KeptSession
from tests.support.node import Node

pytestmark = [pytest.mark.debian, pytest.mark.timeout(180)]

PLAY = """
new Promise(resolve => {
  const markers = [];
  const player = AsciinemaPlayer.create({data: CAST}, document.getElementById("player"), {speed: 20, fit: false});
  player.addEventListener("marker", event => markers.push(event.label));
  player.addEventListener("ended", () => setTimeout(() => resolve({markers, text: document.body.innerText}), 200));
  player.play();
})
"""


@pytest.mark.parametrize("form", [Format.CAST, Format.CAST2])
def test_asciinemas_player_plays_what_is_exported(tmp_path: Path, node: Node, form: Format) -> None:
    session = KeptSession(tmp_path / "state")
    session.log.append("\x1b[1;31mfirst ä\x1b[m\r\n".encode(), "stdout", 0.1)
    session.log.mark("join", ["anna"], 0.3)
    session.log.resized(Size(rows=30, cols=90), 0.5)
    session.log.append(b"<b>second</b>" + b"\x1b[30;80Hcorner", "stdout", 0.7)
    session.ended(3, 1.0)
    kept = Archive(tmp_path / "state" / "sessions").find("demo")
    assert kept is not None
    cast = "".join(pieces(Recording(kept), form, None))
    script = (node.modules / "asciinema-player/dist/bundle/asciinema-player.min.js").read_text()
    with Chromium(tmp_path) as browser, browser.page() as page:
        page.open("http://player.example/", '<!doctype html><meta charset="utf-8"><div id="player"></div>')
        page.evaluate(script + "\n;window.AsciinemaPlayer = AsciinemaPlayer; 0")
        played = page.evaluate(PLAY.replace("CAST", json.dumps(cast)))
    assert "first ä" in played["text"]
    assert "<b>second</b>" in played["text"]
    assert "corner" in played["text"]
    assert played["markers"] == (["anna joined"] if form is Format.CAST else ["anna joined", "exit 3"])
