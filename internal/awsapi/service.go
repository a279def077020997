package awsapi

import (
	"context"

	"ekster.dev/ekster/internal/awsapi/schema"
)

// Protocols that AWS services speak.
const (
	ProtocolRestJSON = "rest-json"
	ProtocolJSON     = "json"
	ProtocolQuery    = "query"
	ProtocolEC2      = "ec2"
)

// A Service is one AWS API: its model's wire facts, and the operations bound
// to an implementation. gen/<name>.Service makes them.
type Service struct {
	Name         string // Go package and endpoint prefix: eks
	ID           string // serviceId: EKS, Auto Scaling
	SigningName  string // of the credential scope
	Endpoint     string // first label of its host names
	Protocol     string
	JSONVersion  string // json only: 1.0, 1.1
	TargetPrefix string // json only: AmazonSSM
	Version      string // API version: 2017-11-01
	Namespace    string // query and ec2: the responses' XML namespace
	InternalCode string // of errors that are ours; "" = the protocol's
	InvalidCode  string // of input that the model refuses; "" = the protocol's
	// Of a json service that spoke query before: the codes that its errors had then, by those that they
	// have now, where they differ. Its errors say them in a header, and clients match on them. nil: of any other.
	QueryCodes map[string]string
	Operations []Operation
	Shapes     []schema.Shape
}

// An Operation is one row of a service's table. Operations that are not
// served have a nil Handle and are still routed, so that a client learns
// that it is ours, and not its request, that is lacking.
type Operation struct {
	Name          string
	Method        string
	Path          string // URI template, with {label}s
	Input, Output int    // of Service.Shapes
	ResultWrapper string // query only
	Unsigned      bool   // authtype none: no signature asked for
	Handle        Handler
}

// A Handler is an operation of an API implementation with its types
// forgotten. Bind makes one.
type Handler struct {
	New  func() any // a pointer to a zero input
	Call func(ctx context.Context, call Call, in any) (any, error)
}

// Bind forgets the types of one API method.
func Bind[In, Out any](method func(context.Context, Call, *In) (*Out, error)) Handler {
	return Handler{
		New: func() any { return new(In) },
		Call: func(ctx context.Context, call Call, in any) (any, error) {
			out, err := method(ctx, call, in.(*In))
			if err != nil {
				return nil, err
			}
			if out == nil { // a method without anything to say
				out = new(Out)
			}
			return out, nil
		},
	}
}
