"""The servers and clients of the suite, each a process of its own, pinned to a core and ended with the suite."""

import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).parent
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, CLIENT_CORE = CORES[0], CORES[-1]
NCHAN_MODULES = ["/usr/lib/nginx/modules/ndk_http_module.so", "/usr/lib/nginx/modules/ngx_nchan_module.so"]


def pinned(command, core, first=False):
    """A command on one core (None: on all), which ends when we do, whatever becomes of us. With `first`, it comes
    before all other work on the machine, where we may ask for that."""
    pin = [] if core is None else ["taskset", "-c", str(core)]
    if first and os.geteuid() == 0:
        pin += ["chrt", "--fifo", "1"]
    return pin + ["setpriv", "--pdeathsig", "KILL"] + [str(word) for word in command]


class Failure(Exception):
    pass


class Process:
    def __init__(self, command, core, first=False, **options):
        self.popen = subprocess.Popen(pinned(command, core, first), stdout=subprocess.PIPE, text=True, **options)

    def read_line(self, seconds):
        if not select.select([self.popen.stdout], [], [], seconds)[0]:
            raise Failure(f"no word in {seconds} s from {self.popen.args}")
        return self.popen.stdout.readline()

    def stop(self):
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(5)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        for stream in (self.popen.stdin, self.popen.stdout):
            if stream:
                stream.close()


class Server:
    """One of the compared servers. `kind` is a name of SERVERS."""

    def __init__(self, kind, programs, channels=1, first=False, core=SERVER_CORE):
        self.kind = kind
        self.directory = None
        command = [str(word).format(programs=programs, suite=HERE, channels=channels) for word in SERVERS[kind]]
        self.is_nchan = kind == "nchan"
        if self.is_nchan:
            command = self._configure_nchan(command)
        self.process = Process(command, core, first)
        try:
            if self.is_nchan:
                self.control = self.port
                self._wait_for_nchan()
            else:
                self.port, self.control = map(int, self.process.read_line(20).split())
        except Exception:
            self.stop()
            raise

    def pids(self):
        children = pathlib.Path(f"/proc/{self.process.popen.pid}/task/{self.process.popen.pid}/children").read_text()
        return [self.process.popen.pid] + [int(pid) for pid in children.split()]

    def rss(self):
        """Resident bytes of its processes."""
        statuses = (pathlib.Path(f"/proc/{pid}/status").read_text() for pid in self.pids())
        return sum(int(re.search(r"VmRSS:\s+(\d+)", status)[1]) for status in statuses) * 1024

    def stop(self):
        self.process.stop()
        if self.directory:
            shutil.rmtree(self.directory)

    def _configure_nchan(self, command):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.directory = tempfile.mkdtemp(prefix="downlink_nchan_")
        modules = "".join(f"load_module {path};\n" for path in NCHAN_MODULES if os.path.exists(path))
        text = (HERE / "peers" / "nchan.conf").read_text()
        text = text.replace("@PORT@", str(self.port)).replace("@DIRECTORY@", self.directory)
        pathlib.Path(self.directory, "nginx.conf").write_text(modules + text)
        return command + ["-p", self.directory, "-c", f"{self.directory}/nginx.conf",
                          "-e", f"{self.directory}/error.log"]

    def _wait_for_nchan(self):
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                if len(self.pids()) > 1:  # the worker
                    return
            except ConnectionRefusedError:
                if self.process.popen.poll() is not None:
                    break
            time.sleep(0.05)
        raise Failure("nchan did not start: " + pathlib.Path(self.directory, "error.log").read_text())


class Load:
    """Subscribers of one server over one transport, in a process of their own."""

    def __init__(self, server, transport, programs, channels=1):
        self.name = f"{server.kind}, {transport}"
        command = [f"{programs}/suite_load", "--transport", transport, "--port", server.port,
                   "--control", server.control, "--channels", channels]
        for pid in server.pids():
            command += ["--pid", pid]
        if server.is_nchan:
            command += ["--nchan", "--path", f"/{transport}/"]
        self.process = Process(command, CLIENT_CORE, stdin=subprocess.PIPE)

    def do(self, command):
        """Has it do something, and gives what it measured."""
        self.process.popen.stdin.write(command + "\n")
        self.process.popen.stdin.flush()
        answer = json.loads(self.process.read_line(300) or '{"error": "the load has ended"}')
        if "error" in answer:
            raise Failure(f"{self.name}: {command}: {answer['error']}")
        return answer

    def stop(self):
        self.process.stop()


SERVERS = {
    "limit A": ["{programs}/suite_limit", "A", "{channels}"],
    "limit B": ["{programs}/suite_limit", "B", "{channels}"],
    "downlink": ["{programs}/suite_downlink", "1", "{channels}"],
    "downlink io_uring": ["{programs}/suite_downlink_io_uring", "1", "{channels}"],
    "downlink, 2 shards": ["{programs}/suite_downlink", "2", "{channels}"],
    "Asio": ["{programs}/suite_asio"],
    "Boost.Beast": ["{programs}/suite_beast"],
    "websocketpp": ["{programs}/suite_websocketpp"],
    "Node ws": ["node", "{suite}/peers/ws.cjs"],
    "Node SSE": ["node", "{suite}/peers/sse.cjs"],
    "nchan": ["nginx"],
}
SPOKEN = {
    "limit A": {"websocket", "sse", "long", "short"},
    "limit B": {"websocket", "sse", "long", "short"},
    "downlink": {"websocket", "sse", "long", "short"},
    "downlink io_uring": {"websocket", "sse"},
    "Asio": {"websocket", "sse"},
    "Boost.Beast": {"websocket"},
    "websocketpp": {"websocket"},
    "Node ws": {"websocket"},
    "Node SSE": {"sse"},
    "nchan": {"websocket", "sse", "long"},
}


class Field:
    """Servers that are up at once, each with a load of its own. Further options are those of Server."""

    def __init__(self, kinds, transport, programs, clients=0, channels=1, **options):
        self.servers, self.loads = {}, {}
        try:
            for kind in kinds:
                self.servers[kind] = Server(kind, programs, channels, **options)
                self.loads[kind] = Load(self.servers[kind], transport, programs, channels)
            if clients:
                for load in self.loads.values():
                    load.do(f"connect {clients}")
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in [*self.loads.values(), *self.servers.values()]:
            process.stop()
