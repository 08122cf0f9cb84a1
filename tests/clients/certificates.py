"""certificates - an authority, and certificates for a server and a client, as QEMU's tls-creds-x509
names them. By certtool (Debian package gnutls-bin).

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import subprocess

TEMPLATES = (("ca", "cn=ca\nca\ncert_signing_key\n"),
             ("server", "cn=localhost\ndns_name=localhost\nip_address=127.0.0.1\ntls_www_server\n"),
             ("client", "cn=client\ntls_www_client\n"))


def make(directory):
    def at(name):
        return os.path.join(directory, name)

    def certtool(*words):
        subprocess.run(["certtool", *words], check=True, capture_output=True, timeout=120)

    os.makedirs(directory, exist_ok=True)
    for name, text in TEMPLATES:
        with open(at(name + ".info"), "w", encoding="ascii") as stream:
            stream.write(text)
        key = at(name + "-key.pem")
        certtool("--generate-privkey", "--outfile", key)
        sign = ["--generate-self-signed"] if name == "ca" else \
            ["--generate-certificate", "--load-ca-certificate", at("ca-cert.pem"),
             "--load-ca-privkey", at("ca-key.pem")]
        certtool(*sign, "--load-privkey", key, "--template", at(name + ".info"),
                 "--outfile", at(name + "-cert.pem"))
