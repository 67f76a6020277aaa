"""What all values that cross a border share: frozen, exact about their fields, and of finite size."""

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """A frozen value that travels as JSON; unknown fields are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, ser_json_bytes="base64", val_json_bytes="base64"
    )
