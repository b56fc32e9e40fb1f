#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "chaos/record.hpp"
#include "support/sse_client.hpp"
#include "support/websocket_client.hpp"

namespace downlink::chaos {

enum class Kind : unsigned char { sse, raw, v1, long_poll, short_poll };

/// What all readers of one channel have seen, judged at the end by the publishers' record.
struct Seen {
  void message(std::uint64_t offset, std::uint64_t key) {
    if (keys.size() <= offset) keys.resize(offset + 1);
    if (keys[offset] == 0) keys[offset] = key;
    demand(keys[offset] == key, "one offset has two messages");
    ++messages;
  }
  /// Raw frames carry no ids: their runs are judged once the offsets are known.
  struct Run {
    std::uint64_t after = 0;  // the offset that it begins behind, where known
    std::vector<std::uint64_t> keys;
  };

  void judge(const Record& record) const {
    const auto& published = record.keys();
    std::unordered_map<std::uint64_t, std::uint64_t> offsets;
    for (std::size_t offset = 1; offset < published.size(); ++offset) offsets[published[offset]] = offset;
    demand(offsets.size() + 1 == published.size(), "a message was published twice");
    for (std::size_t offset = 1; offset < keys.size(); ++offset) {
      demand(keys[offset] == 0 || keys[offset] == published.at(offset), "a message has another offset");
    }
    for (const auto& run : runs) {
      auto last = run.after;
      for (const auto key : run.keys) {
        const auto found = offsets.find(key);
        demand(found != offsets.end(), "a frame that nobody published");
        demand(last == 0 || found->second == last + 1, "a raw WebSocket misses a message, or has one twice");
        last = found->second;
      }
    }
  }

  std::vector<std::uint64_t> keys;
  std::vector<Run> runs;
  std::uint64_t messages = 0, raw_messages = 0, gaps = 0, lost = 0, resumes = 0;
};

/// One subscriber's place in a channel, kept over all its connections: each message once and in order, or a told gap.
class Reader {
 public:
  explicit Reader(Seen& seen) : seen_(seen) {}

  /// The id that the next connection resumes after; empty where it begins anew.
  const std::string& cursor() const { return cursor_; }
  std::uint64_t position() const { return position_; }

  /// A connection begins; what is left of a message that was cut does not count.
  void begin(Kind kind) {
    kind_ = kind;
    resuming_ = !cursor_.empty();
    seen_.resumes += resuming_ ? 1 : 0;
    opened_ = false;
    following_.clear();
    run_ = {.after = resuming_ ? position_ : 0, .keys = {}};
  }
  /// It is over. Raw frames have no ids, so that nothing can be resumed after some.
  void end() {
    if (kind_ != Kind::raw || run_.keys.empty()) return;
    seen_.runs.push_back(std::exchange(run_, {}));
    cursor_.clear();
    position_ = 0;
  }

  void raw(std::string_view payload) {
    run_.keys.push_back(key_of(payload));
    ++seen_.raw_messages;
  }

  /// An event of an event stream or of `downlink.v1`.
  void event(const std::optional<std::string>& id, const std::string& name, const std::string& data) {
    if (name == "downlink.open") {
      demand(!std::exchange(opened_, true), "a second opening");
      if (!id) return void(gap_must_come_ = true);
      demand(!resuming_ || *id == cursor_, "the opening's cursor is another");
      place(*id);
    } else if (name == "downlink.gap") {
      demand(opened_ && id.has_value(), "a gap before the opening");
      const auto told = nlohmann::json::parse(data);
      demand(cursor_.empty() || told.at("requested") == cursor_, "the gap begins elsewhere");
      gap(*id);
      following_ = told.at("earliest").get<std::string>();
      if (following_ == *id) following_.clear();
    } else {
      demand(opened_ && !gap_must_come_ && id.has_value(), "a message before the opening");
      demand(following_.empty() || std::exchange(following_, {}) == *id, "the gap told of another message");
      message(*id, data);
    }
  }

  /// A poll's answer; whether it was cut short.
  bool answer(std::string_view body) {
    const auto json = nlohmann::json::parse(body);
    const bool told = json.value("gap", false);
    const auto& messages = json.at("messages");
    const auto next = json.at("cursor").get<std::string>();
    if (told && messages.empty()) {
      gap(next);
    } else if (told) {
      const auto first = offset_of(messages.front().at("id").get<std::string>());
      gap(next.substr(0, next.find('-') + 1) + std::to_string(first - 1));
    }
    const bool unplaced = cursor_.empty();
    if (unplaced && !messages.empty()) position_ = offset_of(messages.front().at("id").get<std::string>()) - 1;
    for (const auto& element : messages) {
      message(element.at("id").get<std::string>(), element.at("data").get<std::string>());
    }
    demand((unplaced && messages.empty()) || next == cursor_, "the answer's cursor is another");
    place(next);
    return json.value("more", false);
  }

