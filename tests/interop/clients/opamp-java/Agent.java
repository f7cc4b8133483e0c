// An agent on the OpAMP client of OpenTelemetry Java contrib: Agent ENDPOINT NAME [restless]. It keeps what it is told
// to run in applied.yaml, refuses what has "refuse-me" in it, and prints one line for everything that happens to it.
// Over WebSocket the client speaks only when something changes: a file "touch" in its directory changes the description
// once, and a restless agent changes it every three seconds.

import io.opentelemetry.opamp.client.OpampClient;
import io.opentelemetry.opamp.client.internal.connectivity.http.OkHttpSender;
import io.opentelemetry.opamp.client.internal.connectivity.websocket.OkHttpWebSocket;
import io.opentelemetry.opamp.client.internal.request.delay.PeriodicDelay;
import io.opentelemetry.opamp.client.internal.request.delay.RetryPeriodicDelay;
import io.opentelemetry.opamp.client.internal.request.service.HttpRequestService;
import io.opentelemetry.opamp.client.internal.request.service.WebSocketRequestService;
import io.opentelemetry.opamp.client.internal.response.MessageData;
import io.opentelemetry.opamp.client.internal.state.State;
import io.opentelemetry.opamp.client.request.service.RequestService;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CountDownLatch;
import okhttp3.OkHttpClient;
import okio.ByteString;
import opamp.proto.AgentConfigFile;
import opamp.proto.AgentConfigMap;
import opamp.proto.AgentDescription;
import opamp.proto.AgentRemoteConfig;
import opamp.proto.AnyValue;
import opamp.proto.KeyValue;
import opamp.proto.RemoteConfigStatus;
import opamp.proto.RemoteConfigStatuses;
import opamp.proto.ServerErrorResponse;

public final class Agent implements OpampClient.Callbacks {
  private static final Duration POLLING = Duration.ofSeconds(1);
  private static final Duration PING = Duration.ofSeconds(5);
  private static final Duration RETRY = Duration.ofSeconds(1);
  private static final Duration GOODBYE = Duration.ofSeconds(1);
  private static final Duration LOOK = Duration.ofMillis(100);
  private static final int LOOKS_OF_THE_RESTLESS = 30;

  private final Effective effective = new Effective();

  private static final class Effective extends State.EffectiveConfig {
    private volatile String body = "";

    @Override
    public opamp.proto.EffectiveConfig get() {
      AgentConfigFile file =
          new AgentConfigFile.Builder().body(ByteString.encodeUtf8(body)).content_type("text/yaml").build();
      AgentConfigMap files = new AgentConfigMap.Builder().config_map(Map.of("", file)).build();
      return new opamp.proto.EffectiveConfig.Builder().config_map(files).build();
    }

    void become(String changed) {
      body = changed;
      notifyUpdate();
    }
  }

  private static synchronized void say(String what, Object of) {
    System.out.println(what + " " + of);
  }

  @Override
  public void onConnect(OpampClient client) {
    say("connected", "");
  }

  @Override
  public void onConnectFailed(OpampClient client, Throwable error) {
    say("failed", error);
  }

  @Override
  public void onErrorResponse(OpampClient client, ServerErrorResponse error) {
    say("error", error);
  }

  @Override
  public void onMessage(OpampClient client, MessageData message) {
    AgentRemoteConfig offer = message.getRemoteConfig();
    if (offer == null) {
      return;
    }
    say("offered", offer.config_hash.hex());
    StringBuilder body = new StringBuilder();
    for (AgentConfigFile file : offer.config.config_map.values()) {
      body.append(file.body.utf8());
    }
    RemoteConfigStatus.Builder status = new RemoteConfigStatus.Builder().last_remote_config_hash(offer.config_hash);
    if (body.indexOf("refuse-me") >= 0) {
      status.status(RemoteConfigStatuses.RemoteConfigStatuses_FAILED).error_message("this agent refuses it");
    } else {
      try {
        Files.writeString(Path.of("applied.yaml"), body);
      } catch (IOException error) {
        throw new IllegalStateException(error);
      }
      effective.become(body.toString());
      status.status(RemoteConfigStatuses.RemoteConfigStatuses_APPLIED);
    }
    client.setRemoteConfigStatus(status.build());
  }

  private static RequestService service(String endpoint) {
    OkHttpClient over = new OkHttpClient.Builder().pingInterval(PING).build();
    if (endpoint.startsWith("ws")) {
      return WebSocketRequestService.create(
          OkHttpWebSocket.create(endpoint, over), RetryPeriodicDelay.create(RETRY));
    }
    return HttpRequestService.create(
        OkHttpSender.create(endpoint, over),
        PeriodicDelay.ofFixedDuration(POLLING),
        RetryPeriodicDelay.create(RETRY));
  }

  private static KeyValue text(String key, String value) {
    AnyValue any = new AnyValue.Builder().string_value(value).build();
    return new KeyValue.Builder().key(key).value(any).build();
  }

  private static AgentDescription description(String name, int touched) {
    return new AgentDescription.Builder()
        .identifying_attributes(List.of(text("service.name", name)))
        .non_identifying_attributes(List.of(text("env", "interop"), text("touched", Integer.toString(touched))))
        .build();
  }

  public static void main(String[] arguments) throws Exception {
    String endpoint = arguments[0];
    String name = arguments[1];
    boolean restless = arguments.length > 2;
    UUID uid = UUID.randomUUID();
    say("uid", uid);
    byte[] bytes =
        java.nio.ByteBuffer.allocate(16)
            .putLong(uid.getMostSignificantBits())
            .putLong(uid.getLeastSignificantBits())
            .array();
    Agent agent = new Agent();
    OpampClient client =
        OpampClient.builder()
            .setRequestService(service(endpoint))
            .setInstanceUid(bytes)
            .putIdentifyingAttribute("service.name", name)
            .putNonIdentifyingAttribute("env", "interop")
            .setEffectiveConfigState(agent.effective)
            .enableRemoteConfig()
            .enableEffectiveConfigReporting()
            .build(agent);
    CountDownLatch stopped = new CountDownLatch(1);
    Thread main = Thread.currentThread();
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      main.interrupt();
      try {
        stopped.await();
      } catch (InterruptedException ended) {
        say("trouble", ended);
      }
    }));
    Path touch = Path.of("touch");
    int touched = 0;
    try {
      for (int looks = 1; true; looks++) {
        Thread.sleep(LOOK.toMillis());
        if (Files.deleteIfExists(touch) || restless && looks % LOOKS_OF_THE_RESTLESS == 0) {
          touched += 1;
          client.setAgentDescription(description(name, touched));
        }
      }
    } catch (InterruptedException asked) {
      client.close();
      // the goodbye is sent by a thread that does not keep the process alive
      Thread.sleep(GOODBYE.toMillis());
      say("stopped", "");
    } finally {
      stopped.countDown();
    }
  }
}
