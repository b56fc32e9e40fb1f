#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "support/http_client.hpp"

namespace downlink::testing {

/// Takes the chunks off a body, in whatever pieces it comes (RFC 9112 §7.1), and holds the framing to the letter.
class ChunkDecoder {
 public:
  /// Appends the content of `bytes` to `out`.
  void feed(std::string_view bytes, std::string& out) {
    for (const char c : bytes) {
      switch (state_) {
        case State::size:
          if (c == '\n') {
            if (line_.empty() || line_.back() != '\r') throw std::runtime_error("a chunk's size has no CRLF");
            line_.pop_back();
            if (line_.empty() || line_.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) {
              throw std::runtime_error("not a chunk's size: " + line_ + " in " + std::string(bytes));
            }
            left_ = std::stoul(line_, nullptr, 16);
            line_.clear();
            last_ = left_ == 0;
            state_ = last_ ? State::end : State::content;
          } else {
            line_ += c;
          }
          break;
        case State::content:
          out += c;
          if (--left_ == 0) state_ = State::end;
          break;
        case State::end:
          line_ += c;
          if (line_.size() < 2) break;
          if (line_ != "\r\n") throw std::runtime_error("a chunk does not end with CRLF");
          line_.clear();
          state_ = last_ ? State::done : State::size;
          break;
        case State::done:
          throw std::runtime_error("bytes after the last chunk");
      }
    }
  }
  /// Whether the last chunk has come, whole.
  bool done() const { return state_ == State::done; }

 private:
  enum class State { size, content, end, done };
  State state_ = State::size;
  std::string line_;
  std::size_t left_ = 0;
  bool last_ = false;
};

/// One thing in an event stream: an event, or a block that is none.
struct SseItem {
  enum class Kind { event, comment, retry };
  Kind kind = Kind::event;
  /// The event's own id, if it has one.
  std::optional<std::string> id = {};
  /// The event's name; empty for the default event.
  std::string event = {};
  /// The data, or the comment's text.
  std::string data = {};
  std::uint64_t retry = 0;
  /// All of it as it came, the blank line included.
  std::string raw = {};
};

/// Reads an event stream in whatever pieces it comes (WHATWG HTML §9.2.6), with LF line ends as servers send them.
class SseParser {
 public:
  void feed(std::string_view bytes) {
    for (const char c : bytes) {
      block_ += c;
      if (c != '\n') {
        line_ += c;
        continue;
      }
      if (line_.empty()) {
        finish();
      } else {
        field(line_);
      }
      line_.clear();
    }
  }
  /// The next whole item, if there is one.
  std::optional<SseItem> next() {
    if (items_.empty()) return std::nullopt;
    auto item = std::move(items_.front());
    items_.pop_front();
    return item;
  }
  bool mid_item() const { return !block_.empty(); }

 private:
  void field(std::string_view line) {
    if (line.find('\r') != std::string_view::npos) throw std::runtime_error("CR in an event stream");
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) throw std::runtime_error("a line without a colon: " + std::string(line));
    const auto name = line.substr(0, colon);
    auto value = line.substr(colon + 1);
    if (!value.starts_with(' ')) throw std::runtime_error("no space after the colon: " + std::string(line));
    value.remove_prefix(1);
    if (name.empty()) {
      item_.kind = SseItem::Kind::comment;
      item_.data = value;
    } else if (name == "retry") {
      item_.kind = SseItem::Kind::retry;
      item_.retry = std::stoull(std::string(value));
    } else if (name == "id") {
      item_.id = value;
    } else if (name == "event") {
      item_.event = value;
    } else if (name == "data") {
      if (has_data_) item_.data += '\n';
      item_.data += value;
      has_data_ = true;
    } else {
      throw std::runtime_error("an unknown field: " + std::string(line));
    }
  }
  void finish() {
    if (item_.kind == SseItem::Kind::event && !has_data_) throw std::runtime_error("an event without data: " + block_);
    item_.raw = std::exchange(block_, {});
    items_.push_back(std::exchange(item_, {}));
    has_data_ = false;
  }

