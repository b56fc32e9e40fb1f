#pragma once

// Catch2 3 and Catch2 2.13 alike.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#define DOWNLINK_CATCH2_VERSION 3
#else
#include <catch2/catch.hpp>
#define DOWNLINK_CATCH2_VERSION 2
#endif
