// A minimal server on opamp-go: it keeps the last message of each agent in a map and replies to every message.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"

	"github.com/open-telemetry/opamp-go/protobufs"
	"github.com/open-telemetry/opamp-go/server"
	"github.com/open-telemetry/opamp-go/server/types"
)

type quiet struct{}

func (quiet) Debugf(context.Context, string, ...interface{}) {}
func (quiet) Errorf(context.Context, string, ...interface{}) {}

func main() {
	var mutex sync.Mutex
	agents := map[string]*protobufs.AgentToServer{}
	reply := func(_ context.Context, _ types.Connection, message *protobufs.AgentToServer) *protobufs.ServerToAgent {
		mutex.Lock()
		agents[string(message.InstanceUid)] = message
		mutex.Unlock()
		return &protobufs.ServerToAgent{InstanceUid: message.InstanceUid, Capabilities: 7}
	}
	callbacks := types.Callbacks{
		OnConnecting: func(*http.Request) types.ConnectionResponse {
			return types.ConnectionResponse{
				Accept:              true,
				ConnectionCallbacks: types.ConnectionCallbacks{OnMessage: reply},
			}
		},
	}
	callbacks.SetDefaults()
	handler, connection, err := server.New(quiet{}).Attach(server.Settings{Callbacks: callbacks})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/opamp", handler)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(listener.Addr())
	httpServer := &http.Server{Handler: mux, ConnContext: connection}
	if err := httpServer.Serve(listener); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
