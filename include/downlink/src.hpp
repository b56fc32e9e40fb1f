#pragma once

/// \file
/// The library's plain functions, for one source of a program that defines `DOWNLINK_SEPARATE_COMPILATION`; see
/// downlink/config.hpp. That source includes this before all other headers of the library.

#ifndef DOWNLINK_SEPARATE_COMPILATION
#error "downlink/src.hpp is for programs that define DOWNLINK_SEPARATE_COMPILATION for all of their sources"
#endif
#ifdef DOWNLINK_DECL
#error "include downlink/src.hpp before the other headers of downlink"
#endif
#define DOWNLINK_SOURCE

#include <downlink/downlink.hpp>

namespace downlink::detail {

template void Connection::authorize<void>();
template void Connection::answer_fallback<void>();
template void Connection::take_post<void>();
template void Connection::take_message<void>(std::string data, bool binary);

}  // namespace downlink::detail
