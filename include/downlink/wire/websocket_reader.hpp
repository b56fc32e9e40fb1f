#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "downlink/wire/clear_and_shrink.hpp"
#include "downlink/wire/utf8.hpp"
#include "downlink/wire/websocket_frame.hpp"

namespace downlink::wire {

/// What a client's frames amount to.
struct WebSocketEvent {
  /// What has come.
  enum class Kind : unsigned char {
    /// The input is used up.
    none,
    /// A whole message, its fragments joined; of a compressed one, the rest that was still to come.
    message,
    /// More of a compressed message whose end is still to come.
    part,
    /// A ping, to be answered by a pong with the same payload (RFC 6455 §5.5.2).
    ping,
    /// A pong, asked for or not (§5.5.3).
    pong,
    /// The peer's close frame, to be answered by one (§5.5.1). Nothing comes after it.
    close,
    /// The peer broke the protocol: to be answered by a close frame with `code` (§7.1.7). Nothing comes after it.
    error,
  };

  /// What has come.
  Kind kind = Kind::none;
  /// Of a message or part, a ping or a pong; valid until the next call to the reader, or until the input's bytes
  /// change.
  std::string_view payload = {};
  /// Of a message: whether it is binary; text is UTF-8 unless compressed.
  bool binary = false;
  /// Of a message: whether the payload is still to be inflated, and text to be checked for UTF-8 then (RFC 7692 §6).
  /// True of every part.
  bool compressed = false;
  /// Of a close: the code received, or 1005 when there was none. Of an error: 1002, 1007 or 1009 (WIRE §5).
  std::uint16_t code = 0;
  /// Of a close: the peer's words, valid as long as a payload. Of an error: ours, valid for ever.
  std::string_view reason = {};
};

/// Makes a message of the pieces in which it comes compressed (RFC 7692 §6.2). For one message.
class Inflater {
 public:
  virtual ~Inflater() = default;
  /// Takes a part, or the message's end, and appends to `data` what it holds. Gives `part` until the message is whole,
  /// then `message` with `data` for its payload; or `error`, as soon as a piece shows it.
  virtual WebSocketEvent take(const WebSocketEvent& piece, std::string& data) = 0;
};

/// Makes messages of the bytes a client sends, as a server must (RFC 6455 §5). Allocates for nothing but a message or
/// control frame that does not lie within one input whole, in proportion to what has come of it, not to what its head
/// says.
class WebSocketReader {
 public:
  /// A message larger than `max_message` bytes, as sent, is an error as soon as a frame's head shows it. With
  /// `allow_rsv1` the first frame of a message may say that it is compressed; such a one may be an eighth larger.
  explicit WebSocketReader(std::size_t max_message, bool allow_rsv1 = false) noexcept
      : max_message_(max_message), allow_rsv1_(allow_rsv1) {}

  /// Takes bytes from the front of `input`, unmasking them in place, until something has come or there are no more.
  /// To be called until it gives `none`; that call also gives back the memory that a large message took. After a close
  /// or an error it gives `none` and takes everything.
  WebSocketEvent next(std::span<char>& input) {
    release();
    while (!over_) {
      if (!head_whole_) {
        if (const auto fault = read_head(input); fault.code != 0) return end_with(fault);
        if (!head_whole_) return {};
      }
      const auto piece = input.first(static_cast<std::size_t>(std::min<std::uint64_t>(missing_, input.size())));
      input = input.subspan(piece.size());
      unmask(piece, key_, phase_);
      const std::string_view text{piece.data(), piece.size()};

      if (is_control()) {
        if (piece.size() == missing_ && kept_control_ == 0) return end_control(text);
        keep(text);
        kept_control_ = static_cast<unsigned char>(kept_control_ + text.size());
        if (missing_ != 0) return {};
        return end_control(std::string_view{kept_}.substr(kept_.size() - kept_control_));
      }

      if (compressed_) {
        count(text);
        if (missing_ != 0 || !is_final()) {
          if (missing_ == 0) end_frame();
          if (!text.empty()) {
            return {.kind = WebSocketEvent::Kind::part, .payload = text, .binary = binary_, .compressed = true};
          }
          if (missing_ != 0) return {};
          continue;
        }
        return end_message(text);
      }
      if (checks_utf8_ && !utf8_.consume(text)) return end_with(not_utf8);
      if (!is_final() || piece.size() != missing_ || !kept_.empty()) {
        keep(text);
        if (missing_ != 0) return {};
        if (!is_final()) {
          end_frame();
          continue;
        }
        return end_message(kept_);
      }
      return end_message(text);
    }
    input = {};
    return {};
  }

