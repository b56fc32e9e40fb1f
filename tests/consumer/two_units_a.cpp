// Linked with two_units_b.cpp, which includes the same: nothing may be defined twice, and statics are shared.
#include <downlink/downlink.hpp>

const downlink::error_category* category_seen_by_b();

int main() { return category_seen_by_b() == &downlink::downlink_category() ? 0 : 1; }
