#include "downlink/wire/websocket_reader.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <ostream>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using namespace downlink::wire;
using namespace std::string_literals;

namespace {

using Kind = WebSocketEvent::Kind;

/// An event that owns its bytes.
struct Seen {
  Kind kind = Kind::none;
  std::string payload = {};
  bool binary = false;
  bool compressed = false;
  std::uint16_t code = 0;
  std::string reason = {};

  bool operator==(const Seen&) const = default;
};

Seen text(std::string payload) { return {.kind = Kind::message, .payload = std::move(payload)}; }
Seen binary(std::string payload) { return {.kind = Kind::message, .payload = std::move(payload), .binary = true}; }
Seen ping(std::string payload) { return {.kind = Kind::ping, .payload = std::move(payload)}; }
Seen pong(std::string payload) { return {.kind = Kind::pong, .payload = std::move(payload)}; }
Seen closed(std::uint16_t code, std::string reason = {}) {
  return {.kind = Kind::close, .code = code, .reason = std::move(reason)};
}
Seen failed(std::uint16_t code) { return {.kind = Kind::error, .code = code}; }

std::ostream& operator<<(std::ostream& out, const Seen& seen) {
  return out << "{kind " << static_cast<int>(seen.kind) << ", " << seen.payload.size() << " bytes '"
             << seen.payload.substr(0, 40) << "', binary " << seen.binary << ", compressed " << seen.compressed
             << ", code " << seen.code << ", reason '" << seen.reason << "'}";
}

struct Setup {
  std::size_t max_message = 1 << 20;
  bool allow_rsv1 = false;
};

/// Feeds the stream in pieces of the sizes that `next_size` gives; parts of messages are joined. Each piece lies in a
/// buffer of its own that is gone afterwards, so that a view that outlives it is found by the sanitizer.
std::vector<Seen> feed(std::string_view stream, const Setup& setup, const std::function<std::size_t()>& next_size) {
  WebSocketReader reader{setup.max_message, setup.allow_rsv1};
  std::vector<Seen> seen;
  std::string parts;
  while (!stream.empty()) {
    const std::size_t size = std::min(std::max<std::size_t>(next_size(), 1), stream.size());
    std::vector<char> buffer(stream.begin(), stream.begin() + static_cast<std::ptrdiff_t>(size));
    stream.remove_prefix(size);
    std::span<char> input{buffer};
    while (true) {
      const auto event = reader.next(input);
      if (event.kind == Kind::none) break;
      if (event.kind == Kind::part) {
        CHECK(event.compressed);
        CHECK_FALSE(event.payload.empty());
        parts += event.payload;
        continue;
      }
      const bool ends_parts = event.kind == Kind::message && event.compressed;
      const std::string before = ends_parts ? std::exchange(parts, {}) : std::string{};
      // The words of an error are ours and may change.
      const auto reason = event.kind == Kind::error ? std::string{} : std::string{event.reason};
      if (event.kind == Kind::error && event.reason.empty()) FAIL("an error says why");
      seen.push_back(
          {event.kind, before + std::string{event.payload}, event.binary, event.compressed, event.code, reason});
    }
    if (!input.empty()) FAIL("input was left without an event");
  }
  return seen;
}

/// What the stream gives whole, having checked that it gives the same in every other way of being cut.
std::vector<Seen> read(std::string_view stream, const Setup& setup = {}) {
  const auto whole = feed(stream, setup, [&] { return stream.size(); });
  CHECK(feed(stream, setup, [] { return 1; }) == whole);
  std::mt19937 random{20240229};
  for (int round = 0; round < 40; ++round) {
    const std::size_t most = round < 20 ? 7 : 2 + stream.size() / 2;
    CHECK(feed(stream, setup, [&] { return 1 + random() % most; }) == whole);
  }
  if (stream.size() < 200) {
    for (std::size_t cut = 1; cut < stream.size(); ++cut) {
      bool first = true;
      CHECK(feed(stream, setup, [&] { return std::exchange(first, false) ? cut : stream.size(); }) == whole);
    }
  }
  return whole;
}

constexpr std::array<unsigned char, 4> key{0x37, 0xfa, 0x21, 0x3d};

/// A client's frame. `first` is its whole first byte.
std::string masked(unsigned first, std::string payload) {
  std::string out;
  append_frame_header(out, Opcode::continuation, payload.size());
  out[0] = static_cast<char>(first);
  out[1] = static_cast<char>(static_cast<unsigned char>(out[1]) | 0x80u);
  out.append(key.begin(), key.end());
  unmask(payload, key, 0);
  return out + payload;
}

/// Only the head of a client's frame.
std::string masked_head(unsigned first, std::uint64_t size) {
  std::string out;
  append_frame_header(out, Opcode::continuation, size);
  out[0] = static_cast<char>(first);
  out[1] = static_cast<char>(static_cast<unsigned char>(out[1]) | 0x80u);
  return out + "\x01\x02\x03\x04";
}

constexpr unsigned fin = 0x80, rsv1 = 0x40, rsv2 = 0x20, rsv3 = 0x10;
constexpr unsigned continuation_frame = 0, text_frame = 1, binary_frame = 2, close_frame = 8, ping_frame = 9,
                   pong_frame = 10;

using Events = std::vector<Seen>;

}  // namespace

