"""What endpoints share. The rest of it is seen through them, in `test_app.py` and `api/`."""

from __future__ import annotations

import pytest

from codewrap.server.refusals import Refusal
from codewrap.server.service import field_of


def test_a_field_is_there_or_is_said_to_be_missing() -> None:
    assert field_of({"socket_id": "1.2"}, "socket_id") == "1.2"
    with pytest.raises(Refusal, match="channel_name is missing"):
        field_of({"socket_id": "1.2"}, "channel_name")
