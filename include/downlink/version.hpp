#pragma once

/// \file
/// The library's version (semver.org), readable by the preprocessor and by CMakeLists.txt.

/// Goes up with a change that programs or clients have to follow. While it is 0, the minor version does.
#define DOWNLINK_VERSION_MAJOR 0
/// Goes up with what is new.
#define DOWNLINK_VERSION_MINOR 1
/// Goes up with what is mended.
#define DOWNLINK_VERSION_PATCH 0
