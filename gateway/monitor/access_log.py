"""The access log: one line for each request.

It is made at once, because bytes wait more cheaply than what they are made of; `log_writer.py` writes it.
"""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson

from gateway.errors import described
from gateway.http import Exchange, Outcome
from gateway.http.messages import Attempt
from gateway.http.redaction import shown_url, without_userinfo
from gateway.monitor.log_writer import QUEUE_BYTES, QUEUE_LIMIT, LogWriter, open_destination
from gateway.monitor.model_summary import logged

logger = logging.getLogger("gateway.access_log")

Record = dict[str, Any]

Sink = Callable[[bytes, Exchange, Outcome], None]
"""Takes a line of JSON about an exchange. Must not raise, and must not wait."""

SERVICE: Final = ("access_log",)
"""The one identity under which it lives: it outlives every reload."""
MAX_TEXT: Final = 512  # characters of a header


@dataclass(frozen=True, slots=True)
class AccessLogSettings:
    """Where the log goes, for whom it is, and what is in it."""

    output: str = "stdout"  # stdout, stderr, off, or a path
    format: Literal["json", "console"] = "json"
    fields: tuple[str, ...] = ()  # of each line; empty: all
    sample: Mapping[int, float] = field(default_factory=dict)  # the share of lines that is written, by status
    concealed: frozenset[bytes] = frozenset()  # headers that hold credentials


class AccessLog:
    """Takes requests on the event loop. Raises OSError where a file cannot be opened."""

    def __init__(self, settings: AccessLogSettings) -> None:
        self.settings = settings
        self._second = 0  # whose text is `_stamp`
        self._stamp = ""
        self._unopened = ""  # why it goes on in the old file; "": it need not
        self.sink: Sink | None = None  # which gets each line, too, as JSON
        self._writer = LogWriter(open_destination(settings.output, console=settings.format == "console"))

    def report(self, exchange: Exchange, outcome: Outcome) -> None:
        """An exchange is over. Takes a record of it; never blocks."""
        settings, sink, share = self.settings, self.sink, 1.0
        if settings.output == "off" and sink is None:
            return
        status = outcome.status
        if status in settings.sample and (status >= 400 or exchange.error is None):
            share = settings.sample[status]
            if share < 1.0 and random.random() >= share:
                return
        writer = self._writer
        queue = writer.queue
        written = settings.output != "off"
        if written and (len(queue) >= QUEUE_LIMIT or writer.put - writer.taken >= QUEUE_BYTES):
            writer.no_room()
            if sink is None:
                return
            written = False
        at = self._written_time(outcome.at)
        agent, referer = _shown_headers(exchange.fields, settings.concealed)
        record: Record | None = None
        usual = settings.format == "json" and not settings.fields and share >= 1.0
        line = _usual_line(exchange, outcome, at, agent, referer) if usual else None
        if line is None:
            record = _record(exchange, outcome, at, agent, referer)
            if exchange.model is not None:
                record["model_backend"] = exchange.model.backend or None
                record["model"] = logged(exchange.model)
            if share < 1.0:
                record["sample_rate"] = share
            if settings.fields:
                record = _chosen(record, settings.fields)
            line = _console_line(record) if settings.format == "console" else _json_line(record)
        if sink is not None:
            sink(line if record is None or settings.format == "json" else _json_line(record), exchange, outcome)
            if not written:
                return
        writer.put += len(line)
        queue.append(line)
        if len(queue) == 1:
            writer.wanted.set()

    def _written_time(self, at: float) -> str:
        """Unix time as RFC 3339 has it."""
        second = int(at)
        if second != self._second:
            self._second, self._stamp = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._stamp}.{str(1_000_000 + int((at - second) * 1e6))[1:]}Z"  # what `06d` does, for less

    def configure(self, settings: AccessLogSettings) -> None:
        """Go on like this. Raises OSError, and goes on as before, where the file cannot be opened."""
        self._writer.go_on_in(open_destination(settings.output, console=settings.format == "console"))
        self.settings, self._unopened = settings, ""

    def reopen(self) -> None:
        """The file was moved away (SIGUSR1): go on in a new one."""
        self.change(self.settings)

    def change(self, settings: AccessLogSettings) -> None:
        """Go on like this; as before where the file cannot be opened, which the log says."""
        try:
            self.configure(settings)
        except OSError as error:
            remedy = "make its directory, or let the gateway write there; then `kill -USR1` the gateway"
            reason = f"{settings.output}: {error.strerror}; {remedy}"
            self._unopened = f"the access log cannot be reopened, the old file is still used: {reason}"
            logger.warning(self._unopened)

    def troubles(self) -> Iterable[str]:
        """See `Troubled`."""
        yield from self._writer.troubles()
        if self._unopened:
            yield self._unopened

    def measures(self) -> dict[str, float]:
        """See `Measured`."""
        writer = self._writer
        return {
            "gateway_access_log_up": float(not writer.failure and not writer.waiting),
            "gateway_access_log_lost_total": writer.dropped + writer.lost,
        }

    def close(self, seconds: float = 2.0) -> None:
        """Write what is left, waiting at most `seconds` for a reader that is stuck."""
        self._writer.close(seconds)


