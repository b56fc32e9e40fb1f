#pragma once

// What the README's shorter pieces of code take for granted.

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/this_coro.hpp>
#include <chrono>
#include <downlink/downlink.hpp>
#include <iostream>
#include <string>
#include <thread>

[[maybe_unused]] static asio::io_context io;
[[maybe_unused]] static downlink::Channel channel;
[[maybe_unused]] static const downlink::Publisher publisher{channel};
[[maybe_unused]] static downlink::Server<downlink::WebSocket, downlink::Sse> server{io};
[[maybe_unused]] static downlink::RequestHead head;
[[maybe_unused]] static asio::ip::tcp::socket socket{io};
[[maybe_unused]] static std::string unread;
