"""Redfish BMCs of the lab: sushy-tools' emulator with the lab's machines behind it.

usage: redfish.py, its settings as one JSON object on standard input:
    control   path of the keeper's socket
    user, password_file, state_dir
    nodes     [{number, name, uuid, mac, address, port, boot_mode}]

Every node has an endpoint of its own, on its BMC's address, which shows that
node alone, as real BMCs do. Says "ready" when all of them listen.
"""

import json
import os
import socket
import sys
import threading

import bcrypt
import flask
from sushy_tools import error
from sushy_tools.emulator import main as emulator
from sushy_tools.emulator.resources.systems import fakedriver
from werkzeug.serving import make_server

SETTINGS = json.load(sys.stdin)
NODES = {node["uuid"]: node for node in SETTINGS["nodes"]}
OPS = {
    "On": "on",
    "ForceOn": "on",
    "ForceOff": "off",
    "GracefulShutdown": "shutdown",
    "ForceRestart": "reset",
    "GracefulRestart": "reset",
    "PowerCycle": "reset",
}
DEVICES = {"Pxe": "pxe", "Hdd": "disk"}
KEEPER_LIMIT = 30  # seconds


def ask(request):
    """Asks the keeper: one JSON line each way."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(KEEPER_LIMIT)
        client.connect(SETTINGS["control"])
        client.sendall(json.dumps(request).encode() + b"\n")
        answer = json.loads(b"".join(iter(lambda: client.recv(4096), b"")))
    if answer["answer"] == "refused":
        raise error.Conflict(answer["reason"])
    return answer


class LabDriver(fakedriver.FakeDriver):
    """The emulator's driver for made-up machines, with real power and boot device."""

    @property
    def driver(self):
        return "<kadence lab>"

    @property
    def systems(self):
        here = flask.request.environ["SERVER_NAME"]
        return [uuid for uuid, node in NODES.items() if node["address"] == here]

    def _node(self, identity):
        uuid = self._get(identity)["uuid"]
        if uuid not in self.systems:
            raise error.NotFound("this BMC has no system %s" % identity)
        return NODES[uuid]["number"]

    def get_power_state(self, identity):
        return "On" if ask({"ask": "power", "node": self._node(identity)})["on"] else "Off"

    def set_power_state(self, identity, state):
        if state not in OPS:
            raise error.NotSupportedError("ResetType %s" % state)
        ask({"ask": "set_power", "node": self._node(identity), "op": OPS[state]})

    def get_boot_device(self, identity):
        device = ask({"ask": "boot", "node": self._node(identity)})["device"]
        return {"pxe": "Pxe", "disk": "Hdd"}.get(device, "None")

    def set_boot_device(self, identity, boot_source):
        device = DEVICES.get(boot_source)
        ask({"ask": "set_boot", "node": self._node(identity), "device": device})

    def get_boot_mode(self, identity):
        return NODES[self._get(identity)["uuid"]]["boot_mode"]


def configure():
    os.umask(0o077)
    fakedriver.FakeDriver = LabDriver
    with open(SETTINGS["password_file"]) as file:
        password = file.read().strip().encode()
    auth = os.path.join(SETTINGS["state_dir"], "htpasswd")
    os.makedirs(SETTINGS["state_dir"], exist_ok=True)
    with open(auth, "w") as file:  # the emulator reads bcrypt lines only
        file.write("%s:%s\n" % (SETTINGS["user"], bcrypt.hashpw(password, bcrypt.gensalt(4)).decode()))
    systems = [
        {
            "uuid": node["uuid"],
            "name": node["name"],
            "power_state": "Off",
            "nics": [{"mac": node["mac"], "ip": ""}],
        }
        for node in NODES.values()
    ]
    emulator.app.configure(
        extra_config={
            "SUSHY_EMULATOR_FAKE_DRIVER": True,
            "SUSHY_EMULATOR_AUTH_FILE": auth,
            "SUSHY_EMULATOR_STATE_DIR": SETTINGS["state_dir"],
            "SUSHY_EMULATOR_FAKE_SYSTEMS": systems,
        }
    )
    return emulator.app


def main():
    app = configure()
    servers = [make_server(n["address"], n["port"], app, threaded=True) for n in NODES.values()]
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()
    print("ready", flush=True)


main()
