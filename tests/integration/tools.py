"""Programs that come through the Go module proxy, built once and kept in ~/.cache/skald-test/bin; PyYAML wherever it is."""
import os
import re
import shutil
import subprocess
import sys

BIN = os.path.join(os.path.expanduser("~"), ".cache", "skald-test", "bin")
HERE = os.path.dirname(os.path.abspath(__file__))
HELM_VERSION = "v3.22.0"

try:
    import yaml
except ImportError:
    sys.path.append("/usr/lib/python3/dist-packages")   # Debian's, for a python3 that is not Debian's
    try:
        import yaml
    except ImportError:
        yaml = None


def go():
    """Path of a Go toolchain of at least 1.24, or None."""
    path = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if path:
        found = re.search(r"go(\d+)\.(\d+)", subprocess.run([path, "version"], capture_output=True, text=True).stdout)
        if found and (int(found.group(1)), int(found.group(2))) >= (1, 24):
            return path
    return None


def run_go(arguments, directory=None):
    done = subprocess.run(["nice", go()] + arguments, cwd=directory, capture_output=True, text=True, timeout=1800,
                          env=dict(os.environ, GOBIN=BIN, GOFLAGS="-mod=mod" if directory is None else "-mod=readonly"))
    if done.returncode:
        raise RuntimeError("go %s: %s" % (" ".join(arguments), done.stderr[-3000:]))


def helm():
    """Path of helm, or None without Go."""
    path = os.path.join(BIN, "helm")
    if not os.path.exists(path):
        if shutil.which("helm"):
            return shutil.which("helm")
        if not go():
            return None
        run_go(["install", "helm.sh/helm/v3/cmd/helm@" + HELM_VERSION])
    return path


def manifests():
    """Path of the program in tests/integration/manifests, newer than its sources; None without Go."""
    path, source = os.path.join(BIN, "skald-manifests"), os.path.join(HERE, "manifests")
    if not go():
        return None
    newest = max(os.path.getmtime(os.path.join(source, f)) for f in os.listdir(source))
    if not os.path.exists(path) or os.path.getmtime(path) < newest:
        os.makedirs(BIN, exist_ok=True)
        run_go(["build", "-o", path, "."], source)
    return path
