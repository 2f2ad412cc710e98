"""Verifies webhooks with the official library of the standard and with svix's.

A line of stdin is a webhook: {"secret", "headers", "body"}, the body in base64. A line of stdout says which of the
libraries took it.
"""

import base64
import json
import sys

import standardwebhooks
import svix.webhooks

VERIFIERS = {"standardwebhooks": standardwebhooks.Webhook, "svix": svix.webhooks.Webhook}


def takes(verifier, webhook):
    try:
        verifier(webhook["secret"]).verify(base64.b64decode(webhook["body"]), webhook["headers"])
    except standardwebhooks.WebhookVerificationError:
        return False
    return True


for line in sys.stdin:
    webhook = json.loads(line)
    print(json.dumps({name: takes(verifier, webhook) for name, verifier in VERIFIERS.items()}))
