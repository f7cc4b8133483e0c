// An agent on opamp-go, the same with every version of it: opamp-go ENDPOINT NAME. It keeps what it is told to run in
// applied.yaml, refuses what has "refuse-me" in it, and prints one line for everything that happens to it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/open-telemetry/opamp-go/client"
	"github.com/open-telemetry/opamp-go/client/types"
	"github.com/open-telemetry/opamp-go/protobufs"
)

const (
	pollingInterval = time.Second
	stopTimeout     = 5 * time.Second
	applied         = "applied.yaml"
)

type logger struct{}

func (logger) Debugf(context.Context, string, ...any) {}

func (logger) Errorf(_ context.Context, format string, v ...any) {
	say("trouble", fmt.Sprintf(format, v...))
}

func say(what string, of any) {
	fmt.Println(what, of)
}

type agent struct {
	client client.OpAMPClient
	mutex  sync.Mutex
	body   []byte
}

func (a *agent) effective(context.Context) (*protobufs.EffectiveConfig, error) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	file := &protobufs.AgentConfigFile{Body: a.body, ContentType: "text/yaml"}
	files := map[string]*protobufs.AgentConfigFile{"": file}
	return &protobufs.EffectiveConfig{ConfigMap: &protobufs.AgentConfigMap{ConfigMap: files}}, nil
}

func (a *agent) message(ctx context.Context, message *types.MessageData) {
	if identity := message.AgentIdentification; identity != nil {
		say("rekeyed", uuid.UUID(identity.NewInstanceUid))
	}
	offer := message.RemoteConfig
	if offer == nil {
		return
	}
	say("offered", fmt.Sprintf("%x", offer.ConfigHash))
	status := &protobufs.RemoteConfigStatus{
		LastRemoteConfigHash: offer.ConfigHash,
		Status:               protobufs.RemoteConfigStatuses_RemoteConfigStatuses_APPLIED,
	}
	if err := a.apply(offer.Config); err != nil {
		status.Status = protobufs.RemoteConfigStatuses_RemoteConfigStatuses_FAILED
		status.ErrorMessage = err.Error()
	}
	check(a.client.SetRemoteConfigStatus(status))
	check(a.client.UpdateEffectiveConfig(ctx))
}

func (a *agent) apply(config *protobufs.AgentConfigMap) error {
	var body []byte
	for _, file := range config.GetConfigMap() {
		body = append(body, file.Body...)
	}
	if strings.Contains(string(body), "refuse-me") {
		return fmt.Errorf("this agent refuses it")
	}
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.body = body
	return os.WriteFile(applied, body, 0o600)
}

func text(key, value string) *protobufs.KeyValue {
	any := &protobufs.AnyValue{Value: &protobufs.AnyValue_StringValue{StringValue: value}}
	return &protobufs.KeyValue{Key: key, Value: any}
}

func check(err error) {
	if err != nil {
		say("trouble", err)
	}
}

func main() {
	endpoint, name := os.Args[1], os.Args[2]
	uid := uuid.Must(uuid.NewV7())
	say("uid", uid)
	a := &agent{}
	if strings.HasPrefix(endpoint, "ws") {
		a.client = client.NewWebSocket(logger{})
	} else {
		over := client.NewHTTP(logger{})
		over.SetPollingInterval(pollingInterval)
		a.client = over
	}
	check(a.client.SetAgentDescription(&protobufs.AgentDescription{
		IdentifyingAttributes:    []*protobufs.KeyValue{text("service.name", name)},
		NonIdentifyingAttributes: []*protobufs.KeyValue{text("env", "interop")},
	}))
	check(a.client.SetHealth(&protobufs.ComponentHealth{Healthy: true, Status: "running"}))
	capabilities := protobufs.AgentCapabilities_AgentCapabilities_AcceptsRemoteConfig |
		protobufs.AgentCapabilities_AgentCapabilities_ReportsRemoteConfig |
		protobufs.AgentCapabilities_AgentCapabilities_ReportsEffectiveConfig |
		protobufs.AgentCapabilities_AgentCapabilities_ReportsHealth |
		protobufs.AgentCapabilities_AgentCapabilities_ReportsHeartbeat |
		protobufs.AgentCapabilities_AgentCapabilities_ReportsStatus
	check(a.client.SetCapabilities(&capabilities))
	err := a.client.Start(context.Background(), types.StartSettings{
		OpAMPServerURL: endpoint,
		InstanceUid:    types.InstanceUid(uid),
		Callbacks: types.Callbacks{
			OnConnect:          func(context.Context) { say("connected", "") },
			OnConnectFailed:    func(_ context.Context, err error) { say("failed", err) },
			OnError:            func(_ context.Context, err *protobufs.ServerErrorResponse) { say("error", err) },
			OnMessage:          a.message,
			GetEffectiveConfig: a.effective,
		},
	})
	if err != nil {
		say("cannot start", err)
		os.Exit(1)
	}
	stopping := make(chan os.Signal, 1)
	signal.Notify(stopping, syscall.SIGINT, syscall.SIGTERM)
	<-stopping
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	check(a.client.Stop(ctx))
	say("stopped", "")
}
