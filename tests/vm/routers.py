"""A client, two routers and a guest's tap, each in a network namespace of its own.

    client 10.77.2.N - near router - 10.77.1.0/24, narrow - far router - 10.77.0.2, the guest

and by IPv6 fd77:0:0:N::X in the place of 10.77.N.X.

The client's and the guest's own links have Ethernet's MTU: nobody but the routers knows of the
narrow one.
"""
import ipaddress
import os
import subprocess

GUEST, GATEWAY, TAP = "10.77.0.2", "10.77.0.1", "guest"
# The client's addresses: what is learnt of the path to one says nothing of the others.
CLIENTS = [f"10.77.2.{number}" for number in range(10, 20)]


def six(address):
    network, host = address.split(".")[2:]
    return str(ipaddress.ip_address(f"fd77:0:0:{network}::{host}"))


class Routers:
    """Needs root and a Linux that has namespaces, veth and tun: where it has not, this fails and says which."""

    def __init__(self):
        self.client, self.near, self.far = (f"mirage-{os.getpid()}-{name}" for name in ("client", "near", "far"))
        self.silent = False
        try:
            self.make()
        except BaseException:
            self.forget()
            raise

    def make(self):
        for namespace in (self.client, self.near, self.far):
            ip("netns", "add", namespace)
            ip("-n", namespace, "link", "set", "lo", "up")
        self.link((self.client, "near"), (self.near, "client"))
        self.link((self.near, "far"), (self.far, "near"))
        ip("-n", self.far, "tuntap", "add", TAP, "mode", "tap")
        for namespace, address, device in [
                *((self.client, client, "near") for client in CLIENTS),
                (self.near, "10.77.2.1", "client"), (self.near, "10.77.1.1", "far"),
                (self.far, "10.77.1.2", "near"), (self.far, GATEWAY, TAP)]:
            ip("-n", namespace, "address", "add", f"{address}/24", "dev", device)
            ip("-n", namespace, "address", "add", f"{six(address)}/64", "dev", device, "nodad")
            ip("-n", namespace, "link", "set", device, "up")
        for namespace, network, via in [(self.client, "default", "10.77.2.1"), (self.near, "10.77.0.0/24", "10.77.1.2"),
                                        (self.far, "10.77.2.0/24", "10.77.1.1")]:
            ip("-n", namespace, "route", "add", network, "via", via)
            network = network if network == "default" else six(network.removesuffix(".0/24") + ".") + "/64"
            ip("-n", namespace, "-6", "route", "add", network, "via", six(via))
        for namespace in (self.near, self.far):
            for setting in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
                run("ip", "netns", "exec", namespace, "sh", "-c", f"echo 1 > /proc/sys/net/{setting}")

    @staticmethod
    def link(one, other):
        ip("link", "add", one[1], "netns", one[0], "type", "veth", "peer", "name", other[1], "netns", other[0])

    def narrow(self, mtu, icmp):
        """What the link between the routers takes. Without `icmp` what is too long gets lost in silence."""
        ip("-n", self.near, "link", "set", "far", "mtu", str(mtu))
        ip("-n", self.far, "link", "set", "near", "mtu", str(mtu))
        silence = ("priority", "10", "ipproto", "icmp", "blackhole")
        if self.silent == icmp:
            ip("-n", self.far, "rule", "delete" if icmp else "add", *silence)
            self.silent = not icmp

    def forget_paths(self):
        """What the client's Linux has learnt, which its MSS would tell."""
        ip("-n", self.client, "route", "flush", "cache")
        ip("-n", self.client, "-6", "route", "flush", "cache")

    def within(self, namespace):
        """In front of a command."""
        return ("ip", "netns", "exec", namespace)

    def forget(self):
        for namespace in (self.client, self.near, self.far):
            subprocess.run(["ip", "netns", "delete", namespace], capture_output=True)


def ip(*words):
    run("ip", *words)


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"no network namespaces here: {' '.join(command)}: {done.stderr.strip()}")
