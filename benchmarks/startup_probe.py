"""A sitecustomize for benchmarks: notes when a task's arguments are parsed, and which SDKs are imported by then.

In a module's own process the time runs from the start of the process, in Ansible's worker from the start of the action.
"""

import os
import sys

if os.environ.get("AKSOPS_STARTUP_PROBE"):
    import importlib.abc
    import importlib.util
    import json
    import time

    started = []

    def note(seconds):
        sdks = sorted({name.split(".")[0] for name in sys.modules} & {"azure", "msal", "requests", "urllib3"})
        with open(os.environ["AKSOPS_STARTUP_PROBE"], "w") as file:
            json.dump({"seconds": seconds, "sdks": sdks}, file)

    def wrap_module(module):
        construct = module.AnsibleModule.__init__

        def constructed(self, *args, **kwargs):
            construct(self, *args, **kwargs)
            with open("/proc/self/stat") as file:
                ticks = int(file.read().rsplit(")", 1)[1].split()[19])
            with open("/proc/uptime") as file:
                uptime = float(file.read().split()[0])
            note(uptime - ticks / os.sysconf("SC_CLK_TCK"))

        module.AnsibleModule.__init__ = constructed

    def wrap_action(module):
        run = module.ActionBase.run

        def timed(self, *args, **kwargs):
            started[:] = [time.perf_counter()]
            return run(self, *args, **kwargs)

        module.ActionBase.run = timed

    def wrap_validator(module):
        validate = module.ArgumentSpecValidator.validate

        def timed(self, *args, **kwargs):
            found = validate(self, *args, **kwargs)
            if started:
                note(time.perf_counter() - started[0])
            return found

        module.ArgumentSpecValidator.validate = timed

    WRAPPED = {
        "ansible.module_utils.basic": wrap_module,
        "ansible.plugins.action": wrap_action,
        "ansible.module_utils.common.arg_spec": wrap_validator,
    }

    class Loader(importlib.abc.Loader):
        """Executes the real module, then wraps what is to be timed."""

        def __init__(self, real, wrap):
            self.real, self.wrap = real, wrap

        def create_module(self, spec):
            return self.real.create_module(spec)

        def exec_module(self, module):
            self.real.exec_module(module)
            self.wrap(module)

    class Finder(importlib.abc.MetaPathFinder):
        """Stands before whichever finder knows the module."""

        def find_spec(self, name, path, target=None):
            wrap = WRAPPED.pop(name, None)
            if wrap is None:
                return None
            spec = importlib.util.find_spec(name)
            spec.loader = Loader(spec.loader, wrap)
            return spec

    sys.meta_path.insert(0, Finder())