 private:
  static std::uint64_t offset_of(std::string_view id) {
    std::uint64_t offset = 0;
    const auto dash = id.find('-');
    demand(dash != id.npos, "no id");
    std::from_chars(id.data() + dash + 1, id.data() + id.size(), offset);
    return offset;
  }
  void place(const std::string& id) {
    position_ = offset_of(id);
    cursor_ = id;
  }
  void message(const std::string& id, std::string_view payload) {
    demand(offset_of(id) == position_ + 1, "a message is missing, or comes again");
    seen_.message(offset_of(id), key_of(payload));
    place(id);
  }
  void gap(const std::string& id) {
    demand(cursor_.empty() || offset_of(id) > position_, "a gap where nothing is missing");
    ++seen_.gaps;
    if (!cursor_.empty()) seen_.lost += offset_of(id) - position_;
    gap_must_come_ = false;
    place(id);
  }

  Seen& seen_;
  std::string cursor_;
  std::uint64_t position_ = 0;
  Kind kind_ = Kind::short_poll;
  bool resuming_ = false;
  bool opened_ = false;
  bool gap_must_come_ = false;
  std::string following_;
  Seen::Run run_;
};

/// Takes the bytes of one connection apart and hands the reader what is whole.
class Parsing {
 public:
  Parsing(Kind kind, Reader& reader) : kind_(kind), reader_(reader) {}

  void feed(std::string_view bytes) {
    if (in_stream_) return stream(bytes);
    text_ += bytes;
    while (!in_stream_ && take_answer()) {
    }
  }
  /// How many answers have come; whether the last one was cut short.
  std::size_t answers() const { return answers_; }
  bool more() const { return more_; }
  bool closes() const { return closes_; }
  /// The server's close frame has come, or no answer but a refusal.
  bool closed() const { return close_code_ != 0 || refused_; }

 private:
  bool take_answer() {
    const auto end = text_.find("\r\n\r\n");
    if (end == text_.npos) return false;
    const std::string_view head(text_.data(), end);
    const bool ok = head.starts_with(kind_ == Kind::raw || kind_ == Kind::v1 ? "HTTP/1.1 101 " : "HTTP/1.1 200 ");
    refused_ = head.starts_with("HTTP/1.1 408 ");  // a machine under load may be that slow
    if (refused_) return false;
    if (!ok) fail("an answer that was not expected: " + text_);
    if (kind_ != Kind::long_poll && kind_ != Kind::short_poll) {
      in_stream_ = true;
      const auto rest = text_.substr(end + 4);
      text_.clear();
      stream(rest);
      return true;
    }
    const auto length = head.find("\r\nContent-Length: ");
    demand(length != head.npos, "an answer without its length");
    const auto size = std::stoul(std::string(head.substr(length + 18)));
    if (text_.size() - end - 4 < size) return false;
    closes_ = head.find("\r\nConnection: close") != head.npos;
    more_ = reader_.answer(std::string_view(text_).substr(end + 4, size));
    text_.erase(0, end + 4 + size);
    ++answers_;
    return true;
  }

  void stream(std::string_view bytes) {
    if (kind_ == Kind::sse) {
      std::string content;
      chunks_.feed(bytes, content);
      events_.feed(content);
      while (const auto item = events_.next()) {
        if (item->kind == testing::SseItem::Kind::event) reader_.event(item->id, item->event, item->data);
      }
      return;
    }
    frames_.feed(bytes);
    while (const auto frame = frames_.next()) {
      demand(close_code_ == 0, "a frame after the close");
      if (frame->opcode == testing::ws_close) {
        close_code_ = frame->close_code();
        demand(close_code_ == 1000 || close_code_ == 1013 || close_code_ == 4001, "an unexpected close code");
      } else if (frame->opcode < 8 && kind_ == Kind::raw) {
        reader_.raw(frame->payload);
      } else if (frame->opcode < 8) {
        const testing::V1Message message(*frame);
        reader_.event(message.id, message.event, message.data);
      }
    }
  }

  const Kind kind_;
  Reader& reader_;
  std::string text_;
  bool in_stream_ = false;
  bool more_ = false;
  bool closes_ = false;
  bool refused_ = false;
  std::size_t answers_ = 0;
  std::uint16_t close_code_ = 0;
  testing::ChunkDecoder chunks_;
  testing::SseParser events_;
  testing::WebSocketParser frames_;
};

}  // namespace downlink::chaos
