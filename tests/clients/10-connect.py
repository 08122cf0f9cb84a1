#!/usr/bin/python3
"""10-connect - stock clients and misbehaving ones against virtkilnd: connecting, rights, limits, its
own life.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

import libvirt

from daemon import BUILD, REMOTE_PROGRAM, Daemon, Raw, run, wait_for


def virsh_speaks_kiln():
    with Daemon() as daemon:
        out = daemon.virsh("version")
        assert "Running hypervisor: Kiln" in out, out
        assert "Using API: Kiln 9.0.0" in out, out
        assert daemon.virsh("hostname").strip().startswith(socket.gethostname().split(".")[0])
        assert "kiln+unix:///system" in daemon.virsh("uri")


def virsh_speaks_qemu_on_every_socket():
    with Daemon() as daemon:
        for name in ("virtkilnd", "virtqemud", "libvirt"):
            for read_only in (False, True):
                out = daemon.virsh("version", scheme="qemu", name=name, read_only=read_only)
                assert "Running hypervisor: QEMU 7.2.0" in out, out


def unknown_uris_are_refused():
    with Daemon() as daemon:
        for uri in ("xen+unix:///system", "qemu+unix:///nowhere"):
            done = subprocess.run(["virsh", "-c", "%s?socket=%s" % (uri, daemon.socket()), "list"],
                                  capture_output=True, text=True, timeout=30)
            assert done.returncode != 0
            assert "no connection driver available" in done.stderr, done.stderr


def python_libvirt():
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        assert conn.getType() == "QEMU" and conn.getVersion() == 7002000
        assert conn.getLibVersion() == 9000000 and conn.isSecure() and not conn.isEncrypted()
        assert conn.getURI().startswith("qemu+unix:///system")
        try:
            conn.changeBegin()
            raise AssertionError("changing the host's interfaces was not refused")
        except libvirt.libvirtError as err:
            assert err.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT, err
            assert "virInterfaceChangeBegin" in str(err), err
        conn.close()


def every_event_can_be_asked_for():
    with Daemon() as daemon:
        out = daemon.virsh("event", "--all", "--timeout", "1", expect=None)
        assert "event loop timed out" in out and "error" not in out, out
        out = daemon.virsh("net-event", "--event", "lifecycle", "--timeout", "1", expect=None)
        assert "event loop timed out" in out and "error" not in out, out


def private_kib(process):
    with open("/proc/%d/smaps_rollup" % process, encoding="ascii") as stream:
        return sum(int(line.split()[1]) for line in stream if line.startswith("Private_"))


def five_thousand_connections():
    """As many as the default max_clients: all open and at work at once; the next one waits."""
    many = 5000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < many + 200:
        return "this host allows %d descriptors" % hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, many + 200), hard))
    try:
        with Daemon() as daemon:
            before = private_kib(daemon.main_pid())
            clients = [Raw(daemon.socket()) for _ in range(many)]
            # All ask before any is listened to.
            for client in clients:
                client.open_connection()
            for client in clients:
                client.expect_opened()
            for client in clients:
                client.send(REMOTE_PROGRAM, 157, serial=7)
            for client in clients:
                answer = client.recv()
                assert answer[3:5] == (7, 0) and answer[5] == struct.pack(">Q", 9000000), answer
            each = (private_kib(daemon.main_pid()) - before) / many
            print("# %.1f KiB of the daemon for each open connection" % each)
            assert each < 8, "an open connection takes %.1f KiB" % each

            # libnftables waits by select(2), and would end the daemon for a descriptor above 1023.
            clients.pop().close()
            for verb in ("net-destroy", "net-start"):
                daemon.virsh(verb, "default", expect=None)
            clients.append(Raw(daemon.socket()))
            clients[-1].ping()

            late = Raw(daemon.socket(), timeout=0.3)
            try:
                late.ping()
                raise AssertionError("client %d was served" % (many + 1))
            except socket.timeout:
                pass
            clients.pop().close()
            late.sock.settimeout(10)
            assert late.recv() is not None
            for client in clients + [late]:
                client.close()
            daemon.virsh("version")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return None


def clients_above_the_limit_wait():
    with Daemon(config="max_clients = 4\n") as daemon:
        clients = [Raw(daemon.socket()) for _ in range(4)]
        for client in clients:
            client.ping()
        late = Raw(daemon.socket(), timeout=0.3)
        try:
            late.ping()
            raise AssertionError("a fifth client was served")
        except socket.timeout:
            pass
        clients[0].close()
        late.sock.settimeout(10)
        assert late.recv() is not None
        for client in clients + [late]:
            client.close()


def misbehaving_clients_lose_only_themselves():
    with Daemon() as daemon:
        stop = threading.Event()

        def babble():
            while not stop.is_set():
                with Raw(daemon.socket()) as client:
                    client.sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    assert client.recv() is None

        def die_half_way():
            while not stop.is_set():
                with Raw(daemon.socket()) as client:
                    client.send(REMOTE_PROGRAM, 66)
                    client.sock.sendall(b"\0\0\1\0\x20\0\x80")

        def not_read():
            with Raw(daemon.socket(), timeout=0.2) as client:
                while not stop.is_set():
                    try:
                        client.send(REMOTE_PROGRAM, 66)
                    except OSError:
                        time.sleep(0.05)

        threads = [threading.Thread(target=t) for t in (babble, die_half_way, not_read)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(10):
                daemon.virsh("version")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert daemon.process.poll() is None


def killed_daemon_is_replaced():
    with Daemon() as daemon:
        daemon.stop(signal.SIGKILL)
        assert os.path.exists(daemon.socket())
        daemon.start()
        daemon.virsh("version")


def second_daemon_stays_away():
    with Daemon() as daemon:
        second = subprocess.run([BUILD + "/driver/virtkilnd", "--root", daemon.root],
                                capture_output=True, text=True, timeout=20)
        assert second.returncode != 0
        assert "another virtkilnd (process %d)" % daemon.process.pid in second.stderr, second.stderr
        daemon.virsh("version")


def names_of_living_daemons_are_not_taken():
    root = tempfile.mkdtemp(prefix="kiln-")
    try:
        os.makedirs(root + "/run/libvirt")
        other = socket.socket(socket.AF_UNIX)
        other.bind(root + "/run/libvirt/libvirt-sock")
        other.listen(1)
        with Daemon(root=root) as daemon:
            daemon.virsh("version", name="virtqemud")
            assert "another daemon listens on" in daemon.messages(), daemon.messages()
            assert not os.path.exists(daemon.socket("libvirt", True))
        assert os.path.exists(root + "/run/libvirt/libvirt-sock")
        other.close()
    finally:
        shutil.rmtree(root)


def going_away_is_told():
    libvirt.virEventRegisterDefaultImpl()
    told = []
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri())
        conn.setKeepAlive(5, 3)
        conn.registerCloseCallback(lambda _, reason, data: told.append(reason), None)
        daemon.process.send_signal(signal.SIGTERM)
        until = time.monotonic() + 10
        timer = libvirt.virEventAddTimeout(100, lambda *_: None, None)
        while not told and time.monotonic() < until:
            libvirt.virEventRunDefaultImpl()
        libvirt.virEventRemoveTimeout(timer)
        assert told and told[0] == libvirt.VIR_CONNECT_CLOSE_REASON_EOF, told
        assert daemon.process.wait(20) == 0
        assert not os.path.exists(daemon.socket())


def settings_are_read_again():
    with Daemon(config="max_clients = 2\n") as daemon:
        with open(daemon.root + "/test.conf", "w", encoding="utf-8") as stream:
            stream.write("max_clients = none\n")
        daemon.process.send_signal(signal.SIGHUP)
        wait_for("refused settings", lambda: "settings stay as they are" in daemon.messages())
        with open(daemon.root + "/test.conf", "w", encoding="utf-8") as stream:
            stream.write("max_clients = 50\n")
        daemon.process.send_signal(signal.SIGHUP)
        wait_for("new settings", lambda: "settings read again" in daemon.messages())
        clients = [Raw(daemon.socket()) for _ in range(20)]
        for client in clients:
            client.ping()
            client.close()


def idle_daemon_ends():
    root = tempfile.mkdtemp(prefix="kiln-")
    try:
        # Networks that run keep a daemon up: none may be started here.
        os.makedirs(root + "/etc/kiln/networks")
        with Daemon("--timeout", "1", root=root) as daemon:
            if daemon.virsh("net-list", "--name", expect=None).strip():
                daemon.virsh("net-destroy", "default")
            assert daemon.process.wait(20) == 0
    finally:
        shutil.rmtree(root)


def check_tells_by_its_status():
    """Status 1 when something fails, 0 when nothing does; the last line counts."""
    with tempfile.TemporaryDirectory(prefix="kiln-") as root:
        check = [BUILD + "/driver/virtkilnd", "--root", root, "--check"]
        bad = subprocess.run(check, capture_output=True, text=True, timeout=60,
                             env=dict(os.environ, KILN_VMM="/nonexistent/kiln-vmm"))
        failures = re.findall("(?m)^FAIL  ", bad.stdout)
        assert bad.returncode == 1 and "/nonexistent/kiln-vmm" in bad.stdout, bad
        assert bad.stdout.splitlines()[-1].startswith("%d finding" % len(failures)), bad.stdout
        assert os.listdir(root) == [], "looking left something behind"


def bad_settings_are_named():
    with tempfile.TemporaryDirectory(prefix="kiln-") as root:
        with open(root + "/conf", "w", encoding="utf-8") as stream:
            stream.write("# fine\nmax_worker = 3\n")
        done = subprocess.run([BUILD + "/driver/virtkilnd", "--root", root, "-f", root + "/conf"],
                              capture_output=True, text=True, timeout=20)
        assert done.returncode == 1
        assert done.stderr == "virtkilnd: %s/conf:2: there is no setting 'max_worker'\n" % root, done.stderr


def goes_to_the_background():
    root = tempfile.mkdtemp(prefix="kiln-")
    pid = None
    try:
        wrap = ["unshare", "--net"] if os.geteuid() == 0 else []
        done = subprocess.run(wrap + [BUILD + "/driver/virtkilnd", "--root", root, "--daemon"], timeout=30)
        assert done.returncode == 0
        with open(root + "/run/kiln/virtkilnd.pid", encoding="utf-8") as stream:
            pid = int(stream.read())
        with Raw(root + "/run/libvirt/virtkilnd-sock") as client:
            client.ping()
        again = subprocess.run(wrap + [BUILD + "/driver/virtkilnd", "--root", root, "--daemon"], timeout=30,
                               stderr=subprocess.DEVNULL)
        assert again.returncode == 1
    finally:
        if pid:
            os.kill(pid, signal.SIGTERM)
            wait_for("the daemon's end", lambda: not os.path.exists("/proc/%d" % pid))
        shutil.rmtree(root)


def session_of_an_ordinary_user():
    if os.geteuid() != 0:
        return "needs root to become someone else"
    with tempfile.TemporaryDirectory(prefix="kiln-") as home:
        os.chmod(home, 0o777)
        env = {"HOME": home, "XDG_RUNTIME_DIR": home + "/run", "PATH": os.environ["PATH"]}
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        subprocess.run(user + ["mkdir", "-m", "700", home + "/run"], check=True)
        if subprocess.run(user + [BUILD + "/driver/virtkilnd", "--version"], capture_output=True).returncode:
            return "an ordinary user cannot read the build"
        process = subprocess.Popen(user + [BUILD + "/driver/virtkilnd", "-v"], env=env,
                                   stderr=subprocess.PIPE)
        try:
            wait_for("its socket", lambda: os.path.exists(home + "/run/libvirt/virtkilnd-sock"))
            done = subprocess.run(user + ["virsh", "-c", "kiln:///session", "version"], env=env,
                                  capture_output=True, text=True, timeout=30)
            assert "Running hypervisor: Kiln" in done.stdout, done.stdout + done.stderr
            assert os.stat(home + "/run/libvirt/virtkilnd-sock").st_mode & 0o777 == 0o700
            assert not os.path.exists(home + "/run/libvirt/virtkilnd-sock-ro")
        finally:
            process.terminate()
            process.communicate(timeout=20)
    return None


def sockets_of_systemd():
    activate = shutil.which("systemd-socket-activate")
    if not activate:
        return "no systemd-socket-activate"
    with tempfile.TemporaryDirectory(prefix="kiln-") as root:
        os.makedirs(root + "/run/libvirt")
        sock = root + "/run/libvirt/virtkilnd-sock"
        wrap = ["unshare", "--net"] if os.geteuid() == 0 else []
        process = subprocess.Popen(wrap + [activate, "-l", sock, "-l", sock + "-ro",
                                           BUILD + "/driver/virtkilnd", "--root", root, "-v"],
                                   stderr=subprocess.PIPE)
        try:
            wait_for("its socket", lambda: os.path.exists(sock + "-ro"))
            for path in (sock, sock + "-ro"):
                done = subprocess.run(["virsh", "-c", "kiln+unix:///system?socket=" + path, "version"],
                                      capture_output=True, text=True, timeout=30)
                assert "Running hypervisor: Kiln" in done.stdout, done.stdout + done.stderr
            assert not os.path.exists(root + "/run/libvirt/libvirt-sock")
            # The read-only one is read-only, whatever the client says.
            with Raw(sock + "-ro") as client:
                client.send(REMOTE_PROGRAM, 1, payload=b"\0\0\0\0\0\0\0\0")
                assert client.recv()[4] == 0
                client.send(REMOTE_PROGRAM, 220, serial=2)
                answer = client.recv()
                assert answer[4] == 1 and answer[5][:4] == b"\0\0\0\x1d", answer
        finally:
            process.terminate()
            process.communicate(timeout=20)
    return None


if __name__ == "__main__":
    run([virsh_speaks_kiln, virsh_speaks_qemu_on_every_socket, unknown_uris_are_refused, python_libvirt,
         every_event_can_be_asked_for, five_thousand_connections, clients_above_the_limit_wait,
         misbehaving_clients_lose_only_themselves, killed_daemon_is_replaced, second_daemon_stays_away,
         names_of_living_daemons_are_not_taken, going_away_is_told, settings_are_read_again,
         idle_daemon_ends, check_tells_by_its_status, bad_settings_are_named, goes_to_the_background, session_of_an_ordinary_user,
         sockets_of_systemd])
