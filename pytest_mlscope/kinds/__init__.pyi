from .conftests import project_registries as project_registries
from .further import checked as checked
from .further import described as described
from .further import evaluated as evaluated
from .plugins import plugin_manager as plugin_manager
from .plugins import register_shipped as register_shipped
from .plugins import shipped_registry as shipped_registry
from .shipped import SHIPPED_MEASUREMENTS as SHIPPED_MEASUREMENTS
