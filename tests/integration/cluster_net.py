"""Where members of an installation live and how they are cut off from each other.

Loopback: addresses 127.0.1.N of this machine; nothing can be cut. Namespaces: a network namespace per member on one bridge (needs
root, iproute2 and nftables); the test itself, the gateway and the stores are at the bridge's own address. cut() drops or rejects
packets inside a member's namespace, so that connections hang as they do when a cable is pulled; lose() drops a share of them;
unplug() takes the interface down."""
import os
import random
import re
import shutil
import subprocess
import unittest


def program(name):
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")


def run(*words, text=None):
    done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise OSError("%s: %s" % (" ".join(words), done.stderr.strip() or done.stdout.strip()))
    return done.stdout


class Loopback:
    host = "127.0.0.1"
    partitions = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def address(self, number):
        return "127.0.1.%d" % (number + 1)

    def prefix(self, number):
        """What a member's command line starts with."""
        return []


class Namespaces:
    partitions = True

    def __init__(self, size=12):
        self.size = size
        self.tag = "sk%d" % os.getpid()   # interface names have at most 15 characters
        self.bridge = self.tag + "br"

    def name(self, number):
        return "%s-%d" % (self.tag, number)

    def address(self, number):
        return "%s.%d" % (self.net, number + 10)

    def prefix(self, number):
        return [program("ip"), "netns", "exec", self.name(number)]

    def __enter__(self):
        """Raises SkipTest with the reason where namespaces cannot be had."""
        for name, package in (("ip", "iproute2"), ("nft", "nftables")):
            if not program(name):
                raise unittest.SkipTest("no %s (Debian package %s)" % (name, package))
        if os.geteuid() != 0:
            raise unittest.SkipTest("network namespaces need root")
        ip = program("ip")
        self.sweep()
        try:
            used = run(ip, "-4", "addr")
            self.net = next(n for n in ("10.%d.%d" % (random.randrange(64, 250), random.randrange(250)) for _ in range(1000)) if n not in used)
            self.host = self.net + ".1"
            run(ip, "link", "add", self.bridge, "type", "bridge")
            run(ip, "addr", "add", self.host + "/24", "dev", self.bridge)
            run(ip, "link", "set", self.bridge, "up")
            for number in range(self.size):
                name, outer = self.name(number), "%sv%d" % (self.tag, number)
                run(ip, "netns", "add", name)
                run(ip, "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", name)
                run(ip, "link", "set", outer, "master", self.bridge, "up")
                run(ip, "-n", name, "link", "set", "lo", "up")
                run(ip, "-n", name, "addr", "add", self.address(number) + "/24", "dev", "eth0")
                run(ip, "-n", name, "link", "set", "eth0", "up")
            self.heal(0)   # nft works as well
        except OSError as e:
            self.close()
            raise unittest.SkipTest("network namespaces cannot be had here: %s" % e) from e
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        ip = program("ip")
        for number in range(self.size):
            subprocess.run([ip, "netns", "del", self.name(number)], capture_output=True)
        subprocess.run([ip, "link", "del", self.bridge], capture_output=True)

    @staticmethod
    def sweep():
        """What tests left that were killed."""
        ip = program("ip")
        for words, pattern in (("netns", r"^(sk(\d+)-\d+)"), ("link", r"^\d+: (sk(\d+)br)")):
            listed = subprocess.run([ip, words, "list"] if words == "netns" else [ip, "-o", "link"], capture_output=True, text=True).stdout
            for name, pid in re.findall(pattern, listed, re.M):
                if not os.path.exists("/proc/" + pid):
                    subprocess.run([ip, words, "del", name], capture_output=True)

    def rules(self, number, lines):
        text = "table ip skald {}\ndelete table ip skald\n"
        if lines:
            chains = "".join("  chain %s { type filter hook %s priority 0; policy accept;\n%s  }\n" % (hook, hook, "".join("    %s\n" % line for h, line in lines if h == hook))
                             for hook in ("input", "output"))
            text += "table ip skald {\n%s}\n" % chains
        run(*self.prefix(number), program("nft"), "-f", "-", text=text)

    def cut(self, number, addresses, direction="both", verdict="drop"):
        """No packets between a member and these addresses any more; direction as the member sees it: in, out or both. verdict
        `reject with tcp reset` says so to whoever sends."""
        peers = "{ %s }" % ", ".join(addresses)
        lines = []
        if direction in ("in", "both"):
            lines.append(("input", "ip saddr %s %s" % (peers, ("ip protocol tcp " if "tcp" in verdict else "") + verdict)))
        if direction in ("out", "both"):
            lines.append(("output", "ip daddr %s %s" % (peers, "drop")))
        self.rules(number, lines)

    def cut_port(self, number, address, port):
        """The same for one server at an address that has several."""
        self.rules(number, [("output", "ip daddr %s tcp dport %d drop" % (address, port)), ("input", "ip saddr %s tcp sport %d drop" % (address, port))])

    def lose(self, number, percent):
        self.rules(number, [(hook, "numgen random mod 100 < %d drop" % percent) for hook in ("input", "output")])

    def heal(self, number):
        self.rules(number, [])

    def unplug(self, number, plugged=False):
        run(program("ip"), "-n", self.name(number), "link", "set", "eth0", "up" if plugged else "down")


def best():
    """Namespaces where they can be had, else Loopback; not entered yet."""
    probe = Namespaces(size=1)
    try:
        probe.__enter__()
    except unittest.SkipTest as e:
        print("\nno partitions: %s" % e, flush=True)
        return Loopback()
    probe.close()
    return Namespaces()
