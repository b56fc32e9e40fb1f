#include <cstddef>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "support/served.hpp"
#include "support/sse_client.hpp"
#include "support/websocket_client.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

/// What a client sends, and what the answer to it ends with; nothing where none comes.
struct Step {
  std::string send;
  std::string mark;
};
using Script = std::vector<Step>;

enum class Cut { reset, close };

/// A server whose connections are cut, and a subscriber who must not notice.
struct Cutting {
  explicit Cutting(bool one_thread)
      : channel({.history = {.max_messages = 2}}),
        publisher(channel),
        server(loop.contexts(), {.endpoint = {.one_thread = one_thread}}) {
    server.route("/c", channel);
    server.on_message("/c", [](Peer, Inbound message) -> Reply { return Message{.data = "echo " + message.data}; });
    server.start();
    publish();
    publish();
    watcher.emplace_back(server.port(), "/c");
    watcher.front().open();
  }

  void publish() { published.push_back(publisher.publish({.data = "a message of one length"}).value().to_string()); }

  /// How many bytes have come once each step is through.
  std::vector<std::size_t> record(const Script& script) {
    std::vector<std::size_t> counts;
    Connection client(server.port(), 20s);
    std::size_t count = 0;
    for (const auto& step : script) {
      client.send(step.send);
      if (!step.mark.empty()) count += client.read_until(step.mark).size();
      counts.push_back(count);
    }
    return counts;
  }

  /// Goes on until it has sent and received that much, and cuts.
  void play(const Script& script, const std::vector<std::size_t>& counts, std::size_t to_send, std::size_t to_receive,
            Cut cut) {
    Connection client(server.port(), 20s);
    std::size_t received = 0;
    for (std::size_t i = 0; i < script.size(); ++i) {
      const auto part = std::string_view(script[i].send).substr(0, to_send);
      client.send(part);
      to_send -= part.size();
      if (part.size() < script[i].send.size()) break;
      const auto next = std::min(counts[i], to_receive);
      client.read_exactly(next - received);
      received = next;
      if (received == to_receive && to_send == 0) break;
    }
    cut == Cut::reset ? client.reset() : client.close();
    if (++cuts % 8 == 0) publish();
  }

  /// Cuts after each byte in either direction. Counters come back, and the watcher has got everything.
  void cut_everywhere(const Script& script) {
    const auto counts = record(script);
    std::size_t sends = 0;
    for (const auto& step : script) sends += step.send.size();
    const auto all = ~std::size_t{0};
    for (const auto cut : {Cut::reset, Cut::close}) {
      for (std::size_t sent = 0; sent <= sends; ++sent) play(script, counts, sent, all, cut);
      for (std::size_t got = 1; got <= counts.back(); ++got) {
        // No more is sent than what it takes to get that far.
        std::size_t needed = 0;
        for (std::size_t i = 0; i < script.size(); ++i) {
          needed += script[i].send.size();
          if (counts[i] >= got) break;
        }
        play(script, counts, needed, got, cut);
      }
      CHECK(eventually([&] { return channel.subscriber_count() == 1 && server.connection_count() == 1; }, 20s));
    }
    publish();
    for (std::size_t i = 2; i < published.size(); ++i) REQUIRE(watcher.front().next_event().id == published[i]);
    CHECK(cuts > 200);
  }

  Channel channel;
  Publisher publisher;
  Loop loop{2};
  Server<ShortPolling, LongPolling, Sse, WebSocket> server;
  std::vector<std::string> published;
  std::deque<SseClient> watcher;
  std::size_t cuts = 0;
};

Script websocket_script(std::string_view headers) {
  return {{WebSocketClient::request("/c?cursor=earliest", headers), "length"},
          {client_frame(ws_ping, "there?"), "there?"},
          {client_frame(ws_text, "hello"), "echo hello"},
          {client_frame(ws_close, close_payload(1000, "bye")), std::string("\x88\x02\x03\xE8")}};
}

}  // namespace

TEST_CASE("a cut at any byte of an event stream hurts nobody else", "[scenario][WIRE-4]") {
  Cutting(false).cut_everywhere(
      {{request_text("GET", "/c?cursor=earliest", "Accept: text/event-stream\r\n"), "length\n\n\r\n"}, {"stray", ""}});
}

TEST_CASE("a cut at any byte of a WebSocket without the subprotocol hurts nobody else", "[scenario][WIRE-5]") {
  Cutting(false).cut_everywhere(websocket_script({}));
}

TEST_CASE("a cut at any byte of a WebSocket with the subprotocol hurts nobody else", "[scenario][WIRE-5]") {
  Cutting(true).cut_everywhere(websocket_script(WebSocketClient::v1));
}

TEST_CASE("a cut at any byte of a long poll, answered or held, hurts nobody else", "[scenario][WIRE-3]") {
  Cutting(false).cut_everywhere({{request_text("GET", "/c?wait=60&cursor=earliest"), "]}"},
                                 {request_text("GET", "/c?wait=60"), ""},
                                 {"GET /c HTTP/1.1\r\n", ""}});
}

TEST_CASE("a cut at any byte of a short poll hurts nobody else", "[scenario][WIRE-3]") {
  const auto poll = request_text("GET", "/c?cursor=earliest");
  Cutting(true).cut_everywhere({{poll, "]}"}, {poll + request_text("HEAD", "/c"), "]}"}});
}

TEST_CASE("a cut at any byte of a POST, or of a refusal, hurts nobody else", "[scenario][WIRE-6][WIRE-8]") {
  Cutting(false).cut_everywhere(
      {{"POST /c HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n", "\r\n\r\n"},
       {"5\r\nhello\r\n0\r\n\r\n", "echo hello"},
       {request_text("POST", "/c", {}, "again"), "echo again"},
       {"BAD\r\nrest", "}"}});
}
