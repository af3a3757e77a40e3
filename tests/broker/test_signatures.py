"""Signatures, against the published vectors and against what must not pass."""

from __future__ import annotations

import hashlib
from urllib.parse import quote

import pusher
import pytest

from codewrap.broker import signatures
from codewrap.broker.apps import App
from codewrap.broker.refusals import Refusal
from codewrap.broker.signatures import ApiRequest, check_request

VECTOR = App("3", "278d425bdf160c739803", "7ad3773142a6692b25b8")
BODY = b'{"name":"foo","channels":["project-3"],"data":"{\\"some\\":\\"data\\"}"}'
NOW = 1353088179
QUERY = (
    f"auth_key={VECTOR.key}&auth_timestamp={NOW}&auth_version=1.0&body_md5=ec365a775a4cd0599faeb73354201b6f"
    "&auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"
)


def signed(path: str = "/apps/3/channels", body: bytes = b"", method: str = "GET", **more: str) -> ApiRequest:
    """Signed as the protocol says, then escaped for the wire."""
    fields = {"auth_key": VECTOR.key, "auth_timestamp": str(NOW), "auth_version": "1.0", **more}
    if body:
        fields.setdefault("body_md5", hashlib.md5(body).hexdigest())
    text = "&".join(f"{name.lower()}={fields[name]}" for name in sorted(fields, key=str.lower))
    fields["auth_signature"] = signatures.hex_digest(VECTOR, f"{method}\n{path}\n{text}")
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in fields.items())
    return ApiRequest.of(method, f"{path}?{query}", body)


def refused(request: ApiRequest, now_s: float = NOW) -> Refusal:
    with pytest.raises(Refusal) as caught:
        check_request(VECTOR, request, now_s, 600)
    assert VECTOR.secret not in str(caught.value)
    return caught.value


def test_the_published_request_vector_passes() -> None:
    request = ApiRequest.of("post", f"/apps/3/events?{QUERY}", BODY)
    assert check_request(VECTOR, request, NOW, 600)["auth_key"] == VECTOR.key


def test_channel_and_user_signatures_are_those_of_the_official_library() -> None:
    official = pusher.Pusher(VECTOR.app_id, VECTOR.key, VECTOR.secret)
    assert signatures.channel_auth(VECTOR, "1.2", "private-a") == official.authenticate("private-a", "1.2")["auth"]
    presence = official.authenticate("presence-a", "1.2", {"user_id": "u"})
    assert signatures.channel_auth(VECTOR, "1.2", "presence-a", presence["channel_data"]) == presence["auth"]
    user = official.authenticate_user("1.2", {"id": "ann"})
    assert signatures.user_auth(VECTOR, "1.2", user["user_data"]) == user["auth"]


def test_values_are_signed_unescaped_and_names_in_lower_case() -> None:
    parameters = check_request(VECTOR, signed(Info="user_count,cache", filter_by_prefix="a&b +c"), NOW, 600)
    assert parameters["info"] == "user_count,cache"
    assert parameters["filter_by_prefix"] == "a&b +c"


def test_a_library_that_signs_what_it_sends_passes_too() -> None:
    fields = f"auth_key={VECTOR.key}&auth_timestamp={NOW}&auth_version=1.0&info=a%2Cb"
    signature = signatures.hex_digest(VECTOR, f"GET\n/apps/3/channels\n{fields}")
    request = ApiRequest.of("GET", f"/apps/3/channels?{fields}&auth_signature={signature}", b"")
    assert check_request(VECTOR, request, NOW, 600)["info"] == "a,b"


@pytest.mark.parametrize("more", [{}, {"info": "a b"}])
def test_empty_parameters_do_not_matter(more: dict[str, str]) -> None:
    request = signed(**more)
    assert check_request(VECTOR, ApiRequest("GET", request.path, f"&{request.query}&", b""), NOW, 600)


def test_the_md5_of_an_empty_body_is_accepted() -> None:
    assert check_request(VECTOR, signed(body_md5=hashlib.md5(b"").hexdigest()), NOW, 600)


@pytest.mark.parametrize("seconds", [-600, 600])
def test_clocks_may_differ_by_ten_minutes(seconds: int) -> None:
    assert check_request(VECTOR, signed(), NOW + seconds, 600)
    assert "not within 600s" in refused(signed(), NOW + seconds * 1.01).reason


@pytest.mark.parametrize(
    "change",
    [
        {"auth_key": "other"},
        {"auth_version": "2.0"},
        {"auth_timestamp": ""},
        {"auth_timestamp": "soon"},
        {"auth_timestamp": "²"},
        {"auth_timestamp": "1" * 30},
        {"body_md5": "00"},
    ],
)
def test_a_wrong_field_is_refused_though_it_is_rightly_signed(change: dict[str, str]) -> None:
    assert refused(signed(**change)).code == 401


def test_a_body_must_be_the_one_that_was_signed() -> None:
    request = signed(body=b"{}", method="POST")
    assert check_request(VECTOR, request, NOW, 600)
    assert "body_md5" in refused(ApiRequest("POST", request.path, request.query, b"{} ")).reason
    unsigned = signed(method="POST")
    assert "body_md5" in refused(ApiRequest("POST", unsigned.path, unsigned.query, b"{}")).reason


def test_what_was_signed_must_be_what_is_asked() -> None:
    request = signed(info="user_count")
    assert refused(ApiRequest("GET", "/apps/3/other", request.query, b"")).code == 401
    assert refused(ApiRequest("POST", request.path, request.query, b"")).code == 401
    assert refused(ApiRequest("GET", request.path, request.query.replace("user", "cash"), b"")).code == 401
    assert refused(ApiRequest("GET", request.path, request.query.replace("auth_signature", "x"), b"")).code == 401


def test_a_parameter_given_twice_or_too_many_of_them_are_refused() -> None:
    request = signed()
    assert refused(ApiRequest("GET", request.path, f"{request.query}&Auth_Key=x", b"")).code == 400
    assert refused(ApiRequest("GET", request.path, "&".join(f"a{n}=1" for n in range(65)), b"")).code == 400


def test_subscriptions_and_sign_ins_are_checked() -> None:
    auth = signatures.channel_auth(VECTOR, "1.2", "private-a", "data")
    signatures.check_channel_auth(VECTOR, auth, "1.2", "private-a", "data")
    for wrong in (None, 1, "", auth + "0", auth.upper()):
        with pytest.raises(Refusal) as caught:
            signatures.check_channel_auth(VECTOR, wrong, "1.2", "private-a", "data")
        assert "1.2:private-a:data" in caught.value.reason
    auth = signatures.user_auth(VECTOR, "1.2", "{}")
    signatures.check_user_auth(VECTOR, auth, "1.2", "{}")
    for wrong in (None, "\ud800", auth + "0"):
        with pytest.raises(Refusal) as caught:
            signatures.check_user_auth(VECTOR, wrong, "1.2", "{}")
        assert caught.value.code == 4009
