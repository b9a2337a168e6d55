"""What an installation of several processes needs beside itself: an S3 server that all members reach, a store for the ring."""
import os
import socket

import servers
from doubles.consul import ConsulDouble
from harness import free_port


class Minio(servers.Minio):
    """At an address of the caller's choice."""

    def __init__(self, host="127.0.0.1"):
        super().__init__()
        self.host = host

    @property
    def address(self):
        return "%s:%d" % (self.host, self.port)

    def answers(self):
        try:
            socket.create_connection((self.host, self.port), 1).close()
            return True
        except OSError:
            return False


class Etcd(servers.Process):
    """One etcd without passwords, over HTTP."""
    answers = Minio.answers
    address = Minio.address

    def __init__(self, host="127.0.0.1"):
        super().__init__()
        self.program = servers.need_program("etcd", "etcd-server")
        self.host, self.peer_port = host, free_port()

    def command(self):
        peers = "http://127.0.0.1:%d" % self.peer_port
        return [self.program, "--name", "one", "--data-dir", os.path.join(self.directory, "data"), "--listen-client-urls", "http://" + self.address,
                "--advertise-client-urls", "http://" + self.address, "--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", "one=" + peers]

    def kvstore(self):
        return {"store": "etcd", "etcd": {"endpoints": [self.address]}}


class Consul(ConsulDouble):
    """Our double of Consul's KV: no distribution and no module proxy has the server itself in a form that a test could install."""

    def __init__(self, host="127.0.0.1"):
        super().__init__(address=host)
        self.server.handle_error = lambda *_: None   # members that are killed end their polls in the middle

    def kvstore(self):
        return {"store": "consul", "consul": {"host": self.address, "watch_rate_limit": 10.0}}


class Gossip:
    """The members themselves."""

    def __init__(self, host="127.0.0.1"):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def kvstore(self):
        return {"store": "memberlist"}


RINGS = {"memberlist": Gossip, "etcd": Etcd, "consul": Consul}


def ring_name(default="memberlist"):
    """SKALD_RING=memberlist|etcd|consul"""
    return os.environ.get("SKALD_RING", default)
