"""Keys, tokens, plans and instances: what IAM, Global Search and the Global Catalog answer."""

from __future__ import annotations

import base64
import json
import time
from typing import Any
from urllib.parse import parse_qs

from .messages import Refusal, Reply, Request, reply_json
from .store import Store

CRN = "crn:v1:bluemix:public:quantum-computing:us-east:a/loopback:instance-1::"
PLANS = {  # name -> (identifier, the catalog's pricing type)
    "open": ("plan-open", "free"),
    "pay-as-you-go": ("plan-payg", "paygo"),
    "flex": ("plan-flex", "subscription"),
    "premium": ("plan-premium", "subscription"),
}


def _part(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


class Accounts:
    """One account with one instance; its plan is a setting."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def token(self, request: Request) -> Reply:
        """POST /identity/token."""
        key = parse_qs(request.body.decode()).get("apikey", [""])[0]
        if not key or self.store.get("reject_key"):
            message = "Provided API key could not be found."
            return reply_json({"errorCode": "BXNIM0415E", "errorMessage": message}, 400)
        now, ttl = time.time(), int(self.store.get("token_ttl"))
        claims = {"iss": "loopback", "iat": int(now), "exp": int(now) + ttl, "issued": now}
        return reply_json(
            {
                "access_token": f"{_part({'alg': 'none', 'typ': 'JWT'})}.{_part(claims)}.{_part({})}",
                "refresh_token": "not_supported",
                "token_type": "Bearer",
                "expires_in": ttl,
                "expiration": int(now) + ttl,
            }
        )

    def check(self, request: Request) -> None:
        """Raises Refusal 401 where the header is no token of ours that is still valid."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            part = token.split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
            valid = kind == "Bearer" and claims["exp"] > time.time()
            valid = valid and claims["issued"] >= self.store.get("tokens_valid_since")
        except (IndexError, ValueError, KeyError):
            valid = False
        if not valid or not request.headers.get("service-crn"):
            raise Refusal(401, 1200, "Authentication failed: the token is invalid or has expired.")

    def search(self) -> Reply:
        """POST /v3/resources/search."""
        identifier, _ = PLANS[self.store.get("plan")]
        extensions = {"backend_allocations": ["all"]}
        item = {"crn": CRN, "name": "loopback", "tags": [], "service_plan_unique_id": identifier}
        return reply_json({"items": [{**item, "doc": {"extensions": extensions}}], "limit": 100})

    def plan(self, identifier: str) -> Reply:
        """GET /{plan id} of the catalog."""
        for name, (plan, pricing) in PLANS.items():
            if plan == identifier:
                title = {"en": {"display_name": name.capitalize()}}
                return reply_json({"id": plan, "overview_ui": title, "metadata": {"pricing": {"type": pricing}}})
        raise Refusal(404, 404, f"no plan {identifier}")

    def usage(self) -> Reply:
        """GET /instances/usage."""
        limit = self.store.get("usage_limit")
        content = {
            "instance_id": CRN,
            "plan_id": PLANS[self.store.get("plan")][0],
            "usage_consumed_seconds": self.store.consumed(),
            "usage_limit_reached": self.store.limit_reached(),
        }
        return reply_json({**content, **({} if limit is None else {"usage_limit_seconds": limit})})
