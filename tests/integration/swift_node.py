#!/usr/bin/python3
"""One-machine OpenStack Swift with its S3 door: swift_node.py DIRECTORY PROXY_PORT MEMCACHED_PORT (0: none).

Run with the system's python3 (package python3-swift). Builds three rings with one device, writes the configuration and
runs proxy, account, container and object server until it is killed; they are children of this process. The directory
must be absolute and lie on a file system with user extended attributes (ext4, xfs, btrfs; tmpfs only with Linux 6.6 and
later), as Swift keeps an object's metadata there."""
import contextlib
import ctypes
import getpass
import io
import os
import signal
import socket
import sys

directory, proxy_port, memcached_port = os.path.abspath(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


KINDS = dict(zip(("account", "container", "object"), free_ports(3)))
COMMON = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = %(port)d
swift_dir = %(directory)s
devices = %(directory)s/devices
mount_check = false
user = %(user)s
workers = 0
log_level = WARNING
log_address = %(directory)s/no-syslog
fallocate_reserve = 0
"""
STORAGE = COMMON + """
[pipeline:main]
pipeline = %(kind)s-server
[app:%(kind)s-server]
use = egg:swift#%(kind)s
"""
PROXY = COMMON + """
[pipeline:main]
pipeline = catch_errors %(cache)s listing_formats s3api tempauth copy slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:%(memcached_port)d
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
"""


def write(name, text):
    with open(os.path.join(directory, name), "w") as f:
        f.write(text)


def build_ring(kind, port):
    from swift.cli.ringbuilder import main
    builder = os.path.join(directory, kind + ".builder")
    for words in (["create", "4", "1", "1"], ["add", "r1z1-127.0.0.1:%d/d1" % port, "1"], ["rebalance"]):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            try:
                main(["swift-ring-builder", builder] + words)
            except SystemExit as e:
                if e.code not in (0, 1, None):   # 1: "nothing to do" and other warnings
                    sys.exit(out.getvalue())


os.makedirs(os.path.join(directory, "devices", "d1"), exist_ok=True)
write("swift.conf", "[swift-hash]\nswift_hash_path_suffix = test\n")
from swift.common import utils   # noqa: E402: the path must be set before any other module reads swift.conf

utils.set_swift_dir(directory)
values = {"directory": directory, "user": getpass.getuser(), "memcached_port": memcached_port, "cache": "cache" if memcached_port else ""}
for kind, port in KINDS.items():
    build_ring(kind, port)
    write(kind + ".conf", STORAGE % dict(values, kind=kind, port=port))
write("proxy.conf", PROXY % dict(values, port=proxy_port))

children = []
for kind in list(KINDS) + ["proxy"]:
    pid = os.fork()
    if pid == 0:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)   # PR_SET_PDEATHSIG: none of them outlives this process
        from swift.common.wsgi import run_wsgi
        os._exit(run_wsgi(os.path.join(directory, kind + ".conf"), kind + "-server") or 0)
    children.append(pid)


def stop(*_):
    for child in children:
        with contextlib.suppress(OSError):
            os.kill(child, signal.SIGKILL)
    os._exit(0)


signal.signal(signal.SIGTERM, stop)
os.wait()   # one of them ending is an error of all
stop()
