"""The table of commands, and the options that several of them share."""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg
from tyro.extras import SubcommandApp

app = SubcommandApp()

StorePath = Annotated[Path, arg(help="directory of the store", metavar="DIR")]
AsJson = Annotated[bool, arg(help="print the result as JSON and nothing else")]
DEFAULT_STORE = Path("flyroom-store")
