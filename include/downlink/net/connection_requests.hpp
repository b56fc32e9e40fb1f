#pragma once

#include <downlink/net/connection.hpp>

/// How a connection finds out what serves a request, and answers those that are no streams (WIRE §6, §8).

namespace downlink::detail {

DOWNLINK_DECL void Connection::pump() {
  if (pumping_) return;
  if (awaits_proxy_header_ && !take_proxy_header()) return;
  pumping_ = true;
  const TimePoint end = shard().now() + Shard::slice;
  for (bool first = true; state_ == State::head || state_ == State::body; first = false) {
    if (!first && state_ == State::head && !http_->unread.empty() && Shard::over(end)) return rest();
    auto& parser = http_->parser;
    const std::size_t used = parser.feed(http_->unread);
    http_->unread.erase(0, used);
    if (http_->unread.empty()) wire::detail::clear_and_shrink(http_->unread, 2 * http_->read_buffer.size());
    switch (parser.state()) {
      case wire::RequestParser::State::failed:
        if (state_ == State::head) {
          counters().requests.add();
          take_refused_head();
        }
        refuse(parser.refusal().status, parser.refusal().detail, parser.refusal().close, parser.refusal().headers);
        break;
      case wire::RequestParser::State::head_complete:
        if (state_ == State::head) {
          http_->head = parser.take_head();
          state_ = State::deciding;
          head_came();
        }
        break;
      case wire::RequestParser::State::complete:
        body_came();
        break;
      case wire::RequestParser::State::head:
      case wire::RequestParser::State::body:
        if (used > 0 && !http_->unread.empty()) break;
        pumping_ = false;
        // The first request's clock started with the accept, a later one's starts with its first byte, before which
        // there may be empty lines.
        if (kept_alive_ && state_ == State::head && parser.started()) {
          kept_alive_ = false;
          wait_for(core_->options.head_timeout);
        }
        return;
    }
  }
  pumping_ = false;
}

// Goes on in a later turn with requests that have come already: others have theirs in between.
DOWNLINK_DECL void Connection::rest() {
  later(State::head, [this] {
    pumping_ = false;
    pump();
    await_readable();
  });
}

// What came of a head that is answered without being whole or well-formed: pages may read why, where they name their
// origin behind what was wrong too, and where nothing of it has come yet and every one may.
DOWNLINK_DECL void Connection::take_refused_head() {
  auto& http = *http_;
  http.head = http.parser.take_head();
  // Not whom its lines name: the proxy's own may have been still to come.
  if (trusts_peer()) proxied_->client = proxied_->peer;
  const bool asks = !core_->options.cors.allowed_origins.empty() && http.head.header_count("Origin") == 0;
  if (asks && !reading_ && !is_lent()) {
    shard().read_buffer().with([&](net::mutable_buffer buffer) {
      const auto more = read_some(buffer);
      counters().bytes_received.add(more.bytes);
      http.unread.append(static_cast<const char*>(buffer.data()), more.bytes);
    });
    if (const auto origin = origin_in(http.unread); !origin.empty()) http.head.add_header("Origin", origin);
  }
  http.origin = judge_origin(http.head, core_->options.cors, trusts_peer());
  if (http.origin == OriginVerdict::none && allows_every_origin(core_->options.cors)) {
    http.origin = OriginVerdict::allowed;
  }
}

DOWNLINK_DECL void Connection::head_came() {
  stop_waiting();
  counters().requests.add();
  auto& http = *http_;
  const RequestHead& head = http.head;
  if (trusts_peer()) believe_proxies();
  if (admission_ == Admission::Verdict::turned_away) return close(true);
  const bool over_limit = admission_ != Admission::Verdict::admitted;
  http.close_after = over_limit || !head.keep_alive();
  http.origin = judge_origin(head, core_->options.cors, trusts_peer());
  if (!head.method_known()) return refuse(501, "this method is not known");
  http.found = core_->router.find(head.path());
  if (http.found.malformed) return refuse(400, "the path has a malformed percent-encoding");
  if (http.found.route) {
    const bool takes_posts = static_cast<bool>(http.found.route->inbound);
    // It is answered at once: a body would be taken for the next request.
    if (head.method() == "OPTIONS" && head.has_body()) http.close_after = true;
    if (is_preflight(head)) {
      return respond(204, preflight_headers(core_->options.cors, http.origin), {});
    }
    const std::string_view allowed =
        takes_posts ? "Allow: GET, HEAD, POST, OPTIONS\r\n" : "Allow: GET, HEAD, OPTIONS\r\n";
    if (head.method() == "OPTIONS") return respond(204, allowed, {});
    const bool reads = head.method() == "GET" || head.method() == "HEAD";
    if (!reads && !(head.method() == "POST" && takes_posts)) {
      return refuse(405, "this resource does not take " + std::string(head.method()), false, std::string(allowed));
    }
    if (http.origin == OriginVerdict::refused && (!reads || head.is_websocket_upgrade())) {
      return refuse(403, "pages of this origin may not do this");
    }
    if (head.is_websocket_upgrade() && (head.has_body() || head.method() == "POST")) {
      return refuse(400, "a WebSocket handshake is a GET without a body", true);
    }
  } else if (!core_->calls.fall_back) {
    return refuse(404, "nothing is at this path");
  }
  if (over_limit) return refuse_over_limit("there are too many connections");
  if (core_->calls.authorize && http.found.route) return (this->*core_->calls.authorize)();
  proceed();
}

// The request may be served: on to its body.
DOWNLINK_DECL void Connection::proceed() {
  auto& http = *http_;
  state_ = State::body;
  if (http.head.has_body()) {
    wait_for(core_->options.body_timeout);
    if (http.head.expects_continue() && http.unread.empty()) {
      constexpr std::string_view interim = "HTTP/1.1 100 Continue\r\n\r\n";
      const net::const_buffer buffer(interim.data(), interim.size());
      // Whoever has no room for it sends the body after a while anyway; but half of it would garble what follows.
      const IoResult written = try_write_once(buffer);
      const bool none = written.bytes == 0 && committed() == 0;
      if (written.bytes < interim.size() && !none) return close(true);
      counters().bytes_sent.add(written.bytes);
    }
  }
  if (pumping_) return;  // whoever is at it goes on, and waits for more if need be
  pump();
  await_readable();
}

DOWNLINK_DECL void Connection::body_came() {
  stop_waiting();
  auto& http = *http_;
  state_ = State::handling;
  if (!http.found.route) return (this->*core_->calls.fall_back)();
  const auto channel = http.found.route->channel(http.found.parameters);
  if (!channel) {
    return channel.error() == errc::bad_channel_name ? refuse(400, "the channel's name is not allowed")
                                                     : refuse_over_limit("there are too many channels");
  }
  http.channel = channel.value();
  if (http.head.method() == "POST") return (this->*core_->calls.take_post)();
  read_channel();
}

// The status line and the first lines of an answer, to which further ones are added.
DOWNLINK_DECL std::string& Connection::begin_answer(int status) {
  if (core_->draining.load(std::memory_order_relaxed)) http_->close_after = true;
  std::string& out = http_->outgoing.before;
  out.clear();
  out.reserve(512);
  wire::append_status_line(out, status);
  wire::append_header(out, "Date", shard().http_date());
  if (http_->close_after) {
    wire::append_header(out, "Connection", "close");
  } else if (http_->head.minor_version() == 0) {
    wire::append_header(out, "Connection", "keep-alive");
  }
  return out;
}

// Its last lines, and the empty one.
DOWNLINK_DECL void Connection::end_head() {
  std::string& out = http_->outgoing.before;
  append_cors_headers(out, http_->head, core_->options.cors, http_->origin);
  out += "\r\n";
}

DOWNLINK_DECL void Connection::respond(int status, std::string_view headers, std::string body) {
  std::string& out = begin_answer(status);
  out += headers;
  const bool bodiless = status == 204 || status == 304;  // RFC 9110 §8.6, §15.4.5: without a length too
  if (!bodiless) wire::append_header(out, "Content-Length", std::to_string(body.size()));
  end_head();
  if (!bodiless && http_->head.method() != "HEAD") http_->outgoing.after = std::move(body);
  send_response();
}

DOWNLINK_DECL void Connection::refuse(int status, std::string_view detail, bool close, std::string lines) {
  if (state_ == State::closed) return;  // by the application, when the log told it that a handler had failed
  wire::Refusal refusal{status, std::string(detail), close, std::move(lines)};
  auto& http = *http_;
  stop_waiting();
  state_ = State::handling;  // whom the log tells may run the loop, and with it a read's end
  counters().refused[status].add();
  log(status < 500 ? LogLevel::info : LogLevel::warning, LogEvent::request_refused, detail, status);
  // A body that was not read would be taken for the next request.
  const bool whole = http.parser.state() == wire::RequestParser::State::complete || !http.head.has_body();
  refusal.close = refusal.close || !whole || core_->draining.load(std::memory_order_relaxed);
  http.close_after = http.close_after || refusal.close;
  std::string headers;
  if (!http.close_after && http.head.minor_version() == 0) wire::append_header(headers, "Connection", "keep-alive");
  const bool says_when = refusal.headers.find("Retry-After:") != std::string::npos;
  append_cors_headers(headers, http.head, core_->options.cors, http.origin, says_when ? "ETag, Retry-After" : "ETag");
  wire::append_problem(http.outgoing.before, refusal, shard().http_date(), headers, http.head.method() == "HEAD",
                       !http.close_after);
  send_response();
}

DOWNLINK_DECL void Connection::send_response() {
  if (state_ == State::closed) return;  // by the application, when the log told it of a refusal
  state_ = State::responding;
  flush_response();
}

DOWNLINK_DECL IoResult Connection::write_outgoing() {
  const auto& outgoing = http_->outgoing;
  if (outgoing.before.size() == outgoing.size()) {
    const net::const_buffer buffer(outgoing.before.data() + outgoing.sent, outgoing.before.size() - outgoing.sent);
    return try_write({&buffer, 1});
  }
  std::array<net::const_buffer, 64> room;
  return try_write(outgoing.rest(room));
}

DOWNLINK_DECL void Connection::flush_response() {
  auto& outgoing = http_->outgoing;
  while (outgoing.sent < outgoing.size()) {
    const IoResult written = write_outgoing();
    if (written.state == IoResult::State::would_block) {
      http_->last_taken = shard().update_now();
      http_->untaken = not_known;
      wait_for(core_->options.stream.write_timeout / 8);
      if (!outgoing.pieces.empty()) {
        shard().pin(http_->hold);
        shard().look_at_pinned(ChannelAccess::state(*http_->channel));
      }
      return await_writable();
    }
    if (written.state != IoResult::State::moved) return close(true);
    outgoing.sent += written.bytes;
    counters().bytes_sent.add(written.bytes);
  }
  response_done();
}

// As for a stream, what its system acknowledges tells whether a peer takes bytes before there is room for more.
DOWNLINK_DECL void Connection::wait_for_taker() {
  const auto timeout = core_->options.stream.write_timeout;
  const TimePoint now = shard().update_now();
  if (took_some(http_->untaken)) http_->last_taken = now;
  const auto stuck = std::chrono::duration_cast<std::chrono::milliseconds>(now - http_->last_taken);
  if (stuck < timeout) return wait_for(std::min(timeout - stuck, timeout / 8));
  counters().write_timeouts.add();
  close(true);
}

DOWNLINK_DECL void Connection::response_done() {
  auto& http = *http_;
  stop_waiting();
  http.outgoing.clear();
  http.hold.unlink();
  if (http.close_after) return linger();
  if (is_lent()) {
    std::string unread = std::move(http.unread);
    state_ = State::closed;
    leave_endpoint();
    give_back(std::move(unread));
    return drop_later();
  }
  http.parser.reset(std::move(http.head));
  http.head = {};
  http.origin = OriginVerdict::none;
  http.found = {};
  http.channel.reset();
  state_ = State::head;
  kept_alive_ = true;
  wait_for(core_->options.idle_timeout);
  pump();
  await_readable();
}

}  // namespace downlink::detail
