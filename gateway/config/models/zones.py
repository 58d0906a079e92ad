"""middleware.yaml: where this gateway stands."""

from typing import Annotated

from pydantic import Field

from gateway.config.models.base import Section
from gateway.config.values.kinds import Text

Share = Annotated[float, Field(gt=0, le=1_000_000)]


class Zones(Section):
    """Zones of a data centre or cloud. Requests stay in the zone of the gateway as far as its endpoints can take them,
    where a service has at least 6 endpoints that are up; what they cannot take goes to the zones with room.
    """

    own: Text = Field(
        "", description="The zone of this gateway, such as `${ZONE}`. Empty: zones make no difference.", examples=["a"]
    )
    gateways: dict[Text, Share] = Field(
        {}, description="How many gateways each zone has. None given: the same number in each."
    )
