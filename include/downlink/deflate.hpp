#pragma once

#include <zlib.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include <downlink/net/endpoint.hpp>
#include <downlink/wire/permessage_deflate.hpp>

/// \file
/// permessage-deflate for WebSocket (RFC 7692; WIRE §5). Needs zlib: link `downlink::deflate` beside the library.

namespace downlink {

namespace detail {

/// Compresses the whole frame that stands at the end of `out`, from `begin` on, where that makes it smaller (RFC 7692
/// §7.2.1). Inflating it takes a window of `window_bits`, 8 to 15, at most.
inline void deflate_frame(std::string& out, std::size_t begin, int window_bits) {
  constexpr std::size_t worthwhile = 32;  // shorter ones hardly ever shrink
  constexpr std::size_t margin = 262;     // zlib looks back by this much less than the window it is given
  constexpr std::size_t trailer = 4;      // 00 00 ff ff, which is not sent
  const auto length = static_cast<unsigned char>(out[begin + 1]);
  const std::size_t head = length < 126 ? 2 : length == 126 ? 4 : 10;
  const std::size_t size = out.size() - begin - head;
  if (size < worthwhile || size > std::numeric_limits<uInt>::max() - trailer) return;

  // Messages stand alone, so a window or tables larger than the message would only cost the time to make them. zlib
  // makes no window of 8 bits; there the only distance is 1.
  const int window = std::clamp(static_cast<int>(std::bit_width(size + margin - 1)), 9, std::max(window_bits, 9));
  const int memory = std::clamp(static_cast<int>(std::bit_width(size)) - 6, 1, 8);
  const int level = size > (16 << 10) ? 1 : 6;  // the loop waits: a long one is compressed fast rather than well
  const int strategy = window_bits == 8 ? Z_RLE : Z_DEFAULT_STRATEGY;
  const std::size_t end = out.size();
  out.resize(end + size + trailer);
  z_stream stream{};
  if (deflateInit2(&stream, level, Z_DEFLATED, -window, memory, strategy) != Z_OK) return out.resize(end);
  stream.next_in = reinterpret_cast<Bytef*>(out.data() + begin + head);
  stream.avail_in = static_cast<uInt>(size);
  stream.next_out = reinterpret_cast<Bytef*>(out.data() + end);
  stream.avail_out = static_cast<uInt>(size + trailer);
  deflate(&stream, Z_SYNC_FLUSH);
  const bool shrunk = stream.avail_out > 0;  // then the flush is complete too
  const std::size_t deflated = size - stream.avail_out;
  deflateEnd(&stream);
  out.resize(shrunk ? end + deflated : end);
  if (!shrunk) return;

  const auto opcode = static_cast<wire::Opcode>(static_cast<unsigned char>(out[begin]) & 0x0F);
  std::string smaller;
  wire::append_frame_header(smaller, opcode, deflated, true, true);
  out.replace(begin, end - begin, smaller);
}

/// The wire form `F` with its messages compressed. A form depends on nothing but the message, so each size of window
/// is one of its own, and a message is compressed once for all who are sent that form.
template <class F, int window_bits>
struct Deflated {
  static void encode(std::string& out, const MessageView& message) {
    const std::size_t begin = out.size();
    F::encode(out, message);
    deflate_frame(out, begin, window_bits);
  }
};

/// Inflates one message (RFC 7692 §7.2.2). Fails it with 1009 past `max_message`, with 1007 where it does not inflate
/// or its text is not UTF-8. The memory it takes is that of the message, at most `max_message`, and less than 64 KiB.
class MessageInflater final : public wire::Inflater {
 public:
  explicit MessageInflater(std::size_t max_message) : max_message_(max_message) {
    if (inflateInit2(&stream_, -15) != Z_OK) throw std::bad_alloc();
  }
  MessageInflater(const MessageInflater&) = delete;
  MessageInflater& operator=(const MessageInflater&) = delete;
  ~MessageInflater() override { inflateEnd(&stream_); }

  wire::WebSocketEvent take(const wire::WebSocketEvent& piece, std::string& data) override {
    using Kind = wire::WebSocketEvent::Kind;
    const auto fault = feed(piece.payload, Z_SYNC_FLUSH, piece.binary, data);
    if (fault.kind == Kind::error) return fault;
    if (piece.kind == Kind::part) return piece;
    if (!is_whole(piece.binary, data)) return does_not_inflate();
    if (!utf8_.complete()) return not_utf8();
    if (data.size() < data.capacity() / 2) data.shrink_to_fit();
    return {.kind = Kind::message, .payload = data, .binary = piece.binary};
  }

 private:
  static wire::WebSocketEvent error(std::uint16_t code, std::string_view reason) {
    return {.kind = wire::WebSocketEvent::Kind::error, .code = code, .reason = reason};
  }
  static wire::WebSocketEvent does_not_inflate() { return error(1007, "the message does not inflate"); }
  static wire::WebSocketEvent not_utf8() { return error(1007, "text is not UTF-8"); }

