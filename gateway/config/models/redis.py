"""middleware.yaml: the Redis that counts for several replicas."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from gateway.config.models.base import Model
from gateway.config.values.kinds import Kind, TextLike
from gateway.config.values.quantities import Duration


def _check_redis_url(url: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(url.get_secret_value())
        right = parts.scheme in ("redis", "rediss") and parts.hostname and parts.port != 0
    except ValueError:
        right = False
    if not right:
        message = "expected redis://[user:password@]host[:port][/database], or rediss:// for TLS"
        raise PydanticCustomError("pointed", "{message}{hint}", {"message": message, "hint": ""})  # without the value
    return url


RedisUrl = Annotated[SecretStr, Kind("redis URL"), AfterValidator(_check_redis_url)]
RedisPrefix = Annotated[
    str,
    TextLike(  # without braces, which have a meaning in the keys of a cluster
        "text",
        "[A-Za-z0-9:._/-]{1,100}",
        "expected at most 100 letters, digits and any of : . _ - /, such as staging:",
    ),
]


class Redis(Model):
    """A Redis server (6 or newer), for limits and quotas that hold for several replicas together."""

    url: RedisUrl = Field(description="Where it is.", examples=["redis://redis:6379/0"])
    timeout: Duration = Field(
        0.02,
        le=1,
        description="The longest time that a request waits for it, for all of its limits together. Delays of the "
        "gateway itself do not count.",
    )
    prefix: RedisPrefix = Field(
        "gateway:",
        description="The prefix of all keys. Gateways with the same one share counts and blocks; unrelated gateways "
        "need different ones.",
        examples=["staging:"],
    )
