#pragma once

/// \file
/// The Asio that the library runs in, under the one name `downlink::net`: standalone Asio, or Boost.Asio with
/// `DOWNLINK_BOOST_ASIO`. Only the headers in use are included, because all of Asio doubles a small program's
/// compile time.

// Before Asio: version 1.22 chooses its allocator by a macro of the standard library's, and every source must choose
// the same.
#include <cstddef>

#ifdef DOWNLINK_BOOST_ASIO
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/system_executor.hpp>
#include <boost/asio/use_awaitable.hpp>
#else
// Asio 1.22 knows only the coroutines of Clang's past. The targets of CMakeLists.txt define the same, so that sources
// which include Asio first agree.
#if defined(__clang__) && !defined(ASIO_HAS_CO_AWAIT) && !defined(ASIO_DISABLE_CO_AWAIT) && \
    __cpp_impl_coroutine >= 201902L
#define ASIO_HAS_CO_AWAIT 1
#define ASIO_HAS_STD_COROUTINE 1
#endif
#include <asio/any_io_executor.hpp>
#include <asio/associated_allocator.hpp>
#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/awaitable.hpp>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/bind_executor.hpp>
#include <asio/buffer.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/dispatch.hpp>
#include <asio/execution_context.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/generic/stream_protocol.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>
#include <asio/system_executor.hpp>
#include <asio/use_awaitable.hpp>
#if !defined(ASIO_HAS_CO_AWAIT)
#error "downlink needs Asio's coroutines: define ASIO_HAS_CO_AWAIT and ASIO_HAS_STD_COROUTINE for every source"
#endif
#endif

namespace downlink {

#ifdef DOWNLINK_BOOST_ASIO
/// Boost.Asio.
namespace net = ::boost::asio;
#else
/// Standalone Asio, or Boost's with `DOWNLINK_BOOST_ASIO`.
namespace net = ::asio;
#endif

}  // namespace downlink
