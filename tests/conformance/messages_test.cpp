#include "conformance/conversation.hpp"

using namespace downlink::testing;

namespace {

constexpr std::size_t kib = 1024;
constexpr std::size_t mib = 1024 * kib;

// A message as fragments of `size` bytes.
std::string fragmented(unsigned opcode, std::string_view payload, std::size_t size) {
  std::string bytes;
  bytes.reserve(payload.size() + payload.size() / size * 14 + 14);
  for (std::size_t at = 0; at < payload.size(); at += size) {
    bytes += client_frame(at == 0 ? opcode : ws_continuation, payload.substr(at, size),
                          {.fin = at + size >= payload.size()});
  }
  return bytes;
}

}  // namespace

TEST_CASE("messages of up to 16 MiB come back", "[conformance][WIRE-10]") {
  Echo echo;
  for (const std::size_t size : {64 * kib, 256 * kib, mib, 4 * mib, 8 * mib, 16 * mib}) {
    CAPTURE(size);
    echo.answers(text_frame(prose(size)), {{ws_text, prose(size)}});
    echo.answers(binary_frame(noise(size)), {{ws_binary, noise(size)}});
  }
}

TEST_CASE("a message comes back whole whatever the size of its fragments", "[conformance][RFC6455-5.4]") {
  Echo echo;
  for (std::size_t size = 64; size <= mib; size *= 4) {
    CAPTURE(size);
    const auto whole = size == 64 ? mib : 4 * mib;
    echo.answers(fragmented(ws_text, prose(whole), size), {{ws_text, prose(whole)}});
    echo.answers(fragmented(ws_binary, noise(whole), size), {{ws_binary, noise(whole)}});
  }
  echo.answers(fragmented(ws_binary, noise(16 * mib), mib), {{ws_binary, noise(16 * mib)}});
}

TEST_CASE("a message comes back whole whatever the size of its packets", "[conformance][RFC6455-5.2]") {
  Echo echo;
  for (std::size_t piece = 64; piece <= 2 * kib; piece *= 2) {
    CAPTURE(piece);
    echo.answers(text_frame(prose(mib)), {{ws_text, prose(mib)}}, piece);
    echo.answers(binary_frame(noise(mib)), {{ws_binary, noise(mib)}}, piece);
  }
}

TEST_CASE("a message over 16 MiB fails with 1009, which its sender reads though it sends all of it first",
          "[conformance][RFC6455-7.4.1][WIRE-5]") {
  Echo echo;
  const auto bytes = noise(16 * mib + 1);
  for (const auto& message :
       {binary_frame(bytes), text_frame(prose(bytes.size())),
        first_fragment(bytes.substr(0, 9 * mib), ws_binary) + last_fragment(bytes.substr(9 * mib)),
        fragmented(ws_binary, bytes, mib)}) {
    auto client = echo.connect();
    client.connection().set_patience(std::chrono::seconds{20});
    client.connection().send(message);
    Echo::expect_end(client, 1009);
  }
  // The head is enough.
  echo.fails(binary_frame(bytes).substr(0, 10), 1009);
  echo.fails(text_frame("good") + binary_frame(bytes).substr(0, 10), 1009, {{ws_text, "good"}});
}

TEST_CASE("a thousand roundtrips of each size give what was sent", "[conformance][RFC6455-5.6]") {
  Echo echo;
  for (const std::size_t size : {0u, 16u, 64u, 256u, 1024u, 4096u, 16384u}) {
    CAPTURE(size);
    auto client = echo.connect();
    for (int i = 0; i < 1000; ++i) {
      const unsigned opcode = i % 2 == 0 ? ws_text : ws_binary;
      const auto payload = prose(size);
      client.send(opcode, payload);
      Echo::expect(client, {{opcode, payload}});
    }
    client.send_close(1000);
    Echo::expect_end(client, 1000);
  }
}

TEST_CASE("thousands of messages without waiting come back in order", "[conformance][RFC6455-5.6]") {
  Echo echo;
  for (const std::size_t size : {0u, 16u, 1024u, 16384u}) {
    for (const std::size_t piece : {0u, 777u}) {
      CAPTURE(size, piece);
      std::string bytes;
      std::vector<Expected> frames;
      for (int i = 0; i < 5000 && bytes.size() < 16 * mib; ++i) {
        const unsigned opcode = i % 3 == 0 ? ws_binary : ws_text;
        const auto payload = std::to_string(i) + prose(size);
        bytes += client_frame(opcode, payload);
        frames.push_back({opcode, payload});
        if (i % 50 == 0) {
          bytes += ping_frame(std::to_string(i));
          frames.push_back({ws_pong, std::to_string(i)});
        }
      }
      echo.answers(bytes, frames, piece);
    }
  }
}

TEST_CASE("a large message in fragments of 1000 bytes with pings between comes back", "[conformance][RFC6455-5.4]") {
  Echo echo;
  const auto whole = prose(65536);
  std::string bytes;
  std::vector<Expected> frames;
  for (std::size_t at = 0; at < whole.size(); at += 1000) {
    bytes += client_frame(at == 0 ? ws_text : ws_continuation, std::string_view(whole).substr(at, 1000),
                          {.fin = at + 1000 >= whole.size()});
    if (at + 1000 >= whole.size()) break;
    bytes += ping_frame(std::to_string(at));
    frames.push_back({ws_pong, std::to_string(at)});
  }
  frames.push_back({ws_text, whole});
  for (const std::size_t piece : {0u, 1u, 1300u}) echo.answers(bytes, frames, piece);
}

TEST_CASE("many clients at once each get their own messages", "[conformance][RFC6455-5.6]") {
  Echo echo;
  std::vector<WebSocketClient> clients;
  for (int i = 0; i < 100; ++i) clients.push_back(echo.connect());
  for (int round = 0; round < 10; ++round) {
    for (std::size_t i = 0; i < clients.size(); ++i) {
      clients[i].connection().send(first_fragment(std::to_string(i)) + ping_frame() +
                                   last_fragment(std::to_string(round)));
    }
    for (std::size_t i = 0; i < clients.size(); ++i) {
      Echo::expect(clients[i], {{ws_pong, {}}, {ws_text, std::to_string(i) + std::to_string(round)}});
    }
  }
  for (auto& client : clients) client.send_close(1001);
  for (auto& client : clients) Echo::expect_end(client, 1001);
}
