from .file_report import FileReport as FileReport
from .junit import junit_properties as junit_properties
from .progress import ProgressLines as ProgressLines
from .run_section import run_facts as run_facts
from .shipped import SHIPPED_REPORTS as SHIPPED_REPORTS
from .terminal import write_summary as write_summary
