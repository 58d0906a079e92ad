"""Consumers of Kong, their credentials and groups."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256

from gateway.auth import password as passwords
from gateway.importing.description import Description, Reference, Settings
from gateway.importing.tree import Item
from gateway.importing.variables import filled_in

_UNKNOWN = {
    "hmacauth_credentials": "signatures of Kong are a draft that RFC 9421 replaced: see `http_signature` of auth.yaml",
    "oauth2_credentials": "the gateway issues no tokens; use `jwt` or `introspection` with a server that does",
    "mtls_auth_credentials": "name the certificate under `certificates` of the consumer, by fingerprint or subject",
}


def groups_of(root: Item) -> dict[str, list[str]]:
    """The members of consumer groups, where the groups name them."""
    members: dict[str, list[str]] = {}
    for group in root.items("consumer_groups"):
        group.ignore_keys("id", "tags")
        name = group.text("name")
        for member in group.items("consumers"):
            members.setdefault(member.own_text or member.text("username"), []).append(name)
            member.ignore()
        group.said(f"group {name} of consumers")
    return members


def read(root: Item, description: Description) -> None:
    """Add all consumers with their credentials."""
    groups = groups_of(root)
    for item in root.items("consumers"):
        item.ignore_keys("id", "tags", "created_at", "updated_at")
        name = item.text("username") or item.text("custom_id")
        if not name:
            item.unsaid("it has no name")
            continue
        if item.get("username") and item.get("custom_id"):
            item.differs("backends get the name, in X-Consumer-Name; there is no second one", "custom_id")
        if identity := item.text("id"):
            description.consumer_ids[identity] = name
        consumer: Settings = {"name": name}
        description.consumers[name] = consumer
        member_of = [*groups.get(name, []), *(g.own_text or g.text("name") for g in item.items("groups"))]
        for kind, below in _credentials(root, item, name):
            below.ignore_keys("id", "tags", "created_at")
            below.ignore_default("ttl", None)
            if kind == "acls":
                member_of.append(below.text("group"))
            elif kind in _ADD:
                _ADD[kind](below, consumer, description)
            else:
                below.unsaid(_UNKNOWN[kind])
            below.said(f"consumer {consumer['name']}: {_OURS.get(kind, kind)}")
        if member_of:
            consumer["groups"] = list(dict.fromkeys(member_of))
        item.said(f"consumer {name}")


def _credentials(root: Item, consumer: Item, name: str) -> Iterator[tuple[str, Item]]:
    for key in (*_OURS, *_UNKNOWN):
        for item in consumer.items(key):
            yield key, item
        for item in root.items(key):
            owner = item.get("consumer")
            if owner is not None and (owner.own_text or owner.text("username")) == name:
                yield key, item


def _add_key(item: Item, consumer: Settings, description: Description) -> None:
    key = filled_in(item.get("key"), description, "a key of at least 16 characters; of a shorter one write its `hash`")
    if not key:
        item.unsaid("Kong makes this key up itself; export the key, or make one with `gateway keys new`")
        return
    digest = "sha256:" + sha256(key.encode()).hexdigest()
    consumer.setdefault("keys", []).append({"key": key} if isinstance(key, Reference) else {"hash": digest})


def _add_password(item: Item, consumer: Settings, description: Description) -> None:
    name, password = filled_in(item.get("username"), description), filled_in(item.get("password"), description)
    if re.fullmatch("[0-9a-f]{40}", password):
        item.unsaid("this hash is in a format of Kong that only Kong can verify; set the password anew")
    elif not password:
        item.unsaid("the password is not in the file: see `gateway keys password`")
    elif "basic" in consumer:
        item.unsaid("a consumer has one user name; make another consumer for this one")
    else:
        hashed: str = str(passwords.make(password))
        if isinstance(password, Reference):
            description.report.variables.pop(password[2:-1], None)
            what = f"what `gateway keys password` prints for {password[2:-1]}"
            hashed = description.secret(f"{password[2:-1]}_HASH", item.place, what, hashed)
        consumer["basic"] = {"username": name, "password": hashed}


def _add_issuer(item: Item, consumer: Settings, description: Description) -> None:
    key, algorithm = filled_in(item.get("key"), description), item.text("algorithm", "HS256")
    issuer: Settings = {"issuer": key, "audiences": [], "algorithms": [algorithm]}
    secret, public = item.get("secret"), item.get("rsa_public_key")
    if not key:
        item.unsaid("Kong makes its key up, which tokens name as their issuer; export it")
        return
    if algorithm in ("HS256", "HS384", "HS512"):
        if secret is None:
            item.unsaid("Kong makes this secret up itself; export it")
            return
        text = filled_in(secret, description)
        if len(text.encode()) < int(algorithm[2:]) // 8 and not isinstance(text, Reference):
            secret.differs(
                f"it is shorter than the {int(algorithm[2:]) // 8} bytes that are asked for here: make another"
            )
        named = f"{consumer['name']}_JWT_SECRET"
        issuer["secret"] = text if isinstance(text, Reference) else description.secret(named, secret.place)
    elif public is not None:
        issuer["key"] = filled_in(public, description)
        if secret is not None:
            secret.ignore()
    issuer["claims"] = {"consumer": "iss"}
    description.issuers.append(issuer)
    consumer.setdefault("subjects", []).append({"subject": key, "issuer": key})


_ADD = {"keyauth_credentials": _add_key, "basicauth_credentials": _add_password, "jwt_secrets": _add_issuer}
"""What becomes of each kind of credentials."""

_OURS = {"keyauth_credentials": "key", "basicauth_credentials": "basic", "jwt_secrets": "jwt", "acls": "acl"}
