// The program that every way of consuming the library builds and runs.
#include <downlink/error.hpp>

int main() {
  const downlink::error_code error = downlink::errc::channel_closed;
  return error.category() == downlink::downlink_category() ? 0 : 1;
}
