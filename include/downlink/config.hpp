#pragma once

/// \file
/// Where the plain functions at the library's edges are defined. By default they are inline in every source that
/// includes them. Where `DOWNLINK_SEPARATE_COMPILATION` is defined for all of a program's sources, they are defined in
/// the one that includes `downlink/src.hpp`, and the others compile in a third of the time. The target
/// `downlink::compiled` does both.

#if !defined(DOWNLINK_SEPARATE_COMPILATION)
#define DOWNLINK_DECL inline
#define DOWNLINK_DEFINITIONS 1
#elif defined(DOWNLINK_SOURCE)
#define DOWNLINK_DECL
#define DOWNLINK_DEFINITIONS 1
#else
#define DOWNLINK_DECL
#define DOWNLINK_DEFINITIONS 0
#endif
