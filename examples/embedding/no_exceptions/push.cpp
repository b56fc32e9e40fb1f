// The one source that is compiled with exceptions. The library throws where it is set up wrongly, and at run time only
// reports by error codes; what it is set up with here comes out as a sentence.

#include "push.hpp"

#include <downlink/downlink.hpp>
#include <exception>
#include <optional>
#include <thread>
#include <utility>

struct Push::Parts {
  asio::io_context io;
  downlink::Channel channel;
  downlink::Publisher publisher{channel};
  std::optional<downlink::Server<downlink::Sse, downlink::ShortPolling>> server;
  std::thread loop;
};

Push::Push() : parts_(std::make_unique<Parts>()) {}

Push::~Push() {
  parts_->io.stop();
  if (parts_->loop.joinable()) parts_->loop.join();
}

std::string Push::start(std::uint16_t port) noexcept {
  try {
    parts_->server.emplace(parts_->io, downlink::ServerOptions{.port = port});
    parts_->server->route("/feed", parts_->channel);
    parts_->server->start();
    parts_->loop = std::thread([this] { parts_->io.run(); });
    return {};
  } catch (const std::exception& error) {
    return error.what();
  }
}

std::uint16_t Push::port() const noexcept { return parts_->server ? parts_->server->port() : 0; }

bool Push::publish(std::string text) noexcept {
  return static_cast<bool>(parts_->publisher.publish({.data = std::move(text)}));
}
