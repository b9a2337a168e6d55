"""Faults that members of a cluster meet, each with its own way back. plan(cluster, rng) draws one; inject() and heal() apply it."""
import time


class Fault:
    """On one member. `disturbs` says whether the member is of no use meanwhile."""

    def __init__(self, cluster, member, rng):
        self.cluster, self.member, self.rng = cluster, member, rng

    name = property(lambda self: "%s of %s" % (self.kind, self.member.name))

    def inject(self):
        raise NotImplementedError

    def heal(self):
        raise NotImplementedError


class Pause(Fault):
    kind = "pause"

    def inject(self):
        self.member.pause()

    def heal(self):
        self.member.resume()


class Kill(Fault):
    """The disk stays."""
    kind = "kill -9"

    def inject(self):
        self.member.kill()

    def heal(self):
        self.member.restart()


class Clock(Fault):
    kind = "clock step"

    def inject(self):
        self.seconds = self.rng.choice((-1, 1)) * self.rng.choice((20, 90, 300, 600))
        self.kind = "clock step %+d s" % self.seconds
        self.member.step_clock(self.seconds)
        time.sleep(1)   # libfaketime looks once a second

    def heal(self):
        self.member.step_clock(0)


class NetFault(Fault):
    def heal(self):
        self.cluster.net.heal(self.member.number)


class CutFromWriters(NetFault):
    """From all other writers or from one of them, in one direction or both."""
    kind = "cut from writers"

    def inject(self):
        others = [m.address for m in self.cluster.writers if m is not self.member]
        chosen = others if self.rng.random() < 0.5 else [self.rng.choice(others)]
        direction = self.rng.choice(("both", "both", "in", "out"))
        self.kind = "cut (%s) from %d writers" % (direction, len(chosen))
        self.cluster.net.cut(self.member.number, chosen, direction)


class CutFromMembers(NetFault):
    """The gateway and the stores still reach it."""
    kind = "cut from members"

    def inject(self):
        verdict = self.rng.choice(("drop", "drop", "reject with tcp reset"))
        self.kind = "cut from all members (%s)" % verdict.split(" ")[0]
        self.cluster.net.cut(self.member.number, [m.address for m in self.cluster.members if m is not self.member], verdict=verdict)


class CutFromStore(NetFault):
    kind = "cut from the S3 server"

    def inject(self):
        self.cluster.net.cut_port(self.member.number, self.cluster.net.host, self.cluster.store.port)


class CutFromRing(NetFault):
    """From etcd or Consul."""
    kind = "cut from the ring's store"

    def inject(self):
        self.cluster.net.cut_port(self.member.number, self.cluster.net.host, int(self.cluster.kv.address.rsplit(":", 1)[1]))


class Loss(NetFault):
    kind = "packet loss"

    def inject(self):
        percent = self.rng.choice((5, 20, 40))
        self.kind = "%d %% packet loss" % percent
        self.cluster.net.lose(self.member.number, percent)


class Unplug(NetFault):
    kind = "unplugged"

    def inject(self):
        self.cluster.net.unplug(self.member.number)

    def heal(self):
        self.cluster.net.unplug(self.member.number, plugged=True)


def kinds(cluster):
    found = [Pause, Pause, Kill]
    if cluster.clocks:
        found += [Clock, Clock]
    if cluster.net.partitions:
        found += [CutFromWriters, CutFromWriters, CutFromMembers, CutFromStore, Loss, Unplug]
        if cluster.ring_kind != "memberlist":
            found.append(CutFromRing)
    return found


def plan(cluster, rng, members, bag=None):
    """A fault on one of `members`, kinds drawn without replacement from `bag`, so that even few faults are of many kinds."""
    bag = bag if bag is not None else []
    if not bag:
        bag += kinds(cluster)
        rng.shuffle(bag)
    return bag.pop()(cluster, rng.choice(members), rng)
