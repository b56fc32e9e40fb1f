// permessage-deflate: the input as a compressed message, as a message to compress, and as what a client offers.

#include <downlink/deflate.hpp>

#include <optional>
#include <string>
#include <utility>

#include "fuzz/fuzz.hpp"
#include "support/deflate.hpp"

using namespace downlink;
using namespace downlink::fuzz;
using Kind = wire::WebSocketEvent::Kind;

namespace {

/// All that inflates, as far as it does, but no more than `most` bytes (RFC 7692 §7.2.2).
std::string plain_inflate(std::string_view payload, int window_bits, std::size_t most) {
  z_stream stream{};
  check(inflateInit2(&stream, -window_bits) == Z_OK, "inflateInit2");
  std::string in(payload);
  in.append("\x00\x00\xFF\xFF", 4);
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  std::string out;
  int result = Z_OK;
  // Byte by byte, so that nothing before the window can be referred to.
  while (result == Z_OK && out.size() < most) {
    char byte = 0;
    stream.next_out = reinterpret_cast<Bytef*>(&byte);
    stream.avail_out = 1;
    result = inflate(&stream, Z_SYNC_FLUSH);
    if (stream.avail_out == 0) out += byte;
    if (result == Z_STREAM_END && stream.avail_in > 4) result = inflateReset(&stream);
  }
  inflateEnd(&stream);
  return out;
}

std::string compress(std::string_view text, unsigned choice) {
  z_stream stream{};
  const int window = 9 + static_cast<int>(choice >> 2 & 7) % 7;
  check(deflateInit2(&stream, static_cast<int>(choice % 10), Z_DEFLATED, -window, 8,
                     choice & 1u ? Z_FIXED : Z_DEFAULT_STRATEGY) == Z_OK,
        "deflateInit2");
  std::string out(deflateBound(&stream, static_cast<uLong>(text.size())) + 64, '\0');
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  const bool final = (choice & 16u) != 0;
  // In two blocks.
  stream.avail_in = static_cast<uInt>(text.size() / 2);
  deflate(&stream, Z_BLOCK);
  stream.avail_in = static_cast<uInt>(text.size() - text.size() / 2);
  deflate(&stream, final ? Z_FINISH : Z_SYNC_FLUSH);
  out.resize(out.size() - stream.avail_out - (final ? 0 : 4));
  deflateEnd(&stream);
  return out;
}

void inflating(std::string_view payload, bool binary, std::size_t limit) {
  std::string data;
  const auto found = testing::inflate_message(payload, binary, limit, data);
  for (const std::size_t piece : {1u, 13u}) {
    std::string again;
    const auto same = testing::inflate_message(payload, binary, limit, again, piece);
    check(same.kind == found.kind && same.code == found.code, "another outcome in pieces");
    check(found.kind != Kind::message || again == data, "something else in pieces");
  }
  check(data.capacity() <= std::max<std::size_t>(limit * 2, std::size_t{64} << 10), "it takes too much memory");
  const auto plain = plain_inflate(payload, 15, limit + 1);
  if (found.kind == Kind::message) {
    check(found.payload == plain && found.payload.size() <= limit, "a plain reading sees something else");
    check(found.binary == binary && !found.compressed, "the message's kind");
    check(binary || decodes_as_utf8(found.payload), "text that is not UTF-8");
    return;
  }
  check(found.kind == Kind::error && (found.code == 1007 || found.code == 1009), "an error's code");
  if (found.code == 1009) check(plain.size() > limit, "refused as too big, which it is not");
}

void valid_message(std::string_view text, bool binary, unsigned choice) {
  const auto payload = compress(text, choice);
  std::string data;
  const auto found = testing::inflate_message(payload, binary, text.size(), data);
  check(found.kind == Kind::message && found.payload == text, "a valid message is refused, or changed");
  if (text.empty()) return;
  data.clear();
  const auto over = testing::inflate_message(payload, binary, text.size() - 1, data);
  check(over.kind == Kind::error && over.code == 1009, "a message over the limit is taken");
}

template <int window_bits>
void round_trip(std::string_view text, bool binary) {
  std::string out = "before";
  detail::Deflated<detail::WebSocketV1, window_bits>::encode(out, {.id = "1-1", .data = text, .binary = binary});
  check(out.starts_with("before"), "what was there was touched");
  testing::WebSocketParser parser;
  parser.feed(std::string_view(out).substr(6));
  auto frame = parser.next();
  check(frame && !parser.mid_frame() && !parser.next() && frame->fin, "not one frame");
  if (frame->rsv == 4) {
    const auto size = frame->payload.size();
    frame->payload = plain_inflate(frame->payload, std::max(window_bits, 9), std::size_t{1} << 24);
    check(size < frame->payload.size(), "compressed, and no smaller");
  } else {
    check(frame->rsv == 0, "a reserved bit");
  }
  check(testing::V1Message(*frame).data == text, "it does not come back");
}

void offer(std::string_view text) {
  RequestHead head("GET", "/");
  head.add_header("Sec-WebSocket-Extensions", text);
  const auto agreed = wire::accept_deflate_offer(head);
  if (!agreed) return;
  check(text.find("permessage-deflate") != text.npos, "accepted without an offer");
  check(agreed->server_window_bits >= 8 && agreed->server_window_bits <= 15, "the window");
  check(agreed->names_server_window || agreed->server_window_bits == 15, "a window that nobody asked for");
  const auto answer = wire::deflate_answer(*agreed);
  const auto again = wire::accept_deflate_offer(std::string_view(answer));
  check(again && again->server_window_bits == agreed->server_window_bits, "the answer says something else");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const unsigned choice = input.byte();
  const auto bytes = input.rest();
  const std::size_t limit = std::size_t{1} << (4 + choice % 16);
  for (const bool binary : {false, true}) {
    inflating(bytes, binary, limit);
    if (!binary && !decodes_as_utf8(bytes)) continue;
    valid_message(bytes, binary, choice);
    round_trip<8>(bytes, binary);
    round_trip<9>(bytes, binary);
    round_trip<15>(bytes, binary);
  }
  offer(bytes);
  return 0;
}
