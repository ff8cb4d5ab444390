from . import package_file as package_file
from .artifact import Artifact as Artifact
from .artifact import materialise as materialise
from .integrity import check as check
from .integrity import file_artifact as file_artifact
