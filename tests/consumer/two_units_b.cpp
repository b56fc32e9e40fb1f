#include <downlink/downlink.hpp>

const downlink::error_category* category_seen_by_b();

const downlink::error_category* category_seen_by_b() { return &downlink::downlink_category(); }
