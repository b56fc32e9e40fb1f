// A client's WebSocket frames: what they amount to does not depend on the cuts, and is what a plain reading of
// RFC 6455 §5.2 makes of them.

#include <downlink/wire/websocket_reader.hpp>

#include <optional>
#include <string>
#include <vector>

#include "fuzz/fuzz.hpp"
#include "support/websocket_client.hpp"

using namespace downlink;
using namespace downlink::fuzz;
using Kind = wire::WebSocketEvent::Kind;

namespace {

struct Event {
  Kind kind;
  std::string payload;
  bool binary;
  bool compressed;
  std::uint16_t code;
  std::string reason;

  bool operator==(const Event&) const = default;
};

struct Read {
  std::vector<Event> events;
  bool mid_message;
};

Read read(std::string bytes, std::size_t limit, bool rsv1, Cutter cutter) {
  wire::WebSocketReader reader(limit, rsv1);
  Read read{};
  std::span<char> left(bytes);
  bool over = false;
  std::string parts;
  while (!left.empty()) {
    // Pieces of their own, so that a view that outlives its piece is found.
    const auto size = cutter.piece(left.size());
    std::vector<char> piece(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(size));
    left = left.subspan(size);
    std::span<char> input(piece);
    while (true) {
      const auto event = reader.next(input);
      if (event.kind == Kind::none) break;
      check(!over, "something comes after the end");
      over = event.kind == Kind::close || event.kind == Kind::error;
      if (event.kind == Kind::part) {
        check(event.compressed && !event.payload.empty(), "a part of a message that is not compressed, or of nothing");
        parts += event.payload;
        continue;
      }
      const bool ends_parts = event.kind == Kind::message && event.compressed;
      const auto before = ends_parts ? std::exchange(parts, {}) : std::string();
      read.events.push_back({event.kind, before + std::string(event.payload), event.binary, event.compressed,
                             event.code, std::string(event.reason)});
    }
    check(input.empty(), "bytes were left");
  }
  read.mid_message = reader.mid_message();
  return read;
}

/// The whole messages and control frames in a client's bytes, read without judging anything.
std::vector<Event> plain_reading(std::string_view bytes) {
  std::vector<Event> events;
  std::optional<Event> message;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned>(static_cast<unsigned char>(bytes[i])); };
  while (bytes.size() >= 6) {
    const unsigned opcode = byte(0) & 15u;
    std::uint64_t size = byte(1) & 127u;
    const std::size_t wide = size == 126 ? 2 : size == 127 ? 8 : 0;
    if (bytes.size() < 6 + wide) break;
    if (wide > 0) size = 0;
    for (std::size_t i = 0; i < wide; ++i) size = size << 8 | byte(2 + i);
    const std::size_t head = 6 + wide;
    if (size > bytes.size() - head) break;
    std::string payload(bytes.substr(head, size));
    for (std::size_t i = 0; i < payload.size(); ++i) {
      payload[i] = static_cast<char>(payload[i] ^ bytes[head - 4 + i % 4]);
    }
    const bool fin = (byte(0) & 128u) != 0;
    const bool rsv1 = (byte(0) & 64u) != 0;
    bytes.remove_prefix(head + size);
    if (opcode >= 8) {
      const auto kind = opcode == 8 ? Kind::close : opcode == 9 ? Kind::ping : Kind::pong;
      if (kind == Kind::close) {
        const bool coded = payload.size() >= 2;
        events.push_back({kind,
                          {},
                          false,
                          false,
                          testing::WebSocketFrame{.payload = payload}.close_code(),
                          coded ? payload.substr(2) : std::string()});
        break;
      }
      events.push_back({kind, payload, false, false, 0, {}});
      continue;
    }
    if (opcode != 0) message = Event{Kind::message, {}, opcode == 2, rsv1, 0, {}};
    if (!message) break;
    message->payload += payload;
    if (fin) events.push_back(*std::exchange(message, std::nullopt));
  }
  return events;
}

void judge(const Event& event, std::size_t limit, bool rsv1) {
  switch (event.kind) {
    case Kind::none:
    case Kind::part:
      return;
    case Kind::message: {
      // What is compressed may be a little larger than what it holds.
      check(event.payload.size() <= limit + (event.compressed ? limit / 8 + 64 : 0), "a message over the limit");
      check(rsv1 || !event.compressed, "a compressed message was not allowed");
      check(event.binary || event.compressed || decodes_as_utf8(event.payload), "text that is not UTF-8");
      const auto frame =
          testing::client_frame(event.binary ? 2 : 1, event.payload, {.rsv = event.compressed ? 4u : 0u});
      const auto again = read(frame, limit, rsv1, Cutter::whole());
      check(again.events.size() == 1 && again.events[0] == event && !again.mid_message, "it does not parse again");
      std::string out;
      wire::append_frame_header(out, event.binary ? wire::Opcode::binary : wire::Opcode::text, event.payload.size(),
                                true, event.compressed);
      testing::WebSocketParser parser;
      parser.feed(out + event.payload);
      const auto sent = parser.next();
      check(sent && sent->payload == event.payload && !parser.mid_frame(), "the server's own frame");
      return;
    }
    case Kind::ping:
    case Kind::pong:
      return check(event.payload.size() <= 125, "a control frame over 125 bytes");
    case Kind::close: {
      check(event.code == 1005 || wire::valid_close_code(event.code), "a close code that may not be sent");
      check(event.reason.size() <= 123 && decodes_as_utf8(event.reason), "a close reason");
      std::string out;
      wire::append_close_frame(out, event.code, event.reason);
      testing::WebSocketParser parser;
      parser.feed(out);
      const auto sent = parser.next();
      return check(sent && sent->close_code() == event.code && sent->close_reason() == event.reason, "the answer");
    }
    case Kind::error:
      check(event.code == 1002 || event.code == 1007 || event.code == 1009, "an error's code");
      check(!event.reason.empty(), "an error without words");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const unsigned choice = input.byte();
  const bool rsv1 = (choice & 1u) != 0;
  const std::size_t limit = (choice & 2u) != 0 ? 20 : std::size_t{1} << 20;
  const std::string bytes(input.rest());

  const auto whole = read(bytes, limit, rsv1, Cutter::whole());
  for (const auto cutter : {Cutter::any(choice), Cutter::single()}) {
    const auto cut = read(bytes, limit, rsv1, cutter);
    check(cut.events == whole.events && cut.mid_message == whole.mid_message, "the cuts decide");
  }
  const auto plain = plain_reading(bytes);
  bool failed = false;
  for (std::size_t i = 0; i < whole.events.size(); ++i) {
    const auto& event = whole.events[i];
    judge(event, limit, rsv1);
    failed = event.kind == Kind::error;
    if (!failed) check(i < plain.size() && plain[i] == event, "a plain reading sees something else");
  }
  if (!failed) check(whole.events.size() == plain.size(), "a plain reading sees more");
  return 0;
}
