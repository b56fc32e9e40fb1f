#pragma once

/// Declarations of the types that users meet, for headers that only name them.

namespace downlink {

struct Message;
struct MessageId;
class Channel;
class Publisher;
class Hub;

struct ShortPolling;
struct LongPolling;
struct Sse;
struct WebSocket;

class RequestHead;
class Peer;
struct Inbound;
struct Reply;
struct Decision;
struct HttpRequest;
struct HttpResponse;

class EndpointBase;
template <class... Ts>
class Endpoint;
template <class... Ts>
class Server;

}  // namespace downlink
