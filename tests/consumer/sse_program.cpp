// What compile_time.sh measures: a program of one SSE server.
#include <downlink/downlink.hpp>

int main() {}
