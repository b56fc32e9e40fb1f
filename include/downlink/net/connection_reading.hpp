#pragma once

#include <downlink/net/connection.hpp>
#include <downlink/wire/websocket_handshake.hpp>

/// How a connection reads a channel: polls (WIRE §3), streams (§4) and WebSocket (§5).

namespace downlink::detail {

/// Messages of a poll's answer that are copied into one piece with its head.
inline constexpr std::size_t most_joined = std::size_t{16} << 10;

DOWNLINK_DECL void Connection::read_channel() {
  auto& http = *http_;
  const auto& core = *core_;
  wire::detail::clear_and_shrink(http.parser.body());  // nobody reads it, and the answer may take long
  const Negotiated chosen = negotiated();
  if (chosen.index < 0) {
    if (chosen.status == 500) return refuse(500, "the transport failed");
    if (chosen.status != 426) return refuse(406, "no transport offered here serves this request");
    return refuse(426, "of what is offered here only WebSocket serves this request", false,
                  "Connection: Upgrade\r\nUpgrade: websocket\r\n");
  }
  const auto& [ops, serve] = core.transports[static_cast<std::size_t>(chosen.index)];
  kind_ = ops->kind;
  http.wait = chosen.wait;
  http.start = requested_start(http.head, ops->response_end != ResponseEnd::never);
  if (http.start.kind == StartRequest::Kind::invalid) {
    return refuse(400, "the cursor or the history is malformed");
  }
  (this->*serve)(*ops);
}

DOWNLINK_DECL void Connection::poll(const TransportOps& transport) {
  auto& http = *http_;
  const auto& options = core_->options;
  const auto& state = ChannelAccess::state(*http.channel);
  std::chrono::milliseconds wait{0};
  http.applied_wait.clear();
  if (transport.response_end == ResponseEnd::with_first_messages) {
    wait = http.wait.count() > 0 ? http.wait : requested_wait(http.head).value_or(options.default_wait);
    wait = std::min(wait, options.max_wait);
    // What comes after the authorization has expired is not this client's to read.
    if (http.decision.expires_after) wait = std::min(wait, *http.decision.expires_after);
    if (has_wait_preference(http.head)) {
      http.applied_wait = std::to_string(std::chrono::duration_cast<std::chrono::seconds>(wait).count());
    }
  }
  const auto start = http.found.route->options.start;
  if (wait.count() > 0 && http.head.method() == "GET" && !core_->draining.load()) {
    state_ = State::held;
    subscriber_came();
    const auto answer = [](void* self, Sendable& sendable, bool gap) {
      auto& connection = *static_cast<Connection*>(self);
      connection.guarded([&] { connection.answer_held(sendable, gap); });
    };
    http.held.emplace(this, answer, shard());
    if (http.held->start(shard().feed(state), http.start, start, wait)) return;
    http.held.reset();
    state_ = State::handling;
    subscriber_left();
    return refuse_over_limit("the channel has too many subscribers");
  }
  if (http.start.kind == StartRequest::Kind::cursor) counters().resumes.add();
  StartPoint begin = state->start(http.start, start);
  Range range;
  state->read(&form_ops<PollElement>, begin.next, poll_limits, range);
  while (range.lost) {
    begin = {state->resume_earliest(), true};
    state->read(&form_ops<PollElement>, begin.next, poll_limits, range);
  }
  answer_poll(range, begin.gap);
}

// Whoever waited at the same place is answered with the same bytes, but for what its own request asks for.
DOWNLINK_DECL void Connection::answer_held(Sendable& sendable, bool gap) {
  auto& http = *http_;
  const bool usual = !gap && sendable.range.messages > 0 && sendable.range.bytes <= most_joined && !http.close_after &&
                     !core_->draining.load(std::memory_order_relaxed) && http.head.minor_version() > 0 &&
                     http.applied_wait.empty() && http.origin == OriginVerdict::none;
  const std::string& date = shard().http_date();
  if (usual && !sendable.answer.empty() && sendable.date == date) {
    subscriber_left();
    counters().served[kind_].add();
    counters().messages_sent.add(sendable.range.messages);
    http.outgoing.before = sendable.answer;
    return send_response();
  }
  if (usual) sendable.date = date;
  answer_poll(sendable.range, gap, usual ? &sendable.answer : nullptr);
}

DOWNLINK_DECL void Connection::answer_poll(const Range& range, bool gap, std::string* answer) {
  auto& http = *http_;
  auto& state = *ChannelAccess::state(*http.channel);
  subscriber_left();
  counters().served[kind_].add();
  if (gap) {
    counters().gaps.add();
    state.counts.gaps.fetch_add(1, std::memory_order_relaxed);
  }
  const bool nothing_new = range.pieces.empty() && !gap;
  // With nothing new the cursor stays what it was, although messages may have been passed over.
  const std::string cursor = nothing_new && http.start.kind == StartRequest::Kind::cursor
                                 ? http.start.cursor
                                 : state.cursor_before(range.next).to_string();
  const bool unchanged = nothing_new && if_none_match_id(http.head) == cursor;
  std::string& out = begin_answer(unchanged ? 304 : 200);
  out.append("ETag: \"").append(cursor).append("\"\r\nCache-Control: no-cache, no-store\r\n");
  if (!http.applied_wait.empty()) {
    out += "Vary: Prefer\r\n";
    wire::append_header(out, "Preference-Applied", "wait=" + http.applied_wait);
  }
  if (unchanged) {
    end_head();
    return send_response();
  }

  constexpr std::string_view begin = "{\"cursor\":\"";
  const std::string_view notes = gap && range.more ? "\"gap\":true,\"more\":true,"
                                 : gap             ? "\"gap\":true,"
                                 : range.more      ? "\"more\":true,"
                                                   : "";
  constexpr std::string_view messages = "\"messages\":[";
  constexpr std::string_view end = "]}";
  // The comma before the first element is left out.
  const std::size_t elements = range.bytes > 0 ? range.bytes - 1 : 0;
  out += "Content-Type: application/json\r\n";
  wire::append_header(
      out, "Content-Length",
      std::to_string(begin.size() + cursor.size() + 2 + notes.size() + messages.size() + elements + end.size()));
  end_head();
  if (http.head.method() != "HEAD") {
    counters().messages_sent.add(range.messages);
    out.append(begin).append(cursor).append("\",").append(notes).append(messages);
    auto& outgoing = http.outgoing;
    outgoing.pieces = range.pieces;
    if (!outgoing.pieces.empty()) ++outgoing.pieces.front().begin;
    outgoing.after = end;
    // Little is sent in one piece, which costs less than several.
    if (range.bytes <= most_joined) outgoing.join();
    if (answer) *answer = out;
  }
  send_response();
}

DOWNLINK_DECL void Connection::open_stream(const TransportOps& transport) {
  auto& http = *http_;
  const bool drains = core_->draining.load(std::memory_order_relaxed);
  const StreamOps& ops = transport.stream(http.head);
  std::string headers;
  wire::append_header(headers, "Content-Type", transport.content_type);
  headers += transport.headers;
  const bool keeps = !http.close_after && ops.chunked && !drains;
  // A stream says keep-alive to HTTP/1.1 whatever was asked for (WIRE §4); an answer to HEAD is over at once.
  const bool says_keeps = http.head.method() == "HEAD" ? keeps : ops.chunked;
  headers += says_keeps ? "Connection: keep-alive\r\n" : "Connection: close\r\n";
  if (ops.chunked) headers += "Transfer-Encoding: chunked\r\n";
  std::string head;
  wire::append_status_line(head, 200);
  wire::append_header(head, "Date", shard().http_date());
  head += headers;
  append_cors_headers(head, http.head, core_->options.cors, http.origin);
  head += "\r\n";
  if (http.head.method() == "HEAD") {
    http.close_after = !keeps;
    http.outgoing.before = std::move(head);
    return send_response();
  }
  if (core_->calls.make_peer) (this->*core_->calls.make_peer)(transport.kind, true);
  start_stream(std::move(head), std::make_unique<StreamSession>(*this, ops));
}

DOWNLINK_DECL void Connection::open_websocket(const TransportOps& transport) {
  auto& http = *http_;
  const RequestHead& request = http.head;
  if (request.method() != "GET") return refuse(400, "a WebSocket handshake is a GET", true);
  if (request.header_list("Sec-WebSocket-Version") != "13") {
    return refuse(426, "the WebSocket version is 13", true,
                  "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
  }
  const auto key = request.header("Sec-WebSocket-Key").value_or(std::string_view{});
  if (request.header_count("Sec-WebSocket-Key") != 1 || !wire::valid_websocket_key(key)) {
    return refuse(400, "Sec-WebSocket-Key is not the base64 form of 16 bytes", true);
  }
  const StreamOps& plain = transport.stream(request);
  std::string extensions;
  const StreamOps& ops = core_->calls.deflate ? core_->calls.deflate(request, plain, extensions) : plain;
  std::string head;
  wire::append_status_line(head, 101);
  wire::append_header(head, "Date", shard().http_date());
  head += "Upgrade: websocket\r\nConnection: Upgrade\r\n";
  wire::append_header(head, "Sec-WebSocket-Accept", wire::websocket_accept(key));
  if (ops.tells_gaps) wire::append_header(head, "Sec-WebSocket-Protocol", WebSocket::subprotocol);
  head += extensions;
  append_cors_headers(head, request, core_->options.cors, http.origin);
  head += "\r\n";
  if (core_->calls.make_peer) (this->*core_->calls.make_peer)(TransportKind::websocket, true);
  start_stream(std::move(head), std::make_unique<WebSocketSession>(*this, ops));
}

DOWNLINK_DECL void Connection::message_came(std::string data, bool binary) {
  if (core_->calls.take_message) return (this->*core_->calls.take_message)(std::move(data), binary);
  session_->end({EndReason::refused, "no messages are taken"});
}

DOWNLINK_DECL void Connection::start_stream(std::string head, std::unique_ptr<StreamSession> session) {
  auto& request = *http_;
  const Route& route = *request.found.route;
  const auto begin =
      session->join(shard().feed(ChannelAccess::state(*request.channel)), request.start, route.options.start);
  if (!begin) {
    cut_peer();
    peer_.reset();
    return refuse_over_limit("the channel has too many subscribers");
  }
  state_ = State::streaming;
  opening_ = true;
  session_ = std::move(session);
  route_ = &route;
  timeout_.reset();
  if (request.decision.expires_after) wait_for(*request.decision.expires_after);
  counters().served[kind_].add();
  if (request.start.kind == StartRequest::Kind::cursor) counters().resumes.add();
  subscriber_came();
  session_->open(std::move(head), *begin, request.start);
  if (state_ == State::streaming) stream_opened();
  opening_ = false;
  // The request and its parser are not needed any more, but where a read into its buffer is under way.
  std::string unread = std::move(request.unread);
  const auto http = reading_ ? nullptr : std::move(http_);
  if (!unread.empty() && state_ == State::streaming) received(unread);
  if (std::exchange(input_over_, false) && state_ == State::streaming) input_ended();
}

DOWNLINK_DECL void Connection::stream_opened() {
  subscribed_ = true;
  if (core_->on_subscribe && peer_ && !core_->stopped.load()) {
    try {
      core_->on_subscribe(Peer(peer_));
    } catch (...) {
      handler_failed(std::current_exception());
      session_->end({EndReason::internal_error, "a handler failed"});
    }
  }
  if (core_->draining.load(std::memory_order_relaxed)) drain({});
}

DOWNLINK_DECL void Connection::left(EndReason reason) {
  if (!std::exchange(subscribed_, false)) return;
  cut_peer();
  if (!core_->on_unsubscribe || !peer_ || silent_ || core_->stopped.load()) return;
  try {
    core_->on_unsubscribe(Peer(peer_), reason);
  } catch (...) {
    handler_failed(std::current_exception());  // the session is over already; there is nothing left to end
  }
}

DOWNLINK_DECL void Connection::subscriber_came() {
  counted_ = true;
  counters().subscribers[kind_].add();
}

DOWNLINK_DECL bool Connection::subscriber_left() {
  if (!std::exchange(counted_, false)) return false;
  counters().subscribers[kind_].take();
  return true;
}

DOWNLINK_DECL void Connection::session_ends(const Ending& ending) {
  if (!subscriber_left()) return;
  counters().ended[ending.reason].add();
  switch (ending.reason) {
    case EndReason::too_slow:
      return log(LogLevel::warning, LogEvent::stream_dropped, ending.text, 0, ending.reason);
    case EndReason::timed_out:
      return log(LogLevel::warning, LogEvent::stream_dropped, "nothing was taken or heard in time", 0, ending.reason);
    case EndReason::protocol_error:
    case EndReason::not_utf8:
    case EndReason::too_big:
      return log(LogLevel::info, LogEvent::protocol_error, ending.text, 0, ending.reason);
    default:
      return;
  }
}

DOWNLINK_DECL void Connection::session_done(EndReason reason) {
  left(reason);
  if (state_ == State::streaming) linger();
}

DOWNLINK_DECL void Connection::session_broken(EndReason reason) {
  left(reason);
  close(true);
}

}  // namespace downlink::detail
