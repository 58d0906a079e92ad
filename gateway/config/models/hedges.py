"""A second attempt beside a slow first one."""

from pydantic import Field

from gateway.config.models.base import Section
from gateway.config.values.kinds import Unset
from gateway.config.values.quantities import Duration


class Hedge(Section):
    """A second attempt at another endpoint where the first takes unusually long; the first good answer wins. Of GET,
    HEAD and OPTIONS without a body only, within the retry budget."""

    after: Unset[Duration] = Field(
        None,
        description="When. Unset: after the time in which 95% of the last answers of this route came; with fewer than "
        "twenty of them, never.",
    )
