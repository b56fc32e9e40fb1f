// OpenSSL's own client and curl against the hub and the example.

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "support/catch.hpp"
#include "support/example_program.hpp"
#include "support/tls.hpp"

using namespace downlink;
using namespace downlink::testing;

namespace {

struct Run {
  int status;
  std::string output;
};

/// What a shell's command writes, on stderr too, and its exit code. A time-out ends it with 124.
Run shell(const std::string& command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(("timeout 20 " + command + " 2>&1").c_str(), "r"),
                                                   [](FILE*) { return 0; });
  std::string output;
  char room[4096];
  for (std::size_t got = 0; (got = std::fread(room, 1, sizeof room, pipe.get())) > 0;) output.append(room, got);
  return {WEXITSTATUS(::pclose(pipe.get())), output};
}

struct TlsHub {
  explicit TlsHub(std::vector<std::string> more = {}) {
    std::vector<std::string> options{"--port",    "0",        "--telemetry", "off", "--tls-cert", files.certificate(),
                                     "--tls-key", files.key()};
    options.insert(options.end(), more.begin(), more.end());
    program = std::make_unique<ExampleProgram>("hub", options);
  }
  std::string address() { return "localhost:" + std::to_string(program->port()); }
  std::string url() { return "https://" + address() + "/channels/c"; }
  std::string curl(const std::string& options) {
    return "curl -sS --cacert " + files.certificate() + " " + options + " ";
  }

  Certificate files;
  std::unique_ptr<ExampleProgram> program;
};

}  // namespace

TEST_CASE("curl publishes, polls, waits and streams over TLS", "[tls][hub][WIRE-10]") {
  TlsHub hub;
  CHECK(hub.program->first_line().find("listening on https://127.0.0.1:") == 0);
  const auto posted = shell(hub.curl("--data hello") + hub.url());
  REQUIRE(posted.output.find("{\"id\":\"") == 0);
  const auto id = posted.output.substr(7, posted.output.find('"', 7) - 7);
  CHECK(shell(hub.curl("") + "'" + hub.url() + "?cursor=earliest'").output.find("\"data\":\"hello\"") !=
        std::string::npos);
  CHECK(shell(hub.curl("") + "'" + hub.url() + "?wait=0.1&cursor=" + id + "'").output.find("\"messages\":[]") !=
        std::string::npos);
  const auto stream =
      shell(hub.curl("-N --max-time 1 -H 'Accept: text/event-stream'") + "'" + hub.url() + "?cursor=earliest'");
  CHECK(stream.output.find("data: hello\n") != std::string::npos);
  // Twenty requests on one connection, HTTP/2 being offered too.
  const auto many =
      shell(hub.curl("-o /dev/null -w '%{http_version} %{num_connects} ' --http2") + "'" + hub.url() + "?n=[1-20]'");
  CHECK(many.output.find("1.1 1 1.1 0 1.1 0 ") == 0);
  CHECK(many.status == 0);
}

TEST_CASE("curl gets no further with TLS 1.1, another name's certificate or plain HTTP", "[tls][hub]") {
  TlsHub hub;
  CHECK(shell(hub.curl("--tls-max 1.1 --ciphers DEFAULT@SECLEVEL=0 --tlsv1.0") + hub.url()).status == 35);
  CHECK(shell("curl -sS " + hub.url()).status == 60);
  CHECK(shell("curl -sS http://" + hub.address() + "/").status != 0);
  const auto metrics = shell(hub.curl("") + "https://" + hub.address() + "/metrics").output;
  CHECK(metrics.find("downlink_tls_failures_total{reason=\"version\"} 1\n") != std::string::npos);
  CHECK(metrics.find("downlink_tls_failures_total{reason=\"refused_by_client\"} 1\n") != std::string::npos);
  CHECK(metrics.find("downlink_tls_failures_total{reason=\"not_tls\"} 1\n") != std::string::npos);
  CHECK(metrics.find("downlink_tls_handshakes_total 1\n") != std::string::npos);
}

