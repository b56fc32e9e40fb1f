// A transport of the application's own beside one of the library's: newline-delimited JSON, one object a line.
//   curl -N -H 'Accept: application/x-ndjson' http://127.0.0.1:8080/prices
//   curl -N http://127.0.0.1:8080/prices

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>
#include <string_view>

#include <asio/detached.hpp>
#include <asio/this_coro.hpp>
#include <downlink/downlink.hpp>
#include <downlink/wire/base64.hpp>
#include <downlink/wire/json.hpp>

// Only how messages look is said here. Cursors, resume, chunks, pace and limits are the library's.
struct Ndjson {
  static constexpr std::string_view name = "ndjson";
  static constexpr std::string_view content_type = "application/x-ndjson";

  static bool claims(const downlink::RequestHead& head) { return downlink::accept_names(head, content_type); }

  static void encode(std::string& out, const downlink::MessageView& message) {
    out += '{';
    if (!message.id.empty()) member(out, "id", message.id) += ',';
    if (!message.event.empty()) member(out, "event", message.event) += ',';
    if (message.binary) {
      std::string text;
      downlink::wire::append_base64(text, message.data);
      member(out, "base64", text) += "}\n";
    } else {
      member(out, "data", message.data) += "}\n";
    }
  }
  // The cursor to resume from before the first message.
  static void open(std::string& out, const downlink::Opening& opening) {
    out += '{';
    member(out, "open", opening.cursor) += "}\n";
  }
  static void gap(std::string& out, const downlink::GapNotice& notice) {
    out += '{';
    member(out, "gap", notice.requested) += ',';
    member(out, "earliest", notice.earliest) += "}\n";
  }
  static void heartbeat(std::string& out) { out += '\n'; }
  static void end(std::string&, const downlink::Ending&) {}

 private:
  static std::string& member(std::string& out, std::string_view key, std::string_view value) {
    downlink::wire::append_json_string(out, key);
    out += ':';
    downlink::wire::append_json_string(out, value);
    return out;
  }
};

// Publishes a price each second.
asio::awaitable<void> publish_prices(downlink::Publisher publisher) {
  asio::steady_timer timer{co_await asio::this_coro::executor};
  std::minstd_rand random{std::random_device{}()};
  for (int price = 42000;; price += std::uniform_int_distribution{-50, 50}(random)) {
    publisher.publish({.data = R"({"symbol":"BTC","price":)" + std::to_string(price) + "}", .event = "price"});
    timer.expires_after(std::chrono::seconds{1});
    co_await timer.async_wait(asio::use_awaitable);
  }
}

int main(int argc, char** argv) try {
  const auto port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 8080);
  asio::io_context io;
  downlink::Channel prices;
  downlink::Server<Ndjson, downlink::Sse> server{io, {.port = port}};
  server.route("/prices", prices);
  server.start();
  std::cout << "listening on http://127.0.0.1:" << server.port() << "/prices" << std::endl;

  asio::co_spawn(io, publish_prices(downlink::Publisher{prices}), asio::detached);
  io.run();
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
