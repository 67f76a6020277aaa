"""What moto's CloudFormation wants of a resource, and what a template may ask of one."""


class Made:
    """A resource that has been made: its Ref, and its GetAtt."""

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
