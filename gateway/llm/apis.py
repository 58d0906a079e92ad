"""Which API of a model provider a request is for, by its method and path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote, unquote

Family = Literal["openai", "anthropic", "gemini"]


@dataclass(frozen=True, slots=True, eq=False)
class Api:
    """One API, of which there is one object. Only those that generate have tokens of output, may stream, and may have a
    limit of output."""

    name: str
    family: Family
    generates: bool = False
    metered: bool = True  # an answer costs tokens, where the provider says how many
    reads_body: bool = True  # a request has a body that names the model
    session: bool = False  # a request opens a session: budgets let it in, and what is said within is not counted
    stored: str = ""  # what a request is about that a provider has stored, by its id or in a list
    forms: bool = False  # what is sent may be a form
    opaque: bool = False  # what comes is a file, of which nothing is read


CHAT: Final = Api("openai.chat", "openai", generates=True)
RESPONSES: Final = Api("openai.responses", "openai", generates=True)
RESPONSE_TOKENS: Final = Api("openai.response_tokens", "openai", metered=False)
RESPONSES_BY_ID: Final = Api("openai.responses_by_id", "openai", metered=False, reads_body=False, stored="response")
CHAT_STORED: Final = Api("openai.chat_stored", "openai", metered=False, reads_body=False, stored="chat completion")
COMPLETIONS: Final = Api("openai.completions", "openai", generates=True)
EMBEDDINGS: Final = Api("openai.embeddings", "openai")
IMAGES: Final = Api("openai.images", "openai", forms=True)
AUDIO: Final = Api("openai.audio", "openai", forms=True)
MODERATIONS: Final = Api("openai.moderations", "openai")
FILES: Final = Api("openai.files", "openai", metered=False, reads_body=False, stored="file", forms=True)
FILE_CONTENT: Final = Api("openai.files", "openai", metered=False, reads_body=False, stored="file", opaque=True)
BATCH: Final = Api("openai.batch", "openai", metered=False, stored="batch")
BATCHES: Final = Api("openai.batches", "openai", metered=False, reads_body=False, stored="batch")
CONVERSATIONS: Final = Api("openai.conversations", "openai", metered=False, reads_body=False, stored="conversation")
MESSAGES: Final = Api("anthropic.messages", "anthropic", generates=True)
COUNT_TOKENS: Final = Api("anthropic.count_tokens", "anthropic", metered=False)
MESSAGE_FILES: Final = Api("anthropic.files", "anthropic", metered=False, reads_body=False, stored="file", forms=True)
MESSAGE_FILE_CONTENT: Final = Api(
    "anthropic.files", "anthropic", metered=False, reads_body=False, stored="file", opaque=True
)
MESSAGE_BATCH: Final = Api("anthropic.batch", "anthropic", metered=False, stored="batch")
MESSAGE_BATCHES: Final = Api("anthropic.batches", "anthropic", metered=False, reads_body=False, stored="batch")
MESSAGE_RESULTS: Final = Api(
    "anthropic.batches", "anthropic", metered=False, reads_body=False, stored="batch", opaque=True
)
GENERATE: Final = Api("gemini.generate", "gemini", generates=True)
GEMINI_COUNT: Final = Api("gemini.count", "gemini", metered=False)
GEMINI_EMBED: Final = Api("gemini.embed", "gemini")
MODELS: Final = Api("models", "openai", metered=False, reads_body=False)
GEMINI_MODELS: Final = Api("models", "gemini", metered=False, reads_body=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A request for an API, as far as its path says."""

    api: Api
    path: str
    model: str = ""  # of a path that names it: those of Gemini, and of one model of a list
    stream: bool = False  # a path of Gemini that asks for a stream
    id: str = ""  # of what a provider has stored; empty where it is created, or listed

    def path_for(self, model: str) -> str:
        """The path for another model: another path only where it names the model, as Gemini's do."""
        if self.api.family != "gemini" or not self.model:
            return self.path
        named = _GEMINI_PATH.fullmatch(self.path)
        return self.path if named is None else f"{named[1]}{quote(model, safe='/')}:{named[3]}"


_EXACT: Final = {
    "/v1/chat/completions": CHAT,
    "/v1/responses": RESPONSES,
    "/v1/responses/compact": RESPONSES,
    "/v1/responses/input_tokens": RESPONSE_TOKENS,
    "/v1/completions": COMPLETIONS,
    "/v1/embeddings": EMBEDDINGS,
    "/v1/moderations": MODERATIONS,
    "/v1/messages": MESSAGES,
    "/v1/messages/count_tokens": COUNT_TOKENS,
}
_CALLS: Final = {path: Call(api, path) for path, api in _EXACT.items()}
_GEMINI: Final = {
    "generateContent": (GENERATE, False),
    "streamGenerateContent": (GENERATE, True),
    "countTokens": (GEMINI_COUNT, False),
    "embedContent": (GEMINI_EMBED, False),
    "batchEmbedContents": (GEMINI_EMBED, False),
}
_GEMINI_PATH: Final = re.compile(r"(/v1(?:beta|alpha)?/models/)(.+)(?::|%3[Aa])([A-Za-z]+)")
_STEPS: Final = frozenset({"", ".", ".."})
"""Parts that a model's name must not have: as path segments they would lead elsewhere at a provider."""

