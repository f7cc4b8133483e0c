// An agent on @elastic/opamp-client-node: main.js ENDPOINT NAME. It keeps what it is told to run in applied.yaml,
// refuses what has "refuse-me" in it, and prints one line for everything that happens to it.
'use strict';

const {writeFileSync} = require('node:fs');
const {subscribe} = require('node:diagnostics_channel');
const opamp = require('@elastic/opamp-client-node');

const HEARTBEAT_SECONDS = 1;
const [endpoint, name] = process.argv.slice(2);
const say = (what, of) => console.log(what, of ?? '');
const text = (bytes) => Buffer.from(bytes).toString('hex');

function apply({remoteConfig}) {
    if (!remoteConfig) {
        return;
    }
    say('offered', text(remoteConfig.configHash));
    const files = Object.values(remoteConfig.config.configMap);
    const body = files.map((file) => Buffer.from(file.body).toString()).join('');
    const refused = body.includes('refuse-me');
    if (!refused) {
        writeFileSync('applied.yaml', body);
    }
    const {RemoteConfigStatuses_APPLIED, RemoteConfigStatuses_FAILED} = opamp.RemoteConfigStatuses;
    client.setRemoteConfigStatus({
        lastRemoteConfigHash: remoteConfig.configHash,
        status: refused ? RemoteConfigStatuses_FAILED : RemoteConfigStatuses_APPLIED,
        errorMessage: refused ? 'this agent refuses it' : '',
    });
}

const {AgentCapabilities_AcceptsRemoteConfig, AgentCapabilities_ReportsRemoteConfig} = opamp.AgentCapabilities;
const client = opamp.createOpAMPClient({
    endpoint,
    capabilities: AgentCapabilities_AcceptsRemoteConfig | AgentCapabilities_ReportsRemoteConfig,
    heartbeatIntervalSeconds: HEARTBEAT_SECONDS,
    onMessage: apply,
    diagEnabled: true,
});
const uid = text(client.getInstanceUid());
let known = uid;
say('uid', uid);
let connected = false;
subscribe(opamp.DIAG_CH_SEND_SUCCESS, () => {
    if (!connected) {
        say('connected');
    }
    connected = true;
    const current = text(client.getInstanceUid());
    if (current !== known) {
        say('rekeyed', current);
    }
    known = current;
});
subscribe(opamp.DIAG_CH_SEND_FAIL, ({err, retryAfterMs}) => {
    connected = false;
    say('failed', `${err} retry after ${retryAfterMs} ms`);
});
client.setAgentDescription({
    identifyingAttributes: {'service.name': name},
    nonIdentifyingAttributes: {env: 'interop'},
});
client.start();
// the client's own timers do not keep the process alive
const alive = setInterval(() => {}, 60_000);
for (const signal of ['SIGINT', 'SIGTERM']) {
    process.on(signal, async () => {
        clearInterval(alive);
        await client.shutdown();
        say('stopped');
        process.exit(0);
    });
}
