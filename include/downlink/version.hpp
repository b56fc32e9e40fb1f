#pragma once

/// The library's version, readable by the preprocessor and by CMakeLists.txt.
#define DOWNLINK_VERSION_MAJOR 0
#define DOWNLINK_VERSION_MINOR 1
#define DOWNLINK_VERSION_PATCH 0
