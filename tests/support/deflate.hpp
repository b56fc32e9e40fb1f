#pragma once

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include <downlink/deflate.hpp>

#include "support/websocket_client.hpp"

namespace downlink::testing {

/// Text that compresses well, but not to nothing.
inline std::string words(std::size_t size) {
  std::string text;
  for (int i = 0; text.size() < size; ++i) text += "word " + std::to_string(i * i % 977) + ", ";
  text.resize(size);
  return text;
}

/// Compresses as a client does (RFC 7692 §7.2.1). With `final`, in blocks of which the last one has BFINAL set.
inline std::string deflated(std::string_view text, bool final = false) {
  z_stream stream{};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::bad_alloc();
  std::string out(deflateBound(&stream, static_cast<uLong>(text.size())) + 16, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, final ? Z_FINISH : Z_SYNC_FLUSH);
  out.resize(out.size() - stream.avail_out - (final ? 0 : 4));
  deflateEnd(&stream);
  return final ? out + '\0' : out;
}

/// Inflates a message with a window of that many bits and not one byte more: what is put out byte by byte can be
/// referred to in the window alone. Throws where it does not inflate.
inline std::string inflated(std::string_view payload, int window_bits = 15) {
  z_stream stream{};
  if (inflateInit2(&stream, -window_bits) != Z_OK) throw std::bad_alloc();
  std::string in(payload);
  in.append("\x00\x00\xFF\xFF", 4);
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  std::string out;
  int result = Z_OK;
  while (result == Z_OK) {
    char byte;
    stream.next_out = reinterpret_cast<Bytef*>(&byte);
    stream.avail_out = 1;
    result = inflate(&stream, Z_SYNC_FLUSH);
    if (stream.avail_out == 0) out += byte;
  }
  const bool whole = result == Z_BUF_ERROR && stream.avail_in == 0;
  inflateEnd(&stream);
  if (!whole) throw std::runtime_error("a message does not inflate");
  return out;
}

/// What a message comes to that arrives compressed, cut into pieces of that size. What it holds is in `data`.
inline wire::WebSocketEvent inflate_message(std::string_view payload, bool binary, std::size_t max_message,
                                            std::string& data, std::size_t piece = std::string_view::npos) {
  using Kind = wire::WebSocketEvent::Kind;
  const auto inflater = downlink::detail::make_message_inflater(max_message);
  while (true) {
    const auto bytes = payload.substr(0, piece);
    payload.remove_prefix(bytes.size());
    const auto kind = payload.empty() ? Kind::message : Kind::part;
    const auto found = inflater->take({.kind = kind, .payload = bytes, .binary = binary, .compressed = true}, data);
    if (found.kind != Kind::part) return found;
    if (kind != Kind::part) throw std::logic_error("the message's end is taken for a part");
  }
}

/// A client for whom the server compresses: it inflates with the window that was agreed on.
inline WebSocketClient deflate_client(std::uint16_t port, std::string_view target,
                                      std::string_view offer = "permessage-deflate", std::string_view headers = {}) {
  WebSocketClient client(port, target,
                         "Sec-WebSocket-Extensions: " + std::string(offer) + "\r\n" + std::string(headers));
  const auto answer = client.head().header("Sec-WebSocket-Extensions").value_or("");
  if (!answer.starts_with("permessage-deflate; server_no_context_takeover; client_no_context_takeover")) {
    throw std::runtime_error("the server does not compress: " + std::string(answer));
  }
  const auto bits = answer.find("server_max_window_bits=");
  client.inflate_with([window = bits == answer.npos ? 15 : std::stoi(std::string(answer.substr(bits + 23)))](
                          std::string_view payload) { return inflated(payload, window); });
  return client;
}

/// A client's frame that says that its payload is compressed.
inline std::string deflated_frame(unsigned opcode, std::string_view payload, bool fin = true) {
  return client_frame(opcode, payload, {.fin = fin, .rsv = 4});
}

}  // namespace downlink::testing