  /// The most bytes that a message may have.
  std::size_t max_message() const noexcept { return max_message_; }

  /// Whether a message or a frame has begun and has not ended.
  bool mid_message() const noexcept { return !over_ && (in_message_ || head_size_ != 0); }

 private:
  struct Fault {
    std::uint16_t code = 0;
    std::string_view reason = {};
  };
  static constexpr Fault not_utf8{1007, "text is not UTF-8"};
  static constexpr std::size_t kept_capacity = 4096;

  unsigned byte(std::size_t i) const noexcept { return static_cast<unsigned char>(head_[i]); }
  unsigned opcode() const noexcept { return byte(0) & 0x0Fu; }
  bool is_final() const noexcept { return (byte(0) & 0x80u) != 0; }
  bool is_control() const noexcept { return opcode() >= 8; }

  /// Where the mask's key begins; known with the second byte.
  std::size_t key_at() const noexcept {
    const unsigned length = byte(1) & 0x7Fu;
    return length < 126 ? 2 : length == 126 ? 4 : 10;
  }

  std::uint64_t payload_size() const noexcept {
    if (key_at() == 2) return byte(1) & 0x7Fu;
    std::uint64_t size = 0;
    for (std::size_t i = 2; i < key_at(); ++i) size = size << 8 | byte(i);
    return size;
  }

  /// Takes what there is of a frame's head, and finds a fault with the byte that shows it.
  Fault read_head(std::span<char>& input) noexcept {
    while (!input.empty()) {
      const std::size_t wanted = head_size_ < 2 ? 2 : key_at() + 4;
      const std::size_t size = std::min(wanted - head_size_, input.size());
      std::memcpy(head_.data() + head_size_, input.data(), size);
      head_size_ = static_cast<unsigned char>(head_size_ + size);
      input = input.subspan(size);
      if (const auto fault = head_fault(); fault.code != 0) return fault;
      if (head_size_ >= 2 && head_size_ == key_at() + 4) {
        begin_payload();
        break;
      }
    }
    return {};
  }

  /// What is wrong with as much of the head as has come, the first bytes first, so that it does not matter in which
  /// pieces they came.
  Fault head_fault() const noexcept {
    const auto wrong = [](std::string_view reason) { return Fault{1002, reason}; };
    const bool starts_message = opcode() == 1 || opcode() == 2;
    if ((byte(0) & 0x30u) != 0) return wrong("a reserved bit is set");
    if ((byte(0) & 0x40u) != 0 && !(allow_rsv1_ && starts_message)) return wrong("a reserved bit is set");
    if ((opcode() > 2 && opcode() < 8) || opcode() > 10) return wrong("the opcode is reserved");
    if (is_control() && !is_final()) return wrong("a control frame is fragmented");
    if (opcode() == 0 && !in_message_) return wrong("a continuation without a message");
    if (starts_message && in_message_) return wrong("a new message within another");
    if (head_size_ < 2) return {};

    if ((byte(1) & 0x80u) == 0) return wrong("a client's frame is not masked");
    if (is_control() && key_at() != 2) return wrong("a control frame is too long");
    if (head_size_ < key_at()) return {};

    const std::uint64_t size = payload_size();
    if (size >> 63 != 0) return wrong("the length is out of range");
    if ((key_at() == 4 && size < 126) || (key_at() == 10 && size <= 0xFFFF)) return wrong("the length is not minimal");
    if (!is_control() && size > most() - before_) return Fault{1009, "the message is too big"};
    return {};
  }

