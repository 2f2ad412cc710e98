"""Is this webhook from whom it says, unchanged and fresh? After Standard Webhooks."""

import base64
import hashlib
import hmac
import json
import re
import time
from typing import Any, Iterable, List, Protocol, Sequence, Tuple, Union, cast

from .errors import WebhookError
from .models import WebhookEvent


class Headers(Protocol):
    """The headers of a request, as frameworks have them."""

    def items(self) -> Iterable[Tuple[str, Any]]:
        """Names with their values."""


def verify_webhook(
    raw_body: Union[bytes, bytearray, memoryview, str],
    headers: Headers,
    secrets: Union[str, Sequence[str]],
    *,
    tolerance_seconds: float = 300,
) -> WebhookEvent:
    """Verifies a webhook, and gives what it says. While a key is rotated, pass the old and the new secret.

    `raw_body` is the body as it arrived: parsed and written again, it may be other bytes. Deduplicate by the header
    `webhook-id`: a delivery whose answer was lost comes again. `tolerance_seconds` is how far the sender's clock may be
    from this one, in either direction.

    Raises `WebhookError` if it is to be refused: answer 401. Raises `ValueError` or `TypeError` if a secret is none, or
    the body is no longer raw.
    """
    keys = [_key(secret) for secret in ([secrets] if isinstance(secrets, str) else secrets)]
    if not keys:
        raise ValueError("there is no secret to verify with")
    if not tolerance_seconds >= 0:
        raise ValueError("tolerance_seconds is a number of seconds")
    if not isinstance(raw_body, (bytes, bytearray, memoryview, str)):
        raise TypeError("raw_body is the body as it arrived, text or bytes: verify before it is parsed")
    body = _bytes(raw_body) if isinstance(raw_body, str) else bytes(raw_body)
    webhook_id = _header(headers, "webhook-id")
    timestamp = _header(headers, "webhook-timestamp")
    signatures = _header(headers, "webhook-signature")

    signed = _bytes(f"{webhook_id}.{timestamp}.") + body
    # Other versions may stand beside ours. Bytes, because text that is not ASCII can't be compared.
    candidates = [_bytes(signature[len("v1,") :]) for signature in signatures.split(" ") if signature.startswith("v1,")]
    matches = False
    for key in keys:
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
        # No early end: the time must not tell which secret it was.
        for candidate in candidates:
            matches = hmac.compare_digest(expected, candidate) or matches
    if not matches:
        raise WebhookError("signature", "no signature in webhook-signature matches")

    # After the signature, so that "stale" is only ever said of a genuine webhook.
    if not re.fullmatch("[0-9]{1,15}", timestamp):
        raise WebhookError("timestamp", "webhook-timestamp is not in Unix seconds")
    age = int(time.time()) - int(timestamp)
    if abs(age) > tolerance_seconds:
        off = f"{age} s behind" if age > 0 else f"{-age} s ahead of"
        raise WebhookError("stale", f"webhook-timestamp is {off} this clock, {tolerance_seconds:g} s are allowed")
    return _event(body)


def _header(headers: Headers, name: str) -> str:
    values: List[Any] = [value for other, value in headers.items() if other.lower() == name]
    if len(values) != 1 or not isinstance(values[0], str) or not values[0]:
        raise WebhookError("header", f"{name} is missing")
    return values[0]


def _key(secret: str) -> bytes:
    """The key in `whsec_{base64}`."""
    if not isinstance(secret, str) or not secret.startswith("whsec_"):
        raise ValueError("a secret starts with whsec_")
    try:
        key = base64.b64decode(secret[len("whsec_") :], validate=True)
    except ValueError:
        raise ValueError("what follows whsec_ is not base64") from None
    if not 24 <= len(key) <= 64:
        raise ValueError("a secret has 24 to 64 bytes")
    return key


def _bytes(text: str) -> bytes:
    """What can't be written in UTF-8 was not signed: any other bytes do."""
    return text.encode("utf-8", "backslashreplace")


def _event(body: bytes) -> WebhookEvent:
    try:
        said = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise WebhookError("body", "the body is not JSON") from error
    if not (isinstance(said, dict) and "type" in said and "data" in said):
        raise WebhookError("body", "the body is not an event: is the format of this endpoint `full`?")
    return cast(WebhookEvent, said)
