"""Lists and capabilities, requested from all servers and answered as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.errors import ErrorKind, GatewayError
from gateway.mcp.group import Asked, Group, refusal, said_by_all
from gateway.mcp.json_text import Change, as_object, written
from gateway.mcp.merging import LISTS, Missing, cursors, discovery, greeting, list_result, offers
from gateway.mcp.messages import METHOD_NOT_FOUND, BadMessage
from gateway.mcp.sealing import ServerSession, Session
from gateway.mcp.server import Server
from gateway.mcp.versions import WITH_HANDSHAKE


def taking_part(group: Group, asked: Asked, letter: str) -> list[Server]:
    """The servers of the session that offer this (see `offers`); all, where there is no session."""
    if asked.session is None:
        return list(group.servers.values())
    offering = [each.server for each in asked.session.servers if letter in each.offers]
    return [group.servers[name] for name in offering if name in group.servers]


async def begun(group: Group, asked: Asked) -> tuple[Any, Session]:
    """A session with all servers that answer, and the result of `initialize`. Raises GatewayError where none does."""
    said, missing = await said_by_all(group, asked, list(group.servers.values()))
    for name, each in list(said.items()):
        if each.message.result.get("protocolVersion") not in WITH_HANDSHAKE:
            missing.append(Missing(name, refusal(each.message) or "it speaks another version of the protocol"))
            del said[name]
    if not said:
        raise none_answers(missing)
    results = {name: each.message.result for name, each in said.items()}
    result = greeting(results, missing, group.name, group.about)
    sessions = []
    for name, each in said.items():
        own, version = each.session, results[name]["protocolVersion"]
        sessions.append(ServerSession(name, own.id, own.endpoint, version, offers(results[name])))
    return result, Session(tuple(sessions), result["protocolVersion"])


async def discovered(group: Group, asked: Asked) -> Any:
    """The result of `server/discover`, where all servers that answer know it.

    Raises BadMessage where they do not, so that clients begin a session; GatewayError where none answers.
    """
    said, missing = await said_by_all(group, asked, list(group.servers.values()))
    results = {name: each.message.result for name, each in said.items() if "result" in each.message.members}
    if not said:
        raise none_answers(missing)
    result = discovery(results, missing, group.name, group.about)
    if len(results) < len(said) or not result["supportedVersions"]:
        sentence = "not all servers know this method; begin with initialize"
        raise BadMessage(METHOD_NOT_FOUND, sentence, asked.message.id, 200)
    return result


async def listed(group: Group, asked: Asked) -> str:
    """The next pages of all servers that have some left, as one page. Raises BadMessage, GatewayError."""
    message = asked.message
    servers = taking_part(group, asked, LISTS[message.method][1])
    given = message.parameters().get("cursor")
    if given is None or given.value is None:
        if asked.session is None:
            missing = []
        else:
            reason = "it was missing when the session began"
            missing = [Missing(name, reason) for name in group.servers if asked.session.of(name) is None]
        said, more = await said_by_all(group, asked, servers)
    else:
        at = cursors(given.value, message.id)
        place = (given.start, given.end)

        def moved(server: Server) -> list[Change]:
            return [(*place, written(at[server.name]))]

        missing = []
        said, more = await said_by_all(group, asked, [each for each in servers if each.name in at], moved)
    missing += more
    pages = {name: each.message for name, each in said.items() if "result" in each.message.members}
    for name, each in said.items():
        said_why = refusal(each.message)
        if said_why and as_object(each.message.members["error"].value).get("code") != METHOD_NOT_FOUND:
            missing.append(Missing(name, said_why))
    if missing and not pages and servers:
        raise none_answers(missing)
    return list_result(message.method, pages, missing)


def none_answers(missing: Sequence[Missing]) -> GatewayError:
    """The failure of all servers."""
    reasons = "; ".join(f"{each.server}: {each.reason}" for each in missing)
    sentence = f"none of the servers answers: {reasons}"
    return GatewayError(ErrorKind.UPSTREAM_UNAVAILABLE, sentence, public_detail=sentence)
