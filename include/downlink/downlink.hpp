#pragma once

/// \file
/// downlink: pushes data from a server to its clients over short polling, long polling, Server-Sent Events and
/// WebSocket, inside the application's own Asio loop. Everything but the headers with an optional dependency.

#include <downlink/asio.hpp>
#include <downlink/channel/channel.hpp>
#include <downlink/channel/hub.hpp>
#include <downlink/channel/publisher.hpp>
#include <downlink/channel/subscription.hpp>
#include <downlink/error.hpp>
#include <downlink/fwd.hpp>
#include <downlink/net/endpoint.hpp>
#include <downlink/net/server.hpp>
#include <downlink/transport/polling.hpp>
#include <downlink/transport/sse.hpp>
#include <downlink/transport/websocket.hpp>
#include <downlink/version.hpp>
