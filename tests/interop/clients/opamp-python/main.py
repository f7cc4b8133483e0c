"""An agent on opentelemetry-opamp-client: main.py ENDPOINT NAME.

It keeps what it is told to run in applied.yaml, refuses what has "refuse-me" in it, and prints one line for everything
that happens to it. It leaves as the client's own documentation has it: goodbye by stop(), and again at exit.
"""

import signal
import sys
import threading
import uuid

from opentelemetry._opamp.agent import OpAMPAgent
from opentelemetry._opamp.callbacks import OpAMPCallbacks
from opentelemetry._opamp.client import OpAMPClient
from opentelemetry._opamp.proto import opamp_pb2

POLLING_SECONDS = 1


def say(what, of=""):
    print(what, of, flush=True)


class Callbacks(OpAMPCallbacks):
    connected = False

    def on_connect(self, agent, client):
        if not self.connected:
            say("connected")
        self.connected = True

    def on_connect_failed(self, agent, client, error):
        self.connected = False
        say("failed", error)

    def on_error(self, agent, client, error_response):
        say("error", str(error_response).replace("\n", " "))

    def on_message(self, agent, client, message):
        offer = message.remote_config
        if offer is None:
            return
        say("offered", offer.config_hash.hex())
        body = "".join(file.body.decode() for file in offer.config.config_map.values())
        if "refuse-me" in body:
            outcome = (opamp_pb2.RemoteConfigStatuses_FAILED, "this agent refuses it")
        else:
            with open("applied.yaml", "w", encoding="utf-8") as applied:
                applied.write(body)
            client.update_effective_config({"": body}, "text/yaml")
            outcome = (opamp_pb2.RemoteConfigStatuses_APPLIED, "")
        changed = client.update_remote_config_status(offer.config_hash, *outcome)
        if changed is not None:
            # the full state has the effective configuration beside the status
            agent.send(client.build_full_state_message())


def main():
    endpoint, name = sys.argv[1:]
    client = OpAMPClient(
        endpoint=endpoint,
        agent_identifying_attributes={"service.name": name},
        agent_non_identifying_attributes={"env": "interop"},
    )
    say("uid", uuid.UUID(bytes=client._instance_uid))
    agent = OpAMPAgent(interval=POLLING_SECONDS, callbacks=Callbacks(), client=client)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    agent.start()
    stopping.wait()
    agent.stop()
    say("stopped")


main()
