"""Where the endpoints of a service are found, in place of a list in the file."""

from pydantic import Field, model_validator

from gateway.config.models.base import Model
from gateway.config.models.registries import Etcd
from gateway.config.values.kinds import Text, Unset, refuse

SOURCES = ("file", "etcd")


class Discovery(Model):
    """Where the endpoints of a service are found. Exactly one source."""

    file: Unset[Text] = Field(
        None,
        description="A file with a list of instances (YAML or JSON), relative to the configuration directory. It is "
        "watched: a change is used within a second, without a reload.",
        examples=["registry/legacy.yaml"],
    )

    etcd: Unset[Etcd] = Field(None, description="Keys of etcd.")

    @model_validator(mode="after")
    def _is_one(self) -> "Discovery":
        if sum(getattr(self, source) is not None for source in SOURCES) != 1:
            raise refuse(f"discovery needs exactly one source: {', '.join(SOURCES)}")
        return self
