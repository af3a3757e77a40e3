"""schemathesis against a real `serve-auth`: every operation of its document, right and wrong requests, every answer judged.

The document is read from the server, so that what is added to it is tried as well. How it is read is not repeated.
"""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
from collections import defaultdict
from pathlib import Path

import pytest

from tests.support.ptydriver import eventually
from tests.support.served import REPOSITORY, Served
from tests.support.sessions import TOKEN, Machine

HERE = Path(__file__).resolve().parent
SESSION = "fuzzed"
LOOKED_AT = "looked-at"
# Takes whatever is typed, without an end, and shows nothing of it.
SWALLOWS = "stty raw -echo; echo here; exec cat > /dev/null"
RUN = "0123456789abcdef"
LIMIT_S = 3600


def ask_everything(served: Served, directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run schemathesis; its answer for people, with a report in ``directory``."""
    opened = served.request("POST", "/api/sessions", {"sessionId": SESSION})[2].decode()
    served.request("POST", "/api/sessions", {"sessionId": "another"})
    for name in (SESSION, "another"):
        served.request("PUT", f"/api/recordings/{name}/{RUN}", "sealed")
    share = json.loads(served.request("POST", "/api/shares", {"sessionId": "another"})[2])["token"]
    prompt = {"epoch": RUN, "offset": 0, "typed": 0, "prompt": "Name:", "reads": "line"}
    link = json.loads(served.request("POST", f"/api/sessions/{SESSION}/answer-links", prompt)[2])
    # No host is there: what it would say of the answer is said before that comes.
    served.request("POST", f"/api/sessions/{SESSION}/answers/{link['tokenId']}", {"outcome": "typed"})
    environment = os.environ | {
        "CODEWRAP_FUZZ_TOKEN": served.token,
        "CODEWRAP_FUZZ_OPENED": opened,
        "CODEWRAP_FUZZ_SESSION": SESSION,
        "CODEWRAP_FUZZ_LOOKED_AT": LOOKED_AT,
        "CODEWRAP_FUZZ_SHARE": share,
        "CODEWRAP_FUZZ_ANSWER_LINK": link["token"],
        "PYTHONPATH": str(REPOSITORY),
        "NO_COLOR": "1",
    }
    script = Path(sysconfig.get_path("scripts")) / "schemathesis"
    report = ["--report", "ndjson", "--report-ndjson-path", str(directory / "report"), "--continue-on-failure"]
    command = [str(script), "--config-file", str(HERE / "schemathesis.toml"), "run", f"{served.url}/openapi.json"]
    return subprocess.run(
        [*command, *report, *options],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def statuses(report: Path) -> dict[tuple[str, str], list[int]]:
    """What each operation answered, as often as it was asked."""
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    for line in report.read_text().splitlines():
        finished = json.loads(line).get("ScenarioFinished")
        if finished is None:
            continue
        recorder = finished["recorder"]
        for name, interaction in recorder.get("interactions", {}).items():
            case, answer = recorder["cases"].get(name), interaction.get("response")
            if case is not None and answer is not None:
                found[case["value"]["path"], case["value"]["method"].lower()].append(answer["status_code"])
    return found


@pytest.mark.timeout(LIMIT_S)
def test_every_answer_to_right_and_wrong_requests_is_as_the_document_says(tmp_path: Path, examples: int, fuzz_seed: int) -> None:
    log = tmp_path / "log"
    # Behind a proxy each request may come from an address of its own: whoever guesses is not let guess for long.
    with Served(tmp_path, "--behind-proxy", settings={"AUTH_TOKEN": TOKEN}, log=log) as served:
        with Machine(tmp_path / "host", {"CODEWRAP_URL": served.url, "CODEWRAP_TOKEN": TOKEN}) as machine:
            host = machine.run("--name", LOOKED_AT, "--quiet", "--share", "write", "--", "sh", "-c", SWALLOWS)
            host.shows("here")
            eventually(lambda: LOOKED_AT.encode() in served.request("GET", "/api/sessions")[2], "it is hosted")
            done = ask_everything(served, tmp_path, "--seed", str(fuzz_seed), "--max-examples", str(examples))
        assert served.request("GET", "/healthz")[0] == 200
        document = json.loads(served.request("GET", "/openapi.json")[2])
        status, _, _ = served.stop()
    print(done.stdout[-3000:])
    assert done.returncode == 0, f"seed {fuzz_seed}: {done.stdout[-20_000:]}"
    assert status == 0
    assert "Traceback" not in log.read_text()
    answered = statuses(tmp_path / "report")
    described = {(path, method) for path, methods in document["paths"].items() for method in methods}
    described.discard(("/openapi.json", "get"))
    never = {operation for operation in described if not any(200 <= each < 300 for each in answered[operation])}
    assert never == set(), "no well-formed request to these was accepted, so that little of them was tried"