TEST_CASE("OpenSSL's client agrees on TLS 1.3, HTTP/1.1 and tickets, and may update keys", "[tls][hub]") {
  TlsHub hub;
  const auto connect = "openssl s_client -connect " + hub.address() + " -CAfile " + hub.files.certificate() +
                       " -verify_return_error -alpn h2,http/1.1 ";
  const std::string get = "GET /healthz HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n";
  const auto modern = shell("sh -c \"printf '" + get + "' | " + connect + " -ign_eof\"").output;
  CHECK(modern.find("TLSv1.3") != std::string::npos);
  CHECK(modern.find("ALPN protocol: http/1.1") != std::string::npos);
  CHECK(modern.find("Verification: OK") != std::string::npos);
  CHECK(modern.find("HTTP/1.1 200") != std::string::npos);
  CHECK(modern.find("New, TLSv1.3") != std::string::npos);
  const auto session = hub.files.key() + ".session";
  CHECK(shell(connect + "-tls1_2 -sess_out " + session + " </dev/null").output.find("New, TLSv1.2") !=
        std::string::npos);
  CHECK(shell(connect + "-tls1_2 -sess_in " + session + " </dev/null").output.find("Reused, TLSv1.2") !=
        std::string::npos);
  CHECK(shell(connect + "-tls1_1 -cipher DEFAULT@SECLEVEL=0 </dev/null").output.find("alert protocol version") !=
        std::string::npos);
  // It takes a letter for a command only where it comes alone: each waits for what was said to the one before.
  const auto log = hub.files.key() + ".log";
  const auto after = [&](const std::string& words) {
    return "until grep -zq '" + words + "' " + log + "; do sleep 0.01; done; ";
  };
  const auto converse = [&](const std::string& input, const std::string& options) {
    return shell("sh -c \": >" + log + "; (" + input + ") | " + connect + options + " >" + log + " 2>&1; cat " + log +
                 "\"")
        .output;
  };
  const auto ready = after("Verify return code");
  const auto old = converse(ready + "echo R; " + after("no renegotiation"), "-tls1_2");
  CHECK(old.find("RENEGOTIATING") != std::string::npos);
  CHECK(old.find("no renegotiation") != std::string::npos);
  const auto updated = converse(ready + "echo K; " + after("KEYUPDATE") + "echo k; " + after("KEYUPDATE.*KEYUPDATE") +
                                    "printf '" + get + "'; " + after("HTTP/1.1 200"),
                                "");
  CHECK(updated.find("KEYUPDATE") != std::string::npos);
  CHECK(updated.find("HTTP/1.1 200") != std::string::npos);
}

TEST_CASE("SIGHUP has the hub and the example read the certificate again", "[tls][hub][WIRE-10]") {
  TlsHub hub;
  ExampleProgram example("tls", {hub.files.certificate(), hub.files.key(), "0"});
  for (auto* program : {hub.program.get(), &example}) program->first_line();
  for (auto* program : {hub.program.get(), &example}) {
    const auto name = [&] { return TlsClient(program->port()).handshake().name(); };
    hub.files.write("before");
    program->send_signal(SIGHUP);
    CHECK(eventually([&] { return name() == "before"; }));
    hub.files.write("after");
    program->send_signal(SIGHUP);
    CHECK(eventually([&] { return name() == "after"; }));
  }
  std::filesystem::remove(hub.files.key());
  hub.program->send_signal(SIGHUP);
  CHECK(TlsClient(hub.program->port()).handshake().name() == "after");
  hub.program->send_signal(SIGTERM);
  CHECK(hub.program->exit_code() == 0);
  CHECK(hub.program->error_output().find("hub: the certificate was not reloaded: ") == 0);
}

TEST_CASE("the hub takes the certificate and its key together, and says what is wrong with them", "[tls][hub]") {
  const Certificate files;
  for (const auto& options : {std::vector<std::string>{"--tls-cert", files.certificate()},
                              std::vector<std::string>{"--tls-key", files.key()}}) {
    ExampleProgram hub("hub", options);
    CHECK(hub.exit_code() == 2);
    CHECK(hub.error_output() == "hub: --tls-cert and --tls-key go together\n");
  }
  ExampleProgram hub("hub", {"--tls-cert", files.key(), "--tls-key", files.key()});
  CHECK(hub.exit_code() == 1);
  CHECK(hub.error_output().find("hub: can't use the certificate chain") == 0);
}
