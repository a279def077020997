package awsapi

import "fmt"

// Whose fault an error was, as the query protocol's Type element says it.
const (
	FaultSender   = "Sender"
	FaultReceiver = "Receiver"
)

// An Error is an AWS error that the service model does not name: all of
// EC2's, and those that every service shares. Modelled errors are the types
// in gen.
type Error struct {
	Code    string // as the client reads it: InvalidVpcID.NotFound
	Status  int    // HTTP
	Message string // AWS's wording; shown to the caller
	Fault   string // FaultSender or FaultReceiver
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// ErrorCode is the code that clients see.
func (e *Error) ErrorCode() string { return e.Code }

// HTTPStatus is the status of the response.
func (e *Error) HTTPStatus() int { return e.Status }

// ErrorMessage is the text for the caller.
func (e *Error) ErrorMessage() string { return e.Message }

// Errorf makes an Error; the fault follows from the status.
func Errorf(code string, status int, format string, args ...any) *Error {
	fault := FaultSender
	if status >= 500 {
		fault = FaultReceiver
	}
	return &Error{Code: code, Status: status, Message: fmt.Sprintf(format, args...), Fault: fault}
}

// A ModelledError is an error that a caller may see: of a service's model, a
// struct in gen whose members the protocol encodes, or an *Error.
type ModelledError interface {
	error
	ErrorCode() string // error.code of the model, else the shape's name
	HTTPStatus() int
	ErrorMessage() string
}

// NotServed is what gen's Unimplemented answers: the operation is AWS's, but
// is not built. See docs/decisions/0002-unserved-operations.md.
func NotServed(service, operation string) *Error {
	return Errorf(codeNotServed, 501, "The operation %s of %s is not supported yet.", operation, service)
}

const codeNotServed = "NotImplemented"
