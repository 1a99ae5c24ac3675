"""Redfish service for tests: sushy-tools' emulator, its fake driver's power in a file.

usage: redfish.py ADDRESS PORT USER PASSWORD SYSTEMS     (state, log, lies: files here)
"""
import os
import sys

import bcrypt
from sushy_tools.emulator import main
from sushy_tools.emulator.resources.systems import fakedriver


class FileDriver(fakedriver.FakeDriver):
    def get_power_state(self, identity):
        with open("state") as file:
            return file.read().strip()

    def set_power_state(self, identity, state):
        with open("log", "a") as file:
            file.write(state + "\n")
        if not os.path.exists("lies"):
            with open("state", "w") as file:
                file.write("Off" if state in ("ForceOff", "GracefulShutdown") else "On")


fakedriver.FakeDriver = FileDriver
address, port, user, password, systems = sys.argv[1:]
with open("htpasswd", "w") as file:
    file.write("%s:%s\n" % (user, bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()))
main.app.configure(extra_config=dict(
    SUSHY_EMULATOR_FAKE_DRIVER=True,
    SUSHY_EMULATOR_AUTH_FILE=os.path.abspath("htpasswd"),
    SUSHY_EMULATOR_STATE_DIR=os.getcwd(),
    SUSHY_EMULATOR_FAKE_SYSTEMS=[
        {"uuid": "77000000-0000-0000-0000-%012x" % n, "name": "node%d" % n, "power_state": "Off",
         "nics": []} for n in range(1, int(systems) + 1)]))
context = ("cert.pem", "key.pem") if os.path.exists("cert.pem") else None
main.app.run(host=address, port=int(port), threaded=True, ssl_context=context)
