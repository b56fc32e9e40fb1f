#pragma once

#include <downlink/net/connection.hpp>

/// How a connection calls the application: its authorizer, its handlers of requests and messages, and its peers. A
/// program that sets no such handler refers to none of this; what would make it compile coroutines and executors all
/// the same are templates.

namespace downlink::detail {

template <class Never>
void Connection::authorize() {
  if (core_->stopped.load()) return close(true);
  core_->authorizer(shard(), http_->head, http_->found.parameters,
                    [self = ConnectionRef(this)](const std::exception_ptr& error, Decision decision) {
                      if (self->state_ != State::deciding) return;
                      self->guarded([&] { self->decided(error, std::move(decision)); });
                    });
}

DOWNLINK_DECL void Connection::decided(const std::exception_ptr& error, Decision decision) {
  if (error) {
    handler_failed(error);
    return refuse(500, "the authorizer failed");
  }
  if (decision.kind == Decision::Kind::allowed && decision.expires_after.value_or(longest_wait).count() <= 0) {
    decision = unauthorized();
  }
  switch (decision.kind) {
    case Decision::Kind::allowed:
      break;
    case Decision::Kind::forbidden:
      return refuse(403, "this is not allowed");
    case Decision::Kind::unauthorized: {
      if (decision.challenge.empty()) decision.challenge = unauthorized().challenge;  // there has to be one
      std::string headers;
      wire::append_header(headers, "WWW-Authenticate", decision.challenge);
      return refuse(401, "this needs authorization", false, std::move(headers));
    }
  }
  http_->decision = std::move(decision);
  proceed();
}

template <class Never>
void Connection::answer_fallback() {
  if (core_->stopped.load()) return close(true);
  core_->fallback(shard(), HttpRequest{http_->head, std::move(http_->parser.body())},
                  [self = ConnectionRef(this)](const std::exception_ptr& error, HttpResponse response) {
                    if (self->state_ != State::handling) return;
                    self->guarded([&] { self->fallback_answered(error, std::move(response)); });
                  });
}

DOWNLINK_DECL void Connection::fallback_answered(const std::exception_ptr& error, HttpResponse response) {
  if (error) {
    handler_failed(error);
    return refuse(500, "the handler failed");
  }
  if (response.status >= 400) counters().refused[response.status].add();
  std::string headers;
  wire::append_header(headers, "Content-Type", response.content_type);
  for (const auto& [name, value] : response.headers) {
    wire::append_header(headers, name, value);
    // Whoever judges origins by himself is not contradicted.
    if (wire::iequals(name, "Access-Control-Allow-Origin")) http_->origin = OriginVerdict::none;
  }
  if (is_preflight(http_->head) && response.status / 100 == 2) {
    headers += preflight_headers(core_->options.cors, http_->origin);
  }
  respond(response.status, headers, std::move(response.body));
}

template <class Never>
void Connection::take_post() {
  auto& http = *http_;
  const auto wait = count_inbound_post(http.parser.body().size());
  if (wait.count() > 0) {
    std::string headers;
    wire::append_header(headers, "Retry-After", std::to_string(std::chrono::ceil<std::chrono::seconds>(wait).count()));
    return refuse(429, "too many messages or bytes a second", false, std::move(headers));
  }
  const auto type = http.head.header("Content-Type").value_or(std::string_view{});
  const auto media = wire::trim(type.substr(0, type.find(';')));
  Inbound inbound{std::move(http.parser.body()), wire::iequals(media, "application/octet-stream"),
                  std::string(http.head.query()), true};
  if (!inbound.binary && !wire::is_utf8(inbound.data)) return refuse(400, "the text is not UTF-8");
  if (core_->stopped.load()) return close(true);
  counters().messages_received.add();
  make_peer(TransportKind::short_polling, false);
  http.found.route->inbound(shard(), Peer(peer_), std::move(inbound),
                            [self = ConnectionRef(this)](const std::exception_ptr& error, const Reply& reply) {
                              if (self->state_ != State::handling) return;
                              self->guarded([&] { self->post_taken(error, reply); });
                            });
}

DOWNLINK_DECL void Connection::post_taken(const std::exception_ptr& error, const Reply& reply) {
  cut_peer();
  peer_.reset();
  if (error) {
    handler_failed(error);
    return refuse(500, "the handler failed");
  }
  if (reply.refusal_status != 0) return refuse(reply.refusal_status, reply.detail);
  std::string headers;
  if (!reply.message) return respond(202, headers, {});
  wire::append_header(headers, "Content-Type",
                      reply.message->binary ? std::string_view("application/octet-stream") : reply.content_type);
  respond(202, headers, reply.message->data);
}

DOWNLINK_DECL void Connection::handler_failed(const std::exception_ptr& error) {
  counters().handler_failures.add();
  if (!core_->logs()) return;
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& thrown) {
    log(LogLevel::error, LogEvent::handler_failed, thrown.what());
  } catch (...) {
    log(LogLevel::error, LogEvent::handler_failed, "something that is no std::exception");
  }
}

