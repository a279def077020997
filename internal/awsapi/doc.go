// Package awsapi is the front door: it turns HTTP requests into calls of the
// interfaces in gen and their results into HTTP responses, for every AWS
// service alike.
//
// One request, in order (see Server.ServeHTTP):
//
//	accept      listener   HTTP or TLS by the first byte, one port
//	service     route      by credential scope; unsigned: by target, action, host or path
//	operation   route      by protocol: path, Action=, X-Amz-Target
//	caller      auth       SigV4, header or presigned; Keys names the principal
//	input       wire       decoded by package wire, checked by package schema
//	permission  Authorize  injected
//	handle      gen        the API implementation
//	answer      wire       output or error, in the service's protocol
//
// It names no service: what it knows of one is a Service value from gen. It
// evaluates no policies, keeps no keys and retries nothing.
package awsapi
