#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <downlink/channel/hub.hpp>
#include <downlink/misuse.hpp>
#include <downlink/route/authorizer.hpp>
#include <downlink/route/pattern.hpp>
#include <downlink/session/peer.hpp>

namespace downlink {

/// What is particular to one route.
struct RouteOptions {
  /// Where a reader without a cursor starts. By default `latest`: whoever comes for the first time wants what is new,
  /// and is not sent a history that it did not ask for.
  DefaultStart start = DefaultStart::latest;
};

namespace detail {

using InboundHandler = AsyncHandler<Reply, Peer, Inbound>;

/// One pattern, the channel or the hub behind it, and who takes what clients send there.
struct Route {
  Pattern pattern;
  /// The channel of a request, made if need be.
  std::function<Result<Channel>(const RouteParameters&)> channel;
  RouteOptions options;
  InboundHandler inbound;
};

/// The routes of an endpoint, in the order in which they were added: the first that matches serves. Set up before the
/// endpoint serves; after that only read.
class Router {
 public:
  void add(std::string_view pattern, const Channel& channel, RouteOptions options) {
    add(
        pattern, [channel](const RouteParameters&) -> Result<Channel> { return channel; }, options);
  }

  void add(std::string_view pattern, const Hub& hub, RouteOptions options) {
    auto open = [hub, name = only_parameter(pattern)](const RouteParameters& parameters) {
      return hub.open(parameters.get(name).value_or(std::string_view{}));
    };
    add(pattern, std::move(open), options);
  }

  /// The route that was added under exactly this pattern.
  Route& at(std::string_view pattern) {
    for (const auto& route : routes_) {
      if (route->pattern.text() == pattern) return *route;
    }
    throw_invalid_argument("no route \"" + std::string(pattern) + "\": add it before its inbound handler");
  }

  struct Found {
    const Route* route = nullptr;
    RouteParameters parameters = {};
    bool malformed = false;
  };
  Found find(std::string_view path) const {
    Found found;
    for (const auto& route : routes_) {
      switch (route->pattern.match(path, found.parameters)) {
        case PatternMatch::no:
          break;
        case PatternMatch::yes:
          found.route = route.get();
          return found;
        case PatternMatch::malformed:
          found.malformed = true;
          return found;
      }
    }
    return found;
  }

 private:
  void add(std::string_view pattern, std::function<Result<Channel>(const RouteParameters&)> channel,
           RouteOptions options) {
    for (const auto& route : routes_) {
      if (route->pattern.text() == pattern) {
        throw_invalid_argument("the route \"" + std::string(pattern) + "\" was added already");
      }
    }
    routes_.push_back(std::make_unique<Route>(Route{Pattern(pattern), std::move(channel), options, {}}));
  }

  static std::string only_parameter(std::string_view pattern) {
    const auto open = pattern.find('{');
    const auto close = pattern.find('}');
    if (open == std::string_view::npos || pattern.find('{', open + 1) != std::string_view::npos) {
      throw_invalid_argument("a hub's route needs exactly one parameter, such as \"/channels/{name}\", not \"" +
                             std::string(pattern) + "\"");
    }
    return std::string(pattern.substr(open + 1, close - open - 1));
  }

  std::vector<std::unique_ptr<Route>> routes_;
};

}  // namespace detail
}  // namespace downlink
