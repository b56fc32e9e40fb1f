#pragma once

#include <string>
#include <string_view>

#include <downlink/wire/message_view.hpp>

namespace downlink {

/// A wire form: how one message becomes the bytes that every subscriber of that form is sent. A form is a type with
/// `static void encode(std::string& out, const MessageView&)`, which appends the whole message and depends on nothing
/// else: encodings are made once and shared. A message that it appends nothing for, or 4 GiB or more, is passed over in
/// this form.
template <class F>
concept WireForm = requires(std::string& out, const MessageView& message) {
  F::encode(out, message);
};

namespace detail {

struct FormOps {
  void (*encode)(std::string& out, const MessageView& message);
};

/// Names a wire form at run time: the address of its operations.
using Form = const FormOps*;

template <WireForm F>
inline constexpr FormOps form_ops{&F::encode};

}  // namespace detail
}  // namespace downlink