  /// The most that the message may have as sent: deflate makes what it can't shrink a little larger.
  std::size_t most() const noexcept {
    if (!(in_message_ ? compressed_ : (byte(0) & 0x40u) != 0)) return max_message_;
    return max_message_ + std::min(max_message_ / 8 + 64, ~max_message_);
  }

  void begin_head() noexcept {
    head_size_ = 0;
    head_whole_ = false;
  }

  /// Of a message's fragments but the last.
  void end_frame() noexcept {
    before_ += payload_size();
    begin_head();
  }

  void begin_payload() noexcept {
    std::memcpy(key_.data(), head_.data() + key_at(), key_.size());
    missing_ = payload_size();
    phase_ = 0;
    head_whole_ = true;
    if (is_control() || in_message_) return;
    in_message_ = true;
    binary_ = opcode() == 2;
    compressed_ = (byte(0) & 0x40u) != 0;
    checks_utf8_ = !binary_ && !compressed_;
  }

  void keep(std::string_view text) {
    kept_ += text;
    count(text);
  }

  void count(std::string_view text) noexcept {
    missing_ -= text.size();
    phase_ = static_cast<unsigned char>((phase_ + text.size()) % 4);
  }

  WebSocketEvent end_message(std::string_view payload) noexcept {
    if (checks_utf8_ && !utf8_.complete()) return end_with(not_utf8);
    begin_head();
    in_message_ = false;
    before_ = 0;
    return {.kind = WebSocketEvent::Kind::message,
            .payload = payload,
            .binary = binary_,
            .compressed = std::exchange(compressed_, false)};
  }

  WebSocketEvent end_control(std::string_view payload) noexcept {
    begin_head();
    if (opcode() == 9) return {.kind = WebSocketEvent::Kind::ping, .payload = payload};
    if (opcode() == 10) return {.kind = WebSocketEvent::Kind::pong, .payload = payload};

    over_ = true;
    if (payload.empty()) return {.kind = WebSocketEvent::Kind::close, .code = 1005};
    if (payload.size() == 1) return end_with({1002, "a close code is cut short"});
    const auto high = static_cast<unsigned char>(payload[0]);
    const auto low = static_cast<unsigned char>(payload[1]);
    const auto code = static_cast<std::uint16_t>(high << 8 | low);
    if (!valid_close_code(code)) return end_with({1002, "the close code is not allowed"});
    if (!is_utf8(payload.substr(2))) return end_with({1007, "the close reason is not UTF-8"});
    return {.kind = WebSocketEvent::Kind::close, .code = code, .reason = payload.substr(2)};
  }

  WebSocketEvent end_with(Fault fault) noexcept {
    over_ = true;
    return {.kind = WebSocketEvent::Kind::error, .code = fault.code, .reason = fault.reason};
  }

  /// Lets go of what the last event showed. While a frame is under way nothing has been shown.
  void release() noexcept {
    if (head_size_ != 0 && !over_) return;
    kept_.resize(kept_.size() - kept_control_);
    kept_control_ = 0;
    if (in_message_ && !over_) return;
    detail::clear_and_shrink(kept_, kept_capacity);
  }

  // The message so far; behind it the payload of a control frame that came in pieces.
  std::string kept_;
  std::size_t max_message_;
  std::uint64_t missing_ = 0;  // bytes that the frame's payload lacks
  std::uint64_t before_ = 0;   // bytes of the message's earlier fragments, never more than the limit
  std::array<char, 14> head_{};
  std::array<unsigned char, 4> key_{};
  unsigned char head_size_ = 0;     // bytes of the frame's head that have come; 0 between frames
  unsigned char phase_ = 0;         // bytes of the frame's payload that have come, modulo 4
  unsigned char kept_control_ = 0;  // bytes of the control frame's payload at the end of kept_
  Utf8Validator utf8_;              // of the text under way; a text that ended well leaves it as new
  bool allow_rsv1_;
  bool head_whole_ = false;
  bool in_message_ = false;  // from the first frame's head to the last one's end
  bool binary_ = false;
  bool compressed_ = false;
  bool checks_utf8_ = false;
  bool over_ = false;
};

}  // namespace downlink::wire
