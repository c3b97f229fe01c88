"""A sitecustomize for benchmarks: notes when a module has parsed its arguments, and which SDKs are imported by then."""

import os
import sys

if os.environ.get("AKSOPS_STARTUP_PROBE") and len(sys.argv) <= 1:
    import importlib.abc
    import importlib.util

    NAME = "ansible.module_utils.basic"

    class Loader(importlib.abc.Loader):
        """Executes the real module, then wraps AnsibleModule's constructor."""

        def __init__(self, real):
            self.real = real

        def create_module(self, spec):
            return self.real.create_module(spec)

        def exec_module(self, module):
            self.real.exec_module(module)
            construct = module.AnsibleModule.__init__

            def constructed(self, *args, **kwargs):
                construct(self, *args, **kwargs)
                note()

            module.AnsibleModule.__init__ = constructed

    class Finder(importlib.abc.MetaPathFinder):
        """Stands before whichever finder knows the module."""

        def find_spec(self, name, path, target=None):
            if name != NAME:
                return None
            sys.meta_path.remove(self)
            spec = importlib.util.find_spec(name)
            spec.loader = Loader(spec.loader)
            return spec

    def note():
        import json
        import time

        with open("/proc/self/stat") as file:
            ticks = int(file.read().rsplit(")", 1)[1].split()[19])
        with open("/proc/uptime") as file:
            uptime = float(file.read().split()[0])
        started = ticks / os.sysconf("SC_CLK_TCK")
        sdks = sorted({name.split(".")[0] for name in sys.modules} & {"azure", "msal", "requests", "urllib3"})
        with open(os.environ["AKSOPS_STARTUP_PROBE"], "w") as file:
            json.dump({"seconds": uptime - started, "processor": time.process_time(), "sdks": sdks}, file)

    sys.meta_path.insert(0, Finder())
