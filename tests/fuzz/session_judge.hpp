#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include <downlink/channel/message.hpp>
#include <downlink/wire/base64.hpp>
#include <downlink/wire/permessage_deflate.hpp>
#include <downlink/wire/request_parser.hpp>

#include "fuzz/fuzz.hpp"
#include "fuzz/session_stream.hpp"
#include "support/deflate.hpp"
#include "support/sse_client.hpp"
#include "support/websocket_client.hpp"

namespace downlink::fuzz {

/// What was published to the channel; the message of offset n stands at n - 1.
using Published = std::vector<Message>;

/// Holds what one connection was sent to the rules: HTTP, WebSocket and event streams well formed, and each message
/// once, in order and unchanged, or a told gap (WIRE §1). What is wrong aborts or throws.
class Judge {
 public:
  Judge(const Pipe& pipe, const Published& published, const RequestLimits& limits)
      : pipe_(pipe), published_(published), rest_(pipe.output) {
    wire::RequestParser parser(limits);
    for (std::string_view bytes = pipe.sent; !bytes.empty();) {
      bytes.remove_prefix(parser.feed(bytes));
      if (parser.state() == wire::RequestParser::State::failed) break;
      if (parser.state() == wire::RequestParser::State::head_complete) {
        requests_.push_back(parser.head());
        parser.feed({});
      }
      if (parser.state() == wire::RequestParser::State::complete) parser.reset();
    }
    failed_head_ = parser.state() == wire::RequestParser::State::failed && parser.head().method() == "HEAD";
  }

  void judge() {
    std::size_t answers = 0;
    while (!rest_.empty() && take_answer(answers)) {
    }
    check(rest_.empty() || !pipe_.output_ended, "an answer is cut short");
  }

  /// A stream that lives and whose peer takes all has everything.
  void has_everything() const {
    if (!streaming_ || ended_ || pipe_.closed || pipe_.output_ended || !position_) return;
    check(passed_over(*position_, published_.size() + 1), "a message was never sent");
  }

 private:
  using Head = testing::Response;

  bool take_answer(std::size_t& answers) {
    const auto end = rest_.find("\r\n\r\n");
    if (end == rest_.npos) return false;
    const Head head = parse_head(rest_.substr(0, end + 2));
    const auto after = rest_.substr(end + 4);
    if (head.status == 100) {
      rest_ = after;
      return true;
    }
    check(head.count("Date") == 1 && head.count("Content-Length") <= 1, "the answer's fields");
    // A request that is refused, or not whole in time, comes after those that are.
    check(answers <= requests_.size(), "more answers than requests");
    const bool known = answers < requests_.size();
    bool to_head = known ? requests_[answers].method() == "HEAD" : failed_head_;
    ++answers;
    rest_ = after;
    // What came too late is known here and was not there: whether it is the answer to a HEAD shows by its body.
    if (head.status == 408) to_head = rest_.empty();
    const auto length = head.header("Content-Length");
    if (head.status == 101) {
      check(known, "an upgrade that nobody asked for");
      websocket(head.header("Sec-WebSocket-Protocol").has_value(), head.header("Sec-WebSocket-Extensions"));
      rest_ = {};
      return true;
    }
    if (head.header("Content-Type") == "text/event-stream" && !length) {
      if (to_head) return check_close(head);
      event_stream(head.lists("Transfer-Encoding", "chunked"));
      rest_ = {};
      return true;
    }
    if (to_head || head.status == 204 || head.status == 304) return check_close(head);
    check(length.has_value(), "an answer without a length");
    const auto size = std::stoul(*length);
    if (size > rest_.size()) return false;
    const auto body = rest_.substr(0, size);
    rest_.remove_prefix(size);
    if (head.header("Content-Type") == "application/problem+json") {
      check(nlohmann::json::parse(body).at("status") == head.status, "a problem's status");
    } else if (head.header("Content-Type") == "application/json") {
      poll_answer(nlohmann::json::parse(body));
    }
    return check_close(head);
  }

