#!/usr/bin/python3
"""agent_vmm - a program that the agent's test has the daemon start in place of kiln-vmm: a guest that computes
nothing, with a guest agent behind its channel.

The agent's manners are a word in the file "manners" beside this program, read at each command:
good, silent (answers nothing), deaf (only guest-sync), late (answers the command before once the next comes),
liar (never agrees on a beginning), flood (no end of bytes), garbage, torn (half an answer, then closes).

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import base64
import json
import os
import socket
import sys
import threading

FSINFO = [{"name": "vda1", "mountpoint": "/", "type": "ext4", "total-bytes": 1000, "used-bytes": 10,
           "disk": [{"bus-type": "virtio", "bus": 0, "unit": 0, "target": 0, "dev": "/dev/vda1", "serial": "S1",
                     "pci-controller": {"domain": 0, "bus": 1, "slot": 0, "function": 0}}]}]
ANSWERS = {
    "guest-get-fsinfo": FSINFO,
    "guest-get-host-name": {"host-name": "inside"},
    "guest-get-time": 1234567890123456789,
    "guest-set-time": {},
    "guest-fsfreeze-freeze": 2,
    "guest-fsfreeze-freeze-list": 1,
    "guest-fsfreeze-thaw": 2,
    "guest-fstrim": {"paths": []},
    "guest-set-user-password": {},
    "guest-ssh-add-authorized-keys": {},
    "guest-ssh-remove-authorized-keys": {},
    "guest-get-users": [{"user": "root", "login-time": 1500000000.25}],
    "guest-get-osinfo": {"id": "debian", "pretty-name": "Debian", "version-id": "12", "kernel-release": "6.1"},
    "guest-get-timezone": {"zone": "CET", "offset": 3600},
    "guest-network-get-interfaces": [
        {"name": "lo", "ip-addresses": [{"ip-address-type": "ipv4", "ip-address": "127.0.0.1", "prefix": 8}]},
        {"name": "eth0", "hardware-address": "52:54:00:00:00:01",
         "ip-addresses": [{"ip-address-type": "ipv4", "ip-address": "10.0.0.2", "prefix": 24},
                          {"ip-address-type": "ipv6", "ip-address": "fe80::1", "prefix": 64}]},
        {"name": "eth0:1", "ip-addresses": [{"ip-address-type": "ipv4", "ip-address": "10.0.0.3", "prefix": 24}]}],
}


class Guest:
    def __init__(self):
        self.monitor = self.channel = self.qmp = None
        self.state, self.open = "prelaunch", False
        self.lock = threading.Lock()
        self.keys, self.cpus, self.late = [], [True, True], None
        args = sys.argv[1:]
        self.devices = []
        self.uuid = args[args.index("-uuid") + 1]
        self.no_shutdown = "-no-shutdown" in args
        for option, value in zip(args, args[1:]):
            if option == "-device":
                self.devices += [part[3:] for part in value.split(",") if part.startswith("id=")]
                if "id=virtio-disk0" in value:
                    at = FSINFO[0]["disk"][0]["pci-controller"]
                    at["bus"] = int(value.split("bus=pci.")[1].split(",")[0])
            if option == "-chardev" and ",fd=" in value:
                fd = int(value.split(",fd=")[1].split(",")[0])
                sock = socket.socket(fileno=fd)
                if "id=charmonitor" in value:
                    self.monitor = sock
                elif "id=charchannel0" in value:
                    self.channel = sock
        self.manners_path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "manners")

    def manners(self):
        with open(self.manners_path, encoding="ascii") as file:
            return file.read().strip()

    def note(self, what):
        """What came, in order, for the test to read."""
        with open(os.path.join(os.path.dirname(self.manners_path), "seen"), "a", encoding="ascii") as file:
            file.write(what + "\n")

    # --- the monitor

    def say(self, message):
        with self.lock:
            if self.qmp:
                self.qmp.sendall(json.dumps(message).encode() + b"\r\n")

    def event(self, name, **data):
        self.say({"event": name, "data": data, "timestamp": {"seconds": 1, "microseconds": 1}})

    def set_open(self, is_open):
        self.open = is_open
        self.event("VSERPORT_CHANGE", id="channel0", open=is_open)

    def power_off(self):
        self.event("SHUTDOWN", guest=True, reason="guest-shutdown")
        if not self.no_shutdown:
            os._exit(0)
        self.state = "shutdown"

    def command(self, name, args):
        if name == "query-uuid":
            return {"UUID": self.uuid}
        if name == "query-status":
            return {"status": self.state, "running": self.state == "running"}
        if name == "query-cpus-fast":
            return [{"cpu-index": i, "thread-id": os.getpid()} for i in range(2)]
        if name == "query-chardev":
            return [{"label": "charchannel0", "filename": "", "frontend-open": self.open}]
        if name in ("query-iothreads", "query-block", "query-named-block-nodes", "query-block-jobs",
                    "query-fdsets"):
            return []
        if name == "qom-list":
            return [{"name": name, "type": "child"} for name in self.devices]
        if name in ("transaction", "blockdev-snapshot"):
            self.note(name)
        if name == "cont":
            self.state = "running"
            self.event("RESUME")
            self.set_open(True)
        elif name == "x-open":
            self.set_open(True)
        elif name == "x-close":
            self.set_open(False)
        elif name == "system_powerdown":
            self.event("X-BUTTON")
            threading.Timer(0.05, self.power_off).start()
        elif name == "quit":
            threading.Timer(0.05, os._exit, [0]).start()
        elif name == "system_reset":
            self.event("RESET", guest=False, reason="host-qmp-system-reset")
        return {}

    def serve_monitor(self):
        while True:
            conn, _ = self.monitor.accept()
            self.qmp = conn
            self.say({"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""},
                              "capabilities": []}})
            for line in conn.makefile("rb"):
                request = json.loads(line)
                result = self.command(request["execute"], request.get("arguments", {}))
                self.say({"return": result, "id": request.get("id")})
            self.qmp = None

    # --- the agent

    def agent(self, request):
        """The "return" member of the answer; None for no answer."""
        name, args = request["execute"], request.get("arguments", {})
        self.note(name)
        if name == "guest-shutdown":
            if args["mode"] == "powerdown":
                self.power_off()
            else:
                self.event("RESET", guest=True, reason="guest-reset")
            return None
        if name == "guest-suspend-disk":
            self.power_off()
            return None
        if name == "guest-set-user-password":
            assert base64.b64decode(args["password"]) == b"secret", args
        if name == "guest-ssh-get-authorized-keys":
            return {"keys": self.keys}
        if name == "guest-ssh-add-authorized-keys":
            self.keys = ([] if args["reset"] else self.keys) + args["keys"]
        if name == "guest-ssh-remove-authorized-keys":
            self.keys = [key for key in self.keys if key not in args["keys"]]
        if name == "guest-get-vcpus":
            return [{"logical-id": i, "online": on, "can-offline": i > 0} for i, on in enumerate(self.cpus)]
        if name == "guest-set-vcpus":
            first = args["vcpus"][0]  # one at a time, as an agent may
            self.cpus[first["logical-id"]] = first["online"]
            return 1
        return ANSWERS[name]

    def answer(self, conn, line):
        manners = self.manners()
        if line.startswith(b"\xff"):
            conn.sendall(b'{"error": {"class": "GenericError", "desc": "JSON parse error"}}\n')
            line = line[1:]
        request = json.loads(line)
        name = request["execute"]
        sync = name == "guest-sync-delimited"
        if manners == "silent" or (manners == "deaf" and not sync):
            return
        if manners == "liar" and sync:
            conn.sendall(b'\xff{"return": 4711}\n')
            return
        if manners == "flood" and not sync:
            while self.manners() == "flood":
                conn.sendall(b"x" * 65536)
        if manners == "garbage" and not sync:
            conn.sendall(b"\x00\x01{]}\n" + b"[" * 5000 + b"\n{\"return\": [[[}\n[1]\n")
        if manners == "torn" and not sync:
            conn.sendall(b'{"return": {"host-na')
            conn.close()
            return
        if sync:
            conn.sendall(b"\xff" + json.dumps({"return": request["arguments"]["id"]}).encode() + b"\n")
            return
        try:
            value = self.agent(request)
            reply = None if value is None else {"return": value}
        except KeyError:
            reply = {"error": {"class": "CommandNotFound", "desc": "The command %s has not been found" % name}}
        if reply is None:
            return
        text = json.dumps(reply).encode() + b"\n"
        if manners == "late":
            threading.Timer(1.5, conn.sendall, [text]).start()
            return
        conn.sendall(text)

    def serve_agent(self):
        while True:
            conn, _ = self.channel.accept()
            try:
                for line in conn.makefile("rb"):
                    self.answer(conn, line)
            except OSError:
                pass


guest = Guest()
if guest.channel:
    threading.Thread(target=guest.serve_agent, daemon=True).start()
guest.serve_monitor()
