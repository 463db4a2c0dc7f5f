"""The command that begins a claim of one's own."""

import re
from pathlib import Path

from tyro.conf import Positional

from flyroom.cli._app import command

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@command("new-claim")
def new_claim(name: Positional[str], /) -> int:
    """Write a small claim that runs as it stands, to be changed into yours.

    Args:
        name: what the claim is called: small letters, digits and dashes, such as my-claim
    """
    from importlib import resources

    from flyroom import claims

    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a claim; use small letters, digits and dashes, such as my-claim")
    if name in (*claims.NAMES, claims.INDEX):
        raise ValueError(f"{name!r} is one of Flyroom's own claims or pages; choose another name")
    path = Path(f"{name.replace('-', '_')}.py")
    text = resources.files("flyroom.claims").joinpath("_skeleton.py").read_text("utf-8")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text.replace('id="hidden-layer"', f'id="{name}"'))
    except FileExistsError:
        raise FileExistsError(f"{path} is there already; choose another name, or move it away") from None
    print(f"{path}: change it, and put it to the test with: flyroom run {path}")
    return 0