TEST_CASE("the standard's masked text message is read", "[wire][RFC6455-5.7]") {
  CHECK(read("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58") == Events{text("Hello")});
}

TEST_CASE("the standard's masked pong is read", "[wire][RFC6455-5.7]") {
  CHECK(read("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58") == Events{pong("Hello")});
}

TEST_CASE("messages of every form of length are read", "[wire][RFC6455-5.2]") {
  for (const std::size_t size : {0u, 1u, 125u, 126u, 127u, 4097u, 65535u, 65536u, 70000u}) {
    std::string payload;
    for (std::size_t i = 0; i < size; ++i) payload += static_cast<char>(i * 31 + i / 256);
    CAPTURE(size);
    CHECK((read(masked(fin | binary_frame, payload) + masked(fin | text_frame, "after")) ==
           Events{binary(payload), text("after")}));
  }
}

TEST_CASE("many messages in one input come one by one", "[wire][RFC6455-5.6]") {
  CHECK(read(masked(fin | text_frame, "one") + masked(fin | binary_frame, "\xFF\x00"s) + masked(fin | text_frame, "") +
             masked(fin | ping_frame, "are you there") + masked(fin | text_frame, "three")) ==
        Events{text("one"), binary("\xFF\x00"s), text(""), ping("are you there"), text("three")});
}

TEST_CASE("fragments are joined to one message of the first one's kind", "[wire][RFC6455-5.4]") {
  CHECK(read(masked(text_frame, "Hel") + masked(fin | continuation_frame, "lo")) == Events{text("Hello")});
  CHECK(read(masked(binary_frame, "\xFF") + masked(continuation_frame, "") + masked(continuation_frame, "b") +
             masked(fin | continuation_frame, "c") + masked(fin | text_frame, "next")) == Events{binary("\xFF"
                                                                                                        "bc"),
                                                                                                 text("next")});
  CHECK(read(masked(text_frame, "") + masked(fin | continuation_frame, "")) == Events{text("")});
  CHECK(read(masked(text_frame, "all") + masked(fin | continuation_frame, "")) == Events{text("all")});
  CHECK(read(masked(text_frame, "") + masked(fin | continuation_frame, "all")) == Events{text("all")});
}

TEST_CASE("control frames come between the fragments of a message and do not disturb it", "[wire][RFC6455-5.5]") {
  CHECK(read(masked(text_frame, "Hel") + masked(fin | ping_frame, "longer than a short string") +
             masked(continuation_frame, "l") + masked(fin | pong_frame, "") + masked(fin | ping_frame, "p2") +
             masked(fin | continuation_frame, "o")) ==
        Events{ping("longer than a short string"), pong(""), ping("p2"), text("Hello")});
}

TEST_CASE("a close between fragments is told and the message is not", "[wire][RFC6455-5.5]") {
  CHECK(read(masked(text_frame, "Hel") + masked(fin | close_frame, "\x03\xE8") +
             masked(fin | continuation_frame, "lo")) == Events{closed(1000)});
}

TEST_CASE("a control frame may hold up to 125 bytes", "[wire][RFC6455-5.5]") {
  CHECK(read(masked(fin | ping_frame, std::string(125, 'p'))) == Events{ping(std::string(125, 'p'))});
  CHECK(read(masked(fin | ping_frame, std::string(126, 'p'))) == Events{failed(1002)});
  CHECK(read(masked_head(fin | close_frame, 65536)) == Events{failed(1002)});
}