  bool check_close(const Head& head) {
    if (head.lists("Connection", "close")) check(rest_.empty(), "bytes after the last answer");
    return true;
  }

  static Head parse_head(std::string_view text) {
    Head head;
    const auto line = [&] {
      const auto taken = text.substr(0, text.find("\r\n"));
      text.remove_prefix(taken.size() + 2);
      for (const char c : taken) check(static_cast<unsigned char>(c) >= 0x20, "a control character in a head");
      return taken;
    };
    const auto status = line();
    check(status.size() >= 13 && status.starts_with("HTTP/1.1 ") && status[12] == ' ', "the status line");
    const auto code = status.substr(9, 3);
    std::from_chars(code.data(), code.data() + 3, head.status);
    check(head.status >= 100 && head.status < 600, "the status");
    while (!text.empty()) {
      const auto field = line();
      const auto colon = field.find(": ");
      check(colon != field.npos && colon > 0, "a header line");
      head.headers.emplace_back(field.substr(0, colon), field.substr(colon + 2));
    }
    return head;
  }

  static std::uint64_t offset_of(std::string_view id) {
    const auto parsed = MessageId::parse(id);
    check(parsed && parsed->epoch == 1, "an id of another channel");
    return parsed->offset;
  }

  // Superseded by a newer one of its key, or perhaps expired.
  bool may_be_passed_over(std::uint64_t offset) const {
    const auto& message = published_[offset - 1];
    if (message.time_to_live) return true;
    return message.key && std::any_of(published_.begin() + static_cast<std::ptrdiff_t>(offset), published_.end(),
                                      [&](const Message& newer) { return newer.key == message.key; });
  }

  // Whether all between two offsets were.
  bool passed_over(std::uint64_t after, std::uint64_t before) const {
    while (++after < before && may_be_passed_over(after)) {
    }
    return after >= before;
  }

  const Message& next(std::uint64_t offset) {
    check(offset >= 1 && offset <= published_.size(), "a message that was not published");
    if (position_) {
      check(offset > *position_, "a message comes again");
      check(passed_over(*position_, offset), "a message is missing");
    }
    if (following_) check(*std::exchange(following_, std::nullopt) == offset, "the gap told of another message");
    position_ = offset;
    return published_[offset - 1];
  }

  void gap(std::string_view id, std::string_view data) {
    const auto json = nlohmann::json::parse(data);
    const auto cursor = offset_of(id);
    if (position_) check(cursor >= *position_, "a gap goes back");
    const auto requested = json.at("requested").get<std::string>();
    if (position_) {
      // The last id sent, or that of one passed over since.
      check(offset_of(requested) >= *position_ && offset_of(requested) <= cursor, "the gap's beginning");
      check(passed_over(*position_, offset_of(requested) + 1), "the gap's beginning");
    }
    const auto earliest = json.at("earliest").get<std::string>();
    position_ = cursor;
    following_.reset();
    if (earliest != id) {
      following_ = offset_of(earliest);
      check(*following_ > cursor, "the gap's end");
      // Those before it may have been passed over.
      if (may_be_passed_over(*following_)) following_.reset();
    }
  }

  static std::string sse_lines(std::string_view data) {
    std::string lines;
    for (std::size_t i = 0; i < data.size(); ++i) {
      if (data[i] == '\r' && i + 1 < data.size() && data[i + 1] == '\n') continue;
      lines += data[i] == '\r' ? '\n' : data[i];
    }
    return lines;
  }

  void event_stream(bool chunked) {
    streaming_ = true;
    std::string content;
    testing::ChunkDecoder decoder;
    testing::SseParser parser;
    if (chunked) {
      decoder.feed(rest_, content);
    } else {
      content = rest_;
    }
    parser.feed(content);
    bool opened = false;
    while (const auto item = parser.next()) {
      if (item->kind != testing::SseItem::Kind::event) continue;
      if (item->event == "downlink.open") {
        check(!std::exchange(opened, true), "a second opening");
        if (item->id) position_ = offset_of(*item->id);
      } else if (item->event == "downlink.gap") {
        check(opened && item->id.has_value(), "a gap before the opening");
        gap(*item->id, item->data);
      } else if (item->id) {
        check(opened, "a message before the opening");
        const auto& message = next(offset_of(*item->id));
        auto event = message.event;
        auto data = sse_lines(message.data);
        if (message.binary) {
          event = (event.empty() ? "message" : event) + ";base64";
          data.clear();
          wire::append_base64(data, message.data);
        }
        check(item->event == event && item->data == data, "a message has changed");
      }
    }
    ended_ = chunked && decoder.done();
    if (pipe_.output_ended) check(!parser.mid_item() && (!chunked || decoder.done()), "the stream is cut short");
  }

