"""middleware.yaml: the audit log."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from gateway.config.models.base import Section
from gateway.config.values.kinds import Kind, Text, Unset, refuse
from gateway.config.values.quantities import Size

MIN_KEY = 16


def _check_key(key: SecretStr) -> SecretStr:
    if len(key.get_secret_value()) < MIN_KEY:
        raise refuse(f"a key has at least {MIN_KEY} characters; make one with openssl rand -hex 32")
    return key


AuditKey = Annotated[SecretStr, Kind("text"), AfterValidator(_check_key)]


class AuditLog(Section):
    """The audit log: one line for each request with what every rule decided about it, and who came from where, and one
    for each change that was asked of the admin API, with the holder of its token. Each line holds a hash of itself and
    of the one before it; `gateway audit verify` finds lines that were changed, removed, added or moved, and an end that
    was cut off."""

    file: Unset[Text] = Field(
        None,
        description="The file, relative to the configuration directory. Unset: there is no audit log. Beside it, a "
        "file with the ending `.head` holds where it ends.",
    )
    key: Unset[AuditKey] = Field(
        None,
        description="Key of the hashes (HMAC-SHA-256), best as `${file:...}`, and not readable for accounts that can "
        "write the log: without a key, a whole log can be forged. Change it together with `file`.",
    )
    rotate_size: Size = Field(
        100 * 1024**2,
        description="When the file is larger it is renamed, with the number of its last line at the end, and a new "
        "one begun. SIGUSR1 begins a new one, too, after something else renamed the file.",
    )
    on_failure: Literal["open", "closed"] = Field(
        "open",
        description="While the file cannot be written, lines wait in memory, up to 20,000. `open`: requests are "
        "served, and those that find no more room there are only counted. `closed`: requests are answered 503, "
        "from when it is noticed until it is written again.",
    )