TEST_CASE("a fragmented control frame is a protocol error", "[wire][RFC6455-5.5]") {
  CHECK(read(masked(ping_frame, "x")) == Events{failed(1002)});
  CHECK(read(masked(pong_frame, "x")) == Events{failed(1002)});
  CHECK(read(masked(close_frame, "")) == Events{failed(1002)});
}

TEST_CASE("a frame without a mask is a protocol error", "[wire][RFC6455-5.1]") {
  CHECK(read("\x81\x05Hello") == Events{failed(1002)});
  CHECK(read("\x89\x00"s) == Events{failed(1002)});
}

TEST_CASE("a set reserved bit is a protocol error", "[wire][RFC6455-5.2]") {
  for (const unsigned bit : {rsv1, rsv2, rsv3}) {
    CHECK(read(masked(fin | bit | text_frame, "x")) == Events{failed(1002)});
    CHECK(read(masked(fin | bit | ping_frame, "x")) == Events{failed(1002)});
    CHECK(read(masked(text_frame, "x") + masked(fin | bit | continuation_frame, "x")) == Events{failed(1002)});
  }
}

TEST_CASE("a reserved opcode is a protocol error", "[wire][RFC6455-5.2]") {
  for (unsigned opcode = 0; opcode < 16; ++opcode) {
    const bool known = opcode == 1 || opcode == 2 || (opcode >= 8 && opcode <= 10);
    CAPTURE(opcode);
    CHECK((read(masked(fin | opcode, "")) == Events{failed(1002)}) != known);
  }
}

TEST_CASE("a continuation that continues nothing is a protocol error", "[wire][RFC6455-5.4]") {
  CHECK(read(masked(fin | continuation_frame, "x")) == Events{failed(1002)});
  CHECK(read(masked(continuation_frame, "x")) == Events{failed(1002)});
  CHECK(read(masked(text_frame, "a") + masked(fin | continuation_frame, "b") + masked(fin | continuation_frame, "c")) ==
        Events{text("ab"), failed(1002)});
}

TEST_CASE("a new message before the last one's end is a protocol error", "[wire][RFC6455-5.4]") {
  CHECK(read(masked(text_frame, "a") + masked(fin | text_frame, "b")) == Events{failed(1002)});
  CHECK(read(masked(text_frame, "a") + masked(fin | binary_frame, "b")) == Events{failed(1002)});
  CHECK(read(masked(text_frame, "") + masked(text_frame, "")) == Events{failed(1002)});
}

TEST_CASE("a length that is not in its shortest form is a protocol error", "[wire][RFC6455-5.2]") {
  CHECK(read("\x82\xFE\x00\x7D"s + std::string(129, 'x')) == Events{failed(1002)});
  CHECK(read("\x82\xFF\x00\x00\x00\x00\x00\x00\xFF\xFF"s + std::string(4, 'x')) == Events{failed(1002)});
  CHECK(read("\x82\xFF\x00\x00\x00\x00\x00\x00\x00\x05"s + std::string(9, 'x')) == Events{failed(1002)});
}

TEST_CASE("a length of 64 bits is a protocol error, one of 63 is only too big", "[wire][RFC6455-5.2]") {
  CHECK(read("\x82\xFF\x80\x00\x00\x00\x00\x01\x00\x00"s) == Events{failed(1002)});
  CHECK(read("\x82\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"s) == Events{failed(1009)});
}

TEST_CASE("a message over the limit is refused when its head shows it", "[wire][RFC6455-7.4.1][WIRE-5]") {
  const Setup ten{.max_message = 10};
  CHECK(read(masked(fin | text_frame, "0123456789"), ten) == Events{text("0123456789")});
  CHECK(read("\x81\x8B", ten) == Events{failed(1009)});
  CHECK(read("\x81\xFE\x01\x00"s, ten) == Events{failed(1009)});
  CHECK(read(masked(fin | ping_frame, "control frames do not count"), ten) ==
        Events{ping("control frames do not count")});
  CHECK(read(masked(fin | text_frame, ""), {.max_message = 0}) == Events{text("")});
  CHECK(read(masked(fin | text_frame, "x"), {.max_message = 0}) == Events{failed(1009)});
}

