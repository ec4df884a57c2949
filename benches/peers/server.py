"""The child process that runs eigenflow's cases (`serve.rs`)."""

import json
import subprocess


class ServerError(Exception):
    """A command that the child could not obey."""


class Server:
    """Commands in, answers out, one line each."""

    def __init__(self, program):
        self._child = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._child.stdin.close()
        self._child.wait(timeout=60)

    def ask(self, *words):
        """Sends a command; its answer."""
        command = " ".join(map(str, words))
        try:
            self._child.stdin.write(command + "\n")
            line = self._child.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise ServerError(f"eigenflow's process ended at '{command}' (its message is above)")
        answer = json.loads(line)
        if "error" in answer:
            raise ServerError(f"'{command}': {answer['error']}")
        return answer
