// The one source that is compiled with exceptions: the library's plain functions.

#include "without_throwing.hpp"

#include <downlink/src.hpp>