TEST_CASE("the limit holds for the sum of a message's fragments", "[wire][RFC6455-7.4.1][WIRE-5]") {
  const Setup ten{.max_message = 10};
  CHECK(read(masked(text_frame, "01234") + masked(fin | ping_frame, "0123456789") +
                 masked(fin | continuation_frame, "56789") + masked(fin | text_frame, "0123456789"),
             ten) == Events{ping("0123456789"), text("0123456789"), text("0123456789")});
  CHECK(read(masked(text_frame, "01234") + masked(continuation_frame, "56789") + masked(continuation_frame, "") +
                 masked_head(fin | continuation_frame, 1),
             ten) == Events{failed(1009)});
}

TEST_CASE("text that is not UTF-8 is an error, binary may be anything", "[wire][RFC6455-8.1]") {
  CHECK(read(masked(fin | text_frame, "a\xFF")) == Events{failed(1007)});
  CHECK(read(masked(fin | binary_frame, "a\xFF")) == Events{binary("a\xFF")});
  CHECK(read(masked(fin | text_frame, "\xF0\x9F\x98\x80")) == Events{text("\xF0\x9F\x98\x80")});
  CHECK(read(masked(fin | text_frame, "cut \xE2\x82")) == Events{failed(1007)});
  CHECK(read(masked(text_frame, "cut \xE2\x82") + masked(fin | continuation_frame, "")) == Events{failed(1007)});
}

TEST_CASE("a character may be split between fragments", "[wire][RFC6455-5.6]") {
  CHECK(read(masked(text_frame, "\xF0\x9F") + masked(fin | ping_frame, "\xFF") +
             masked(fin | continuation_frame, "\x98\x80")) == Events{ping("\xFF"), text("\xF0\x9F\x98\x80")});
}

TEST_CASE("each text begins anew, whatever came before it", "[wire][RFC6455-8.1]") {
  CHECK(read(masked(fin | text_frame, "a") + masked(fin | binary_frame, "\xE2\x82") + masked(fin | text_frame, "b") +
             masked(binary_frame, "\xF0") + masked(fin | continuation_frame, "\xFF") + masked(fin | text_frame, "c")) ==
        Events{text("a"), binary("\xE2\x82"), text("b"), binary("\xF0\xFF"), text("c")});
}

TEST_CASE("text that can no longer become UTF-8 fails with the byte that shows it", "[wire][RFC6455-8.1][WIRE-5]") {
  const std::string good = "0123456789 \xE6\x97\xA5";
  for (const std::string& bad : {"\xF4\x90"s, "\xED\xA0"s, "\xE0\x80"s, "\xC0"s, "\xFF"s}) {
    for (const unsigned first : {fin | text_frame, text_frame}) {
      auto stream = masked(first, good + bad + "and a long rest that never comes");
      stream.resize(6 + good.size() + bad.size());
      CHECK(read(stream) == Events{failed(1007)});
      stream.pop_back();
      CHECK(read(stream).empty());
    }
    auto later = masked(text_frame, good) + masked(continuation_frame, bad + "rest");
    later.resize(later.size() - 4);
    CHECK(read(later) == Events{failed(1007)});
    later.pop_back();
    CHECK(read(later).empty());
  }
}

TEST_CASE("a close frame gives its code and its reason", "[wire][RFC6455-5.5.1]") {
  CHECK(read(masked(fin | close_frame, "")) == Events{closed(1005)});
  CHECK(read(masked(fin | close_frame, "\x03\xE8")) == Events{closed(1000)});
  CHECK(read(masked(fin | close_frame, "\x0F\xA1going \xC3\xA0 la maison")) ==
        Events{closed(4001, "going \xC3\xA0 la maison")});
  CHECK(read(masked(fin | close_frame, "\x03\xE9" + std::string(123, 'r'))) ==
        Events{closed(1001, std::string(123, 'r'))});
}

TEST_CASE("a close frame that no peer may send is an error", "[wire][RFC6455-7.4]") {
  CHECK(read(masked(fin | close_frame, "\x03")) == Events{failed(1002)});
  CHECK(read(masked(fin | close_frame, "\x03") + "\xE8") == Events{failed(1002)});
  CHECK(read(masked(fin | close_frame, "\x03\xED")) == Events{failed(1002)});
  CHECK(read(masked(fin | close_frame, "\x03\xEE")) == Events{failed(1002)});
  CHECK(read(masked(fin | close_frame, "\x03\xF7")) == Events{failed(1002)});
  CHECK(read(masked(fin | close_frame, "\x00\x00"s)) == Events{failed(1002)});
  CHECK(read(masked(fin | close_frame, "\x03\xE8\xFF")) == Events{failed(1007)});
  CHECK(read(masked(fin | close_frame, "\x03\xE8\xE2\x82")) == Events{failed(1007)});
}