  void websocket(bool v1, const std::optional<std::string>& extension) {
    streaming_ = true;
    const auto agreed = wire::accept_deflate_offer(extension.value_or(std::string()));
    check(agreed.has_value() == extension.has_value(), "an extension that is none");
    testing::WebSocketParser parser;
    parser.feed(rest_);
    while (auto frame = parser.next()) {
      check(!ended_, "a frame after the close");
      if (frame->rsv == 4 && frame->opcode < 8 && agreed) {
        frame->payload = testing::inflated(frame->payload, static_cast<int>(agreed->server_window_bits));
        frame->rsv = 0;
      }
      check(frame->fin && frame->rsv == 0, "a frame's head");
      if (frame->opcode >= 8) {
        check(frame->opcode <= 10 && frame->payload.size() <= 125, "a control frame");
        ended_ = frame->opcode == 8;
        if (ended_) check(frame->payload.size() != 1 && decodes_as_utf8(frame->close_reason()), "a close frame");
        continue;
      }
      check(frame->opcode == 1 || frame->opcode == 2, "an opcode");
      check(frame->opcode == 2 || decodes_as_utf8(frame->payload), "text that is not UTF-8");
      if (v1) {
        v1_message(testing::V1Message(*frame));
      } else if (!frame->payload.starts_with("re:")) {
        raw_message(*frame);
      }
    }
    if (pipe_.output_ended) check(ended_ && !parser.mid_frame(), "the end without a close frame");
  }

  void v1_message(const testing::V1Message& got) {
    if (got.event == "downlink.open") {
      if (got.id) position_ = offset_of(*got.id);
    } else if (got.event == "downlink.gap") {
      check(got.id.has_value(), "a gap without a cursor");
      gap(*got.id, got.data);
    } else if (got.id) {
      const auto& message = next(offset_of(*got.id));
      check(got.event == message.event && got.data == message.data && got.binary == message.binary, "it has changed");
    }
  }

  void raw_message(const testing::WebSocketFrame& frame) {
    const auto found =
        std::find_if(published_.begin() + static_cast<std::ptrdiff_t>(position_.value_or(0)), published_.end(),
                     [&](const Message& message) { return message.data == frame.payload; });
    check(found != published_.end() && found->binary == (frame.opcode == 2), "a frame that nobody published");
    next(static_cast<std::uint64_t>(found - published_.begin()) + 1);
  }

  void poll_answer(const nlohmann::json& answer) {
    position_.reset();
    following_.reset();
    for (const auto& element : answer.at("messages")) {
      const auto& message = next(offset_of(element.at("id").get<std::string>()));
      auto data = message.data;
      if (message.binary) wire::append_base64(data = {}, message.data);
      check(element.at("data") == data && element.value("event", std::string()) == message.event, "it has changed");
      check(element.value("encoding", std::string()) == (message.binary ? "base64" : ""), "the encoding");
    }
    const auto cursor = answer.at("cursor").get<std::string>();
    if (position_) check(offset_of(cursor) >= *position_, "the cursor goes back");
    position_.reset();
  }

  const Pipe& pipe_;
  const Published& published_;
  std::string_view rest_;
  std::vector<RequestHead> requests_;
  bool failed_head_ = false;
  bool streaming_ = false;
  bool ended_ = false;
  std::optional<std::uint64_t> position_;
  std::optional<std::uint64_t> following_;
};

}  // namespace downlink::fuzz
