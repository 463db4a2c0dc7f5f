"""The command that looks at this installation."""

from flyroom.cli._app import DEFAULT_STORE, AsJson, StorePath, command
from flyroom.cli._terminal import print_json


@command("doctor")
def doctor(*, store: StorePath = DEFAULT_STORE, json: AsJson = False) -> int:
    """Say what is installed, what networks are trained on, and whether the store is sound."""
    from flyroom import machine
    from flyroom.store import health
    from flyroom.train import devices

    here = machine.provenance("flyroom doctor")
    state = health(store)
    names = [f"{device.platform}:{device.id} {device.device_kind}" for device in devices()]
    if json:
        found = {"version": here.version, "source": here.source, "packages": dict(here.packages)}
        print_json({**found, "machine": dict(here.machine), "devices": names, "store": state})
    else:
        print(f"flyroom {here.version} (source {here.source[:12]})")
        print("\n".join(f"  {name} {version}" for name, version in here.packages.items()))
        print("machine: " + ", ".join(f"{name} {value}" for name, value in here.machine.items()))
        print("devices: " + ", ".join(names))
        print("store:")
        print("\n".join(f"  {name}: {value}" for name, value in state.items()))
    return 0 if state["ok"] or not state["exists"] else 1
