"""Settings of the response cache that have no effect."""

from collections.abc import Iterator

from gateway.config.models import Configuration
from gateway.config.models.cache import Cache
from gateway.config.problems import Fault


def idle_on_routes(configuration: Configuration) -> Iterator[Fault]:
    """Routes with a cache that nothing is ever stored for."""
    for index, route in enumerate(configuration.routes.routes):
        if route.cache is None or not route.cache.enabled or not configuration.says_itself(index, "cache"):
            continue
        place = ("routes", index, "cache")
        if route.answered_here:
            yield Fault(place, f"{route.answered_here} is answered by the gateway itself, and not stored; remove this")
        elif route.methods is not None and not {"GET", "HEAD"}.intersection(route.methods):
            yield Fault(place, "only answers to GET and HEAD are stored, and the route takes neither; remove this")


def credentials_everywhere(configuration: Configuration) -> Iterator[Fault]:
    """Routes with a cache that no request may use, because all that pass have an identity, anonymous ones too."""
    for index, route in enumerate(configuration.routes.routes):
        if route.cache is None or not route.cache.enabled or route.cache.with_credentials:
            continue
        if (configuration.auth.default if route.auth is None else route.auth) and configuration.says_itself(
            index, "cache"
        ):
            message = (
                "it has no effect: every caller has an identity, and responses to such requests are not stored; add "
            )
            message += "with_credentials: true where all may share what responses declare public, or remove this"
            yield Fault(("routes", index, "cache"), message, show_value=False)


def larger_than_the_store(configuration: Configuration) -> Iterator[Fault]:
    """Bodies that are allowed, and that the store does not take."""
    config = configuration.middleware.cache
    if config is not None and config.max_body > (most := _most(config)):
        yield Fault(("cache", "max_body"), f"{_said(config, most)}; make size larger, or this smaller")


def larger_than_the_store_on_routes(configuration: Configuration) -> Iterator[Fault]:
    """The same for what routes allow."""
    config = configuration.middleware.cache or Cache()
    for index, route in enumerate(configuration.routes.routes):
        if (
            route.cache is not None
            and route.cache.max_body is not None
            and route.cache.max_body > (most := _most(config))
        ):
            yield Fault(("routes", index, "cache", "max_body"), f"{_said(config, most)}; make this smaller")


def _most(config: Cache) -> int:
    return config.size // 16 if config.store == "memory" else config.size


def _said(config: Cache, most: int) -> str:
    share = "a sixteenth of cache.size" if config.store == "memory" else "cache.size"
    return f"the store keeps nothing larger than {share}, {most} bytes"


def kept_longer(configuration: Configuration) -> Iterator[Fault]:
    """Responses that are to be used for longer than they are to be kept."""
    config = configuration.middleware.cache
    if config is None or "keep_stale" not in config.model_fields_set:
        return
    for key in ("stale_if_error", "stale_while_revalidate"):
        if config.keep_stale < (seconds := getattr(config, key)):
            message = f"it has no effect: responses are kept for the {seconds:g} s of {key}; make one the other"
            yield Fault(("cache", "keep_stale"), message)
            return