TEST_CASE("nothing comes after a close or an error, and all input is taken", "[wire][RFC6455-5.5.1]") {
  const auto more = masked(fin | text_frame, "more") + masked(fin | ping_frame, "");
  CHECK(read(masked(fin | close_frame, "\x03\xE8") + more) == Events{closed(1000)});
  CHECK(read(masked(fin | text_frame, "\xFF") + more) == Events{failed(1007)});
  CHECK(read("\xFF" + more) == Events{failed(1002)});
}

TEST_CASE("a compressed message is reported as such and not checked for UTF-8", "[wire][RFC7692-6]") {
  const Setup deflate{.allow_rsv1 = true};
  const Seen one{.kind = Kind::message, .payload = "\xFF\xFE", .compressed = true};
  const Seen two{.kind = Kind::message, .payload = "\xFF\xFE", .binary = true, .compressed = true};
  CHECK(read(masked(fin | rsv1 | text_frame, "\xFF\xFE"), deflate) == Events{one});
  CHECK(read(masked(rsv1 | binary_frame, "\xFF") + masked(fin | continuation_frame, "\xFE"), deflate) == Events{two});
  CHECK(read(masked(rsv1 | text_frame, "\xFF") + masked(fin | ping_frame, "") +
                 masked(fin | continuation_frame, "\xFE") + masked(fin | text_frame, "plain"),
             deflate) == Events{ping(""), one, text("plain")});
  CHECK(read(masked(fin | text_frame, "\xFF"), deflate) == Events{failed(1007)});
}

TEST_CASE("a compressed message is given as it comes, so that nothing of it is kept", "[wire][RFC7692-6][wire-5]") {
  auto frames = masked(rsv1 | text_frame, "one") + masked(continuation_frame, "") + masked(fin | ping_frame, "p") +
                masked(continuation_frame, "two") + masked(fin | continuation_frame, "");
  std::span<char> input{frames};
  WebSocketReader reader{1024, true};
  const auto next = [&] {
    const auto event = reader.next(input);
    return std::pair{event.kind, std::string{event.payload}};
  };
  CHECK(next() == std::pair{Kind::part, "one"s});
  CHECK(next() == std::pair{Kind::ping, "p"s});
  CHECK(next() == std::pair{Kind::part, "two"s});
  CHECK(reader.mid_message());
  CHECK(next() == std::pair{Kind::message, ""s});
  CHECK_FALSE(reader.mid_message());
  CHECK(next() == std::pair{Kind::none, ""s});
}

TEST_CASE("a compressed message may be an eighth and 64 bytes larger than the limit as sent", "[wire][RFC7692-6]") {
  const Setup deflate{.max_message = 800, .allow_rsv1 = true};
  const Seen most{.kind = Kind::message, .payload = std::string(964, 'x'), .binary = true, .compressed = true};
  CHECK(read(masked(fin | rsv1 | binary_frame, std::string(964, 'x')), deflate) == Events{most});
  CHECK(read(masked(fin | rsv1 | binary_frame, std::string(965, 'x')), deflate) == Events{failed(1009)});
  CHECK(
      read(masked(rsv1 | binary_frame, std::string(900, 'x')) + masked(fin | continuation_frame, std::string(64, 'x')),
           deflate) == Events{most});
  CHECK(
      read(masked(rsv1 | binary_frame, std::string(900, 'x')) + masked(fin | continuation_frame, std::string(65, 'x')),
           deflate) == Events{failed(1009)});
  CHECK(read(masked(fin | binary_frame, std::string(801, 'x')), deflate) == Events{failed(1009)});
  const Setup any{.max_message = ~std::size_t{0}, .allow_rsv1 = true};
  CHECK(read(masked(fin | rsv1 | binary_frame, std::string(964, 'x')), any) == Events{most});
}

