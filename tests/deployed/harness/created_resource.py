"""What moto's CloudFormation expects of a resource, and what a template can read from it."""


class CreatedResource:
    """A created resource, with its Ref and GetAtt values."""

    def __init__(self, physical_id: str, **attributes: str) -> None:
        self.physical_resource_id = physical_id
        self._attributes = attributes

    def get_cfn_attribute(self, name: str) -> str:
        return self._attributes[name]

    @staticmethod
    def cloudformation_name_type() -> str:
        return ""

    @classmethod
    def has_cfn_attr(cls, _attribute: str) -> bool:
        return True

    def is_created(self) -> bool:
        return True