_MODEL_LIST: Final = re.compile(r"/v1(beta|alpha)?/models(?:/(.+))?")
_RESPONSE: Final = re.compile(r"/v1/responses/([A-Za-z0-9_-]+)(?:/(cancel|input_items))?")
_STORED_CHAT: Final = re.compile(r"/v1/chat/completions(?:/([A-Za-z0-9_-]+)(/messages)?)?")
_FORMS: Final = re.compile(r"/v1/(images|audio)/[a-z_/-]+")
_KEPT: Final = re.compile(
    r"/v1/(files|batches|conversations|messages/batches)(?:/([A-Za-z0-9_-]+)(/[a-z]+)?(/[A-Za-z0-9_-]+)?)?"
)
_KEPT_APIS: Final = {  # by what it is, the method, and what stands behind the id; None: there is no id
    ("files", "POST", None): FILES,
    ("files", "GET", None): FILES,
    ("files", "GET", ""): FILES,
    ("files", "DELETE", ""): FILES,
    ("files", "GET", "/content"): FILE_CONTENT,
    ("batches", "POST", None): BATCH,
    ("batches", "GET", None): BATCHES,
    ("batches", "GET", ""): BATCHES,
    ("batches", "POST", "/cancel"): BATCHES,
    ("messages/batches", "POST", None): MESSAGE_BATCH,
    ("messages/batches", "GET", None): MESSAGE_BATCHES,
    ("messages/batches", "GET", ""): MESSAGE_BATCHES,
    ("messages/batches", "DELETE", ""): MESSAGE_BATCHES,
    ("messages/batches", "POST", "/cancel"): MESSAGE_BATCHES,
    ("messages/batches", "GET", "/results"): MESSAGE_RESULTS,
    ("conversations", "POST", None): CONVERSATIONS,
    ("conversations", "GET", ""): CONVERSATIONS,
    ("conversations", "POST", ""): CONVERSATIONS,
    ("conversations", "DELETE", ""): CONVERSATIONS,
    ("conversations", "GET", "/items"): CONVERSATIONS,
    ("conversations", "POST", "/items"): CONVERSATIONS,
    ("conversations", "GET", "/items/*"): CONVERSATIONS,
    ("conversations", "DELETE", "/items/*"): CONVERSATIONS,
}
ISSUED: Final = frozenset({*_KEPT_APIS.values(), MESSAGE_FILES, MESSAGE_FILE_CONTENT})
"""Those of files, batches and conversations, whose ids say who issued them."""

_OF_MESSAGES: Final = {FILES: MESSAGE_FILES, FILE_CONTENT: MESSAGE_FILE_CONTENT}


def find(method: str, path: str, *, anthropic: bool = False) -> Call | None:
    """The operation of a request; None if no API has this method and path. The path is without its query.
    `anthropic`: its headers are those of that SDK, which has some paths in common with OpenAI's."""
    if method == "POST":
        return _CALLS.get(path) or _kept(method, path, anthropic) or _posted(path)
    if method in ("GET", "HEAD") and (listed := _MODEL_LIST.fullmatch(path)):
        return Call(GEMINI_MODELS if listed[1] else MODELS, path, model=unquote(listed[2] or ""))
    if method in ("GET", "DELETE") and (by_id := _RESPONSE.fullmatch(path)):
        allowed = by_id[2] is None if method == "DELETE" else by_id[2] != "cancel"
        return Call(RESPONSES_BY_ID, path, id=by_id[1]) if allowed else None
    if method in ("GET", "DELETE") and (stored := _STORED_CHAT.fullmatch(path)):
        allowed = method == "GET" or bool(stored[1] and not stored[2])
        return Call(CHAT_STORED, path, id=stored[1] or "") if allowed else None
    return _kept(method, path, anthropic)


def _kept(method: str, path: str, anthropic: bool) -> Call | None:
    """A file, batch or conversation, all of a kind, or a new one."""
    found = _KEPT.fullmatch(path)
    if found is None:
        return None
    kind, id, behind, item = found.groups()
    rest = None if id is None else (behind or "") + ("/*" if item else "")
    api = _KEPT_APIS.get((kind, method, rest))
    if api is None:
        return None
    return Call(_OF_MESSAGES.get(api, api) if anthropic else api, path, id=id or "")


def _posted(path: str) -> Call | None:
    if file := _FORMS.fullmatch(path):
        return Call(IMAGES if file[1] == "images" else AUDIO, path)
    if (by_id := _RESPONSE.fullmatch(path)) and by_id[2] == "cancel":
        return Call(RESPONSES_BY_ID, path, id=by_id[1])
    if (stored := _STORED_CHAT.fullmatch(path)) and not stored[2]:
        return Call(CHAT_STORED, path, id=stored[1])
    if (named := _GEMINI_PATH.fullmatch(path)) and named[3] in _GEMINI:
        api, stream = _GEMINI[named[3]]
        model = unquote(named[2])
        return Call(api, path, model=model, stream=stream) if _STEPS.isdisjoint(model.split("/")) else None
    return None
