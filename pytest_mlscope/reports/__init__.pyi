from .json_report import JsonReport as JsonReport
from .junit import junit_properties as junit_properties
from .progress import ProgressLines as ProgressLines
from .run_section import run_facts as run_facts
from .terminal import write_summary as write_summary