  wire::WebSocketEvent feed(std::string_view bytes, int flush, bool binary, std::string& data) {
    if (bytes.empty()) return {};
    if (bytes.size() > std::numeric_limits<uInt>::max()) return does_not_inflate();
    begun_ = true;
    std::array<char, std::size_t{16} << 10> room;
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream_.avail_in = static_cast<uInt>(bytes.size());
    do {
      // Behind a final block another may begin with the next byte (§7.2.3.4).
      if (ended_ && inflateReset(&stream_) != Z_OK) return does_not_inflate();
      stream_.next_out = reinterpret_cast<Bytef*>(room.data());
      stream_.avail_out = static_cast<uInt>(room.size());
      const int result = inflate(&stream_, flush);
      const std::string_view made{room.data(), room.size() - stream_.avail_out};
      // What shows first decides, however the message was cut.
      const std::size_t room_left = max_message_ - data.size();
      if (!binary && !utf8_.consume(made.substr(0, room_left))) return not_utf8();
      if (made.size() > room_left) return error(1009, "the message is too big");
      append(data, made);
      ended_ = result == Z_STREAM_END;
      if (!ended_ && result != Z_OK && (result != Z_BUF_ERROR || stream_.avail_in > 0)) return does_not_inflate();
    } while (stream_.avail_in > 0 || (!ended_ && stream_.avail_out == 0));
    return {};
  }

  // The last block lacks its last 4 bytes (§7.2.1), unless it was final or there is none: some leave out the byte that
  // stands for an empty block there. Nothing is made of a message that ends within a block, or whose last block ends
  // within these bytes: the bits behind it would begin another one.
  bool is_whole(bool binary, std::string& data) {
    if (!begun_ || ended_) return true;
    constexpr int at_block_end = 128;
    constexpr int unused_bits = 63;
    return feed({"\x00\x00\xFF\xFF", 4}, Z_BLOCK, binary, data).kind != wire::WebSocketEvent::Kind::error &&
           (stream_.data_type & (at_block_end | unused_bits)) == at_block_end;
  }

  // A long message gets room for the longest at once: only what is written to takes memory, and growing step by step
  // would take half as much again. Where the longest is no bound worth the name, it does grow.
  void append(std::string& data, std::string_view made) const {
    constexpr std::size_t at_once = std::size_t{256} << 20;
    const std::size_t size = data.size() + made.size();
    if (size > std::max(data.capacity(), std::size_t{64} << 10)) {
      data.reserve(std::min(max_message_, std::max(at_once, 2 * size)));
    }
    data += made;
  }

  const std::size_t max_message_;
  z_stream stream_{};
  wire::Utf8Validator utf8_;
  bool begun_ = false;
  bool ended_ = false;
};

inline std::unique_ptr<wire::Inflater> make_message_inflater(std::size_t max_message) {
  return std::make_unique<MessageInflater>(max_message);
}

template <class F, int window_bits>
constexpr StreamOps make_deflated_ops() {
  StreamOps ops = websocket_ops<F>;
  ops.form = &form_ops<Deflated<F, window_bits>>;
  ops.limits = {.bytes = std::size_t{32} << 10,
                .messages = 256};  // what is encoded at once is a few milliseconds' work
  ops.reply = &Deflated<F, window_bits>::encode;
  ops.make_inflater = &make_message_inflater;
  return ops;
}

/// The operations of a stream for each size of window, from 8 bits on.
template <class F>
inline constexpr std::array<StreamOps, 8> deflated_ops{
    make_deflated_ops<F, 8>(),  make_deflated_ops<F, 9>(),  make_deflated_ops<F, 10>(), make_deflated_ops<F, 11>(),
    make_deflated_ops<F, 12>(), make_deflated_ops<F, 13>(), make_deflated_ops<F, 14>(), make_deflated_ops<F, 15>()};

/// `plain`, or what takes its place for a client that offers permessage-deflate; `headers` gets the answer.
inline const StreamOps& negotiate_deflate(const RequestHead& head, const StreamOps& plain, std::string& headers) {
  const auto agreed = wire::accept_deflate_offer(head);
  if (!agreed) return plain;
  wire::append_header(headers, "Sec-WebSocket-Extensions", wire::deflate_answer(*agreed));
  const auto& all = plain.form == &form_ops<WebSocketV1> ? deflated_ops<WebSocketV1> : deflated_ops<WebSocketRaw>;
  return all[agreed->server_window_bits - 8];
}

}  // namespace detail

/// Lets the WebSockets of an endpoint or server compress their messages, for clients that offer it. To be called before
/// it serves.
///
/// A message is compressed once for all subscribers that use the same size of window (mostly all of them) and the same
/// subprotocol or none, and once more for each other; no connection keeps a window. What does not shrink is sent as it
/// is. Messages of clients are inflated within `EndpointOptions::max_message`.
inline void enable_deflate(EndpointBase& endpoint) {
  detail::EndpointAccess::core(endpoint).calls.deflate = &detail::negotiate_deflate;
}

}  // namespace downlink