DOWNLINK_DECL void Connection::log(LogLevel level, LogEvent event, std::string_view text, int status,
                                   std::optional<EndReason> reason) {
  if (!core_->logs() || silent_) return;
  thrown_by([&] {  // there may be no memory, and whoever closes goes on
    LogEntry entry{level, event, std::string(text), client_address(), {}, status, reason, {}};
    if (http_) entry.path = http_->head.path();
    if (!http_ && peer_) entry.path = peer_->identity.path;
    core_->log(entry);
  });
}

// Peers cost memory: they are made where somebody can get to see them.
DOWNLINK_DECL void Connection::make_peer(TransportKind kind, bool takes_replies) {
  auto& http = *http_;
  if (takes_replies && !http.found.route->inbound && !core_->on_subscribe && !core_->on_unsubscribe) return;
  Identity identity;
  identity.subject = http.decision.subject;
  identity.attributes = http.decision.attributes;
  identity.path = http.head.path();
  for (const auto& [name, value] : http.found.parameters) identity.parameters.emplace_back(name, value);
  identity.remote_address = client_address();
  identity.transport = kind;
  peer_ = std::make_shared<PeerState>(std::move(identity), core_->options.stream.max_peer_queue);
  peer_->link = this;
  peer_->takes_replies = takes_replies;
}

DOWNLINK_DECL void Connection::cut_peer() {
  if (!peer_) return;
  const std::lock_guard guard(peer_->mutex);
  peer_->link = nullptr;
}

template <class Never>
void Connection::take_message(std::string data, bool binary) {
  if (!route_->inbound) return session_->end({EndReason::refused, "this channel takes no messages"});
  if (core_->stopped.load()) return close(true);
  if (count_inbound_message().count() > 0) return session_->end({EndReason::refused, "too many messages a second"});
  counters().messages_received.add();
  in_handler_ = true;
  route_->inbound(shard(), Peer(peer_), Inbound{std::move(data), binary, {}, false},
                  [self = ConnectionRef(this)](const std::exception_ptr& error, const Reply& reply) {
                    self->guarded([&] { self->message_taken(error, reply); });
                  });
  if (in_handler_) session_->pause();
}

DOWNLINK_DECL void Connection::message_taken(const std::exception_ptr& error, const Reply& reply) {
  in_handler_ = false;
  if (state_ != State::streaming) return;
  if (error) {
    handler_failed(error);
    session_->end({EndReason::internal_error, "a handler failed"});
  } else if (reply.refusal_status != 0) {
    session_->end({EndReason::refused, reply.detail});
  } else if (const auto& message = reply.message) {
    if (const auto bad = check_message(*message)) {
      counters().handler_failures.add();
      log(LogLevel::error, LogEvent::handler_failed, "the reply can't be sent: " + bad.message());
      session_->end({EndReason::internal_error, "a handler failed"});
    } else {
      const std::string_view event = message->event == "message" ? std::string_view{} : message->event;
      session_->reply({{}, event, message->data, message->binary});
    }
  }
  session_->unpause();
  await_readable();
}

DOWNLINK_DECL void Connection::send_to_peer(Message message, std::shared_ptr<PeerState> state) {
  shard().post([self = ConnectionRef(this), message = std::move(message), state = std::move(state)] {
    state->waiting.fetch_sub(PeerState::cost(message));
    if (self->state_ != State::streaming) return;
    self->guarded([&] {
      if (!self->session_->reply({{}, message.event, message.data, message.binary})) self->cut_peer();
    });
  });
}

DOWNLINK_DECL void Connection::close_peer(bool too_slow) {
  shard().post([self = ConnectionRef(this), too_slow] {
    if (self->state_ == State::lingering) return;  // it has been said to it that this is the end
    if (self->state_ != State::streaming) return self->close(true);
    self->guarded([&] {
      self->session_->end(too_slow ? Ending{EndReason::too_slow, "replies are not taken"}
                                   : Ending{EndReason::refused, "closed by the server"});
    });
  });
}

}  // namespace downlink::detail