TEST_CASE("only a message's first frame may say that it is compressed", "[wire][RFC7692-6.1]") {
  const Setup deflate{.allow_rsv1 = true};
  CHECK(read(masked(rsv1 | text_frame, "x") + masked(fin | rsv1 | continuation_frame, "x"), deflate) ==
        Events{failed(1002)});
  CHECK(read(masked(fin | rsv1 | ping_frame, "x"), deflate) == Events{failed(1002)});
  CHECK(read(masked(fin | rsv1 | close_frame, ""), deflate) == Events{failed(1002)});
  CHECK(read(masked(fin | rsv2 | text_frame, "x"), deflate) == Events{failed(1002)});
}

TEST_CASE("a frame that lies whole within the input is shown in place", "[wire][RFC6455-5.2]") {
  auto stream = masked(fin | text_frame, "one") + masked(fin | ping_frame, "two") + masked(fin | binary_frame, "three");
  WebSocketReader reader{1024};
  std::span<char> input{stream};
  auto event = reader.next(input);
  CHECK(event.payload == "one");
  CHECK(event.payload.data() == stream.data() + 6);
  event = reader.next(input);
  CHECK(event.payload == "two");
  CHECK(event.payload.data() == stream.data() + 6 + 3 + 6);
  event = reader.next(input);
  CHECK(event.payload == "three");
  CHECK(event.payload.data() == stream.data() + 6 + 3 + 6 + 3 + 6);
  CHECK(input.empty());
}

TEST_CASE("a payload that lies whole within the input is shown in place though its head came before",
          "[wire][RFC6455-5.2]") {
  auto stream = masked(fin | text_frame, "payload");
  WebSocketReader reader{1024};
  auto head = std::span<char>{stream}.first(6);
  CHECK(reader.next(head).kind == Kind::none);
  auto rest = std::span<char>{stream}.subspan(6);
  CHECK(reader.next(rest).payload.data() == stream.data() + 6);
}

TEST_CASE("input behind an event is left for the next call", "[wire][RFC6455-5.2]") {
  auto stream = masked(fin | text_frame, "one") + masked(fin | text_frame, "two") + "\x81";
  WebSocketReader reader{1024};
  std::span<char> input{stream};
  CHECK(reader.next(input).payload == "one");
  CHECK(input.size() == 10);
  CHECK(reader.next(input).payload == "two");
  CHECK(input.size() == 1);
  CHECK(reader.next(input).kind == Kind::none);
  CHECK(input.empty());
}

TEST_CASE("a reader is amid a message from its first byte to its last, over control frames too",
          "[wire][RFC6455-5.4]") {
  auto stream = masked(text_frame, "a") + masked(fin | ping_frame, "p") + masked(fin | continuation_frame, "b");
  WebSocketReader reader{1024};
  CHECK_FALSE(reader.mid_message());
  for (std::size_t i = 0; i < stream.size(); ++i) {
    auto input = std::span<char>{stream}.subspan(i, 1);
    const auto event = reader.next(input);
    CHECK(reader.mid_message() == (i + 1 < stream.size()));
    CHECK((event.kind == Kind::message) == (i + 1 == stream.size()));
  }
  auto wrong = masked(text_frame, "a") + "\xFF";
  std::span<char> input{wrong};
  CHECK(reader.next(input).kind == Kind::error);
  CHECK_FALSE(reader.mid_message());
}

TEST_CASE("random bytes never do harm, and give the same however they are cut", "[wire][RFC6455-5]") {
  std::mt19937 random{7};
  for (int round = 0; round < 300; ++round) {
    std::string stream;
    for (int part = 0; part < 4; ++part) {
      std::string payload;
      for (auto left = random() % 20; left > 0; --left) payload += static_cast<char>('a' + random() % 26);
      constexpr unsigned firsts[] = {0x81, 0x82, 0x01, 0x02, 0x80, 0x00, 0x89, 0x8A, 0xC1, 0x42};
      stream += masked(firsts[random() % std::size(firsts)], payload);
    }
    if (round % 2 == 0) stream[random() % stream.size()] = static_cast<char>(random());
    const Setup setup{.max_message = 30, .allow_rsv1 = round % 3 == 0};
    const auto whole = feed(stream, setup, [&] { return stream.size(); });
    REQUIRE(feed(stream, setup, [] { return 1; }) == whole);
    REQUIRE(feed(stream, setup, [&] { return 1 + random() % 9; }) == whole);
  }
}
