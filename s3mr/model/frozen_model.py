"""What all values that cross a border share: frozen, exact about their fields, and of finite size."""

from pydantic import BaseModel, ConfigDict

from s3mr import limits


class FrozenModel(BaseModel):
    """A frozen value that travels as JSON; unknown fields are refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        ser_json_bytes="base64",
        val_json_bytes="base64",
        str_max_length=limits.ITEM_BYTES_MAX,  # with a bound, text that no UTF-8 can carry is refused, too
    )