  std::deque<SseItem> items_;
  SseItem item_;
  bool has_data_ = false;
  std::string line_;
  std::string block_;
};

/// A blocking client of an event stream.
class SseClient {
 public:
  using Time = Connection::Time;

  /// Connects and reads the answer's head. `headers` each with their CRLF; `version` is HTTP's.
  explicit SseClient(std::uint16_t port, std::string_view target, std::string_view headers = {},
                     std::string_view version = "1.1")
      : SseClient(Connection(port, std::chrono::seconds{20}), target, headers, version) {}
  SseClient(Connection connection, std::string_view target, std::string_view headers = {},
            std::string_view version = "1.1")
      : connection_(std::move(connection)) {
    std::string request = "GET " + std::string(target) + " HTTP/" + std::string(version) +
                          "\r\nHost: localhost\r\nAccept: text/event-stream\r\n" + std::string(headers) + "\r\n";
    connection_.send(request);
    head_ = connection_.read_head();
    chunked_ = head_.lists("Transfer-Encoding", "chunked");
  }

  const Response& head() const { return head_; }
  Connection& connection() { return connection_; }

  /// The next item of any kind. Throws where the stream ends or nothing comes in time.
  SseItem next_item() {
    while (true) {
      if (auto item = parser_.next()) {
        if (item->id) last_id_ = *item->id;
        return std::move(*item);
      }
      if (!receive()) throw std::runtime_error("the event stream has ended");
    }
  }
  /// The next event, the library's own included.
  SseItem next_event() {
    while (true) {
      auto item = next_item();
      if (item.kind == SseItem::Kind::event) return item;
      if (item.kind == SseItem::Kind::comment) ++comments_;
      if (item.kind == SseItem::Kind::retry) retry_ = item.retry;
    }
  }
  /// The next event, which has to be `downlink.open`.
  SseItem open() {
    auto event = next_event();
    if (event.event != "downlink.open") throw std::runtime_error("not an opening: " + event.raw);
    return event;
  }

  /// Reads on until the stream ends; the items that came before are kept back and given by `rest`. True for an orderly
  /// end: a last chunk and a close, or a close alone where there are no chunks.
  bool ends() {
    while (receive()) {
    }
    while (auto item = parser_.next()) rest_.push_back(std::move(*item));
    if (connection_.wait_for_end(Time{0}) == Connection::End::reset) return false;
    return !parser_.mid_item() && (!chunked_ || decoder_.done());
  }
  const std::deque<SseItem>& rest() const { return rest_; }

  /// The last id that came: what an EventSource hands back.
  const std::string& last_id() const { return last_id_; }
  std::size_t comments() const { return comments_; }
  std::optional<std::uint64_t> retry() const { return retry_; }

  /// Takes what has come or comes next, but no more than `most` bytes of it. False once the stream has ended.
  bool receive(std::size_t most = ~std::size_t{0}) {
    std::string bytes = connection_.read_some();
    if (bytes.empty()) return false;
    bytes.resize(std::min(bytes.size(), most));
    received_ += bytes.size();
    if (!chunked_) {
      parser_.feed(bytes);
      return true;
    }
    std::string content;
    decoder_.feed(bytes, content);
    parser_.feed(content);
    return true;
  }
  /// A whole item that has come already.
  std::optional<SseItem> ready() {
    auto item = parser_.next();
    if (item && item->id) last_id_ = *item->id;
    return item;
  }
  std::size_t received() const { return received_; }
  bool mid_item() const { return parser_.mid_item(); }

 private:
  Connection connection_;
  Response head_;
  bool chunked_ = false;
  ChunkDecoder decoder_;
  SseParser parser_;
  std::deque<SseItem> rest_;
  std::string last_id_;
  std::size_t comments_ = 0;
  std::size_t received_ = 0;
  std::optional<std::uint64_t> retry_;
};

}  // namespace downlink::testing
