"""browser - Chromium without a screen, driven through chromedriver as W3C's "WebDriver" has it: a page is
waited for, clicked and typed into, and asked by scripts.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import base64
import json
import subprocess
import time
import urllib.error
import urllib.request

SECONDS = 120
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
ALERT = ".pf-c-alert__action button"  # PatternFly's, which closes it
OPTIONS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
           "--no-first-run", "--disable-background-networking", "--disable-component-update",
           "--window-size=1400,1200"]


class Refused(AssertionError):
    """The driver says no: what was looked for is not there, is covered, or changes just now."""


class Browser:
    """One window."""

    def __init__(self, log):
        self.log = open(log, "wb")
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE,
                                       stderr=self.log)
        self.port = self.session = None
        for line in self.driver.stdout:
            if b"successfully on port " in line:
                self.port = int(line.split(b"on port ")[1].split(b".")[0])
                break
        assert self.port, "chromedriver does not start"
        answer = self.call("POST", "", {"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": OPTIONS}, "timeouts": {"script": 60000}}}})
        self.session = answer["sessionId"]

    def call(self, method, path, body=None):
        where = "http://127.0.0.1:%d/session%s%s" % (
            self.port, "/" + self.session if self.session else "", path)
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(where, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as problem:
            said = json.load(problem)["value"]
            raise Refused("%s: %s" % (said["error"], said["message"].split("\n")[0])) from None

    def go(self, address):
        self.call("POST", "/url", {"url": address})

    def ask(self, script, *arguments):
        """The value that a script returns."""
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def text(self, where="body"):
        return self.ask("const e = document.querySelector(arguments[0]); return e ? e.innerText : ''", where)

    def until(self, what, attempt):
        """Calls @attempt until it is true; what the driver refuses meanwhile is asked again."""
        deadline = time.monotonic() + SECONDS
        said = ""
        while True:
            try:
                value = attempt()
                if value:
                    return value
            except Refused as problem:
                said = " (%s)" % problem
            if time.monotonic() > deadline:
                raise AssertionError("%s: not within %d s%s" % (what, SECONDS, said))
            time.sleep(0.1)

    def element(self, where):
        return self.call("POST", "/element", {"using": "css selector", "value": where})[ELEMENT]

    def has(self, where):
        return self.ask("return document.querySelector(arguments[0]) !== null", where)

    def click(self, where):
        found = self.element(where)
        if not self.call("GET", "/element/%s/enabled" % found) or self.call(
                "GET", "/element/%s/attribute/aria-disabled" % found) == "true":
            raise Refused("%s cannot be used" % where)
        self.call("POST", "/element/%s/click" % found, {})

    def press(self, where, done, opener=None):
        """As soon as it is there, uncovered, and can be used; again, until @done is true, since a page that
        is just drawn anew loses clicks. @opener opens the menu that it is in."""
        def attempt():
            try:
                self.click(where)
            except Refused:
                if done():
                    return True
                # a message may lie on what is clicked
                self.ask("const e = document.querySelector(arguments[0]); if (e) e.click()", ALERT)
                if opener and not self.has(where):
                    self.click(opener)
                raise
            deadline = time.monotonic() + 5
            while not done():
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.1)
            return True
        self.until("what a click on %s does" % where, attempt)

    def write(self, where, text):
        """Into a field, in place of what is there."""
        def attempt():
            found = self.element(where)
            self.call("POST", "/element/%s/click" % found, {})
            # Clear() would go unnoticed by a page that looks at keys.
            self.call("POST", "/element/%s/value" % found, {"text": "\ue009a\ue000\ue003" + text})
            return self.ask("return document.querySelector(arguments[0]).value", where) == text
        self.until("'%s' in %s" % (text, where), attempt)

    def turn(self, place):
        """To another view of a page that keeps it behind the # of its address."""
        self.ask("window.location.hash = arguments[0]", place)

    def shows(self, words, where="body"):
        self.until("'%s' in %s" % (words, where), lambda: words in self.text(where))

    def picture(self, path):
        with open(path, "wb") as stream:
            stream.write(base64.b64decode(self.call("GET", "/screenshot")))

    def close(self):
        try:
            if self.session:
                self.call("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait(60)
            self.log.close()
