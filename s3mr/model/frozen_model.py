"""Define the base class of values that travel between processes: frozen, with known fields and a bounded size."""

from pydantic import BaseModel, ConfigDict

from s3mr import limits


class FrozenModel(BaseModel):
    """A frozen value that travels as JSON. Unknown fields are refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        ser_json_bytes="base64",
        val_json_bytes="base64",
        str_max_length=limits.ITEM_BYTES_MAX,  # with a limit, pydantic also refuses text that is not valid UTF-8
    )
