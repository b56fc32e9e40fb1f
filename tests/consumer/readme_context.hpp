#pragma once

// What the README's shorter pieces of code take for granted.

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/this_coro.hpp>
#include <chrono>
#include <downlink/downlink.hpp>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#ifdef README_DEFLATE
#include <downlink/deflate.hpp>
#endif
#ifdef README_IO_URING
#include <downlink/io_uring.hpp>
#endif
#ifdef README_TLS
#include <downlink/tls.hpp>
#endif

// Each piece is the body of a function with these parameters, which it may shadow or leave alone.
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#define README_PARAMETERS                                                                             \
  asio::io_context &io, downlink::Channel channel, downlink::Publisher publisher,                     \
      downlink::Server<downlink::WebSocket, downlink::Sse>&server, const downlink::RequestHead &head, \
      asio::ip::tcp::socket client, std::string unread, std::shared_ptr<downlink::Engine> engine