def _shown_headers(fields: Mapping[bytes, bytes], concealed: frozenset[bytes]) -> tuple[str | None, str | None]:
    """User-Agent and Referer, without what is not for the log."""
    agent, referer = fields.get(b"user-agent"), fields.get(b"referer")
    return (
        None if agent is None or b"user-agent" in concealed else agent[:MAX_TEXT].decode("latin-1"),
        None
        if referer is None or b"referer" in concealed
        else shown_url(referer.decode("latin-1").partition("#")[0])[:MAX_TEXT],
    )


def _usual_line(exchange: Exchange, outcome: Outcome, at: str, agent: str | None, referer: str | None) -> bytes | None:
    """The line of an exchange that went as most do, put together as text, which takes less than to make a record of it
    and encode that; the same in all else.

    None for what has more to say: several attempts, an error, a refusal, a model, a cache, text that is escaped.
    """
    attempts, identity, span = exchange.attempts, exchange.identity, exchange.span
    route, upstream = exchange.route, exchange.upstream
    if (
        len(attempts) != 1
        or route is None
        or upstream is None
        or exchange.error is not None
        or exchange.claimed_consumer is not None
        or exchange.model is not None
        or exchange.cache is not None
    ):
        return None
    attempt = attempts[0]
    answered = attempt.seconds
    if answered is None or attempt.failure is not None or attempt.retry or attempt.why_not or not attempt.status:
        return None
    if attempt.queued:
        return None
    for decision in exchange.decisions:
        if decision.verdict != "allow" or decision.rule == "fallback":
            return None
    request, client, method, endpoint = exchange.request_id, exchange.client, exchange.method, attempt.endpoint
    host, path, original = exchange.host, exchange.path, exchange.original_path
    consumer = "" if identity is None else identity.consumer
    texts = f"{request}{client}{consumer}{method}{host}{path}{original}{agent}{referer}{route}{upstream}{endpoint}"
    # One call looks for all that is escaped. "@": a user may stand before it, who is left out.
    if not texts.isascii() or len(orjson.dumps(texts)) != len(texts) + 2 or "@" in texts:
        return None
    trace = "null" if exchange.trace_id is None else f'"{exchange.trace_id}"'
    own = "null" if span is None else f'"{span.id}"'
    who = "null" if identity is None else f'"{consumer}"'
    agent = "null" if agent is None else f'"{agent}"'
    referer = "null" if referer is None else f'"{referer}"'
    microseconds = int(outcome.seconds * 1e6 + 0.5)
    until_answered = int(answered * 1e6 + 0.5)
    attempted = int((attempt.waited + answered) * 1e6 + 0.5)
    # Numbers that are nearly always the same are not made into text each time.
    status = "200" if outcome.status == 200 else str(outcome.status)
    answer = status if attempt.status == outcome.status else str(attempt.status)
    received = "0" if outcome.received == 0 else str(outcome.received)
    whole = "0" if microseconds < 1_000_000 else str(microseconds // 1_000_000)
    whole_answered = "0" if until_answered < 1_000_000 else str(until_answered // 1_000_000)
    return (
        f'{{"time":"{at}","request_id":"{request}","trace_id":{trace},"span_id":{own},"client":"{client}",'
        f'"consumer":{who},"claimed_consumer":null,"method":"{method}","host":"{host}","path":"{path}",'
        f'"original_path":"{original}","user_agent":{agent},"referer":{referer},'
        f'"route":"{route}","upstream":"{upstream}","endpoint":"{endpoint}",'
        f'"status":{status},"bytes_in":{received},"bytes_out":{outcome.sent},'
        f'"duration":{whole}.{str(1_000_000 + microseconds % 1_000_000)[1:]},'
        f'"upstream_duration":{whole_answered}.{str(1_000_000 + until_answered % 1_000_000)[1:]},'
        f'"cache":null,"fallback":null,"attempts":[{{"endpoint":"{endpoint}","status":{answer},'
        f'"ms":{attempted // 1000}.{str(1000 + attempted % 1000)[1:]},"why_next":null}}],'
        '"refused_by":null,"reason":null,"error":null}\n'
    ).encode()


def _record(exchange: Exchange, outcome: Outcome, at: str, agent: str | None, referer: str | None) -> Record:
    """The log line of an exchange. Seconds are rounded to microseconds; `round` takes five times as long."""
    error, original = exchange.error, exchange.original_path
    last = exchange.attempts[-1] if exchange.attempts else None
    fallback = rule = reason = None  # what stood in the place of which failure; what refused it, and why
    for decision in exchange.decisions:
        if decision.refuses:
            rule, reason = decision.rule, decision.reason
        elif decision.rule == "fallback" and fallback is None:
            fallback = decision.reason
    return {
        "time": at,
        "request_id": exchange.request_id,
        "trace_id": exchange.trace_id,
        "span_id": None if exchange.span is None else exchange.span.id,
        "client": exchange.client,
        "consumer": exchange.identity.consumer if exchange.identity else None,
        "claimed_consumer": exchange.claimed_consumer,
        "method": exchange.method,
        "host": without_userinfo(exchange.host) if "@" in exchange.host else exchange.host,
        "path": without_userinfo(exchange.path) if "@" in exchange.path else exchange.path,
        "original_path": without_userinfo(original) if "@" in original else original,
        "user_agent": agent,
        "referer": referer,
        "route": exchange.route,
        "upstream": exchange.upstream,
        "endpoint": last and last.endpoint,
        "status": outcome.status,
        "bytes_in": outcome.received,
        "bytes_out": outcome.sent,
        "duration": int(outcome.seconds * 1e6 + 0.5) / 1e6,
        "upstream_duration": last and last.seconds and int(last.seconds * 1e6 + 0.5) / 1e6,
        "cache": exchange.cache,
        "fallback": fallback,
        "attempts": list(map(Attempt.summary, exchange.attempts)),
        "refused_by": rule,
        "reason": reason,
        "error": None if error is None else described(error),
    }


def _chosen(record: Record, fields: tuple[str, ...]) -> Record:
    """These fields, and the share of the lines that are written, without which nothing can be counted."""
    chosen = {name: record[name] for name in fields if name in record}
    if "sample_rate" in record:
        chosen["sample_rate"] = record["sample_rate"]
    return chosen


def check_output(settings: AccessLogSettings) -> None:
    """Raises OSError where it cannot be written."""
    open_destination(settings.output, console=False).close()


def _json_line(record: Record) -> bytes:
    try:
        return orjson.dumps(record) + b"\n"  # a copy of the right size: what orjson returns has room to spare
    except TypeError:  # text that is no Unicode, such as a lone surrogate in the text of an error
        return json.dumps(record, default=repr).encode() + b"\n"


def _console_line(record: Record) -> bytes:
    """One line for people: what, where to, how it ended, how long it took."""
    at = record["time"][11:19]
    where = f"{record['route'] or '-'} -> {record.get('model_backend') or record['endpoint'] or '-'}"
    seconds = record["duration"]
    line = f"{at} {record['status']} {record['method']} {record['path']}  {where}  {seconds * 1000:.1f} ms"
    if record["error"]:
        line += f"  ({record['error']})"
    return "".join(character if character.isprintable() else "?" for character in line).encode() + b"\n"
