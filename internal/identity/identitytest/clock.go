package identitytest

import (
	"context"
	"slices"
	"time"

	"ekster.dev/ekster/internal/awsapi"
)

// Clocked is a service to which every call comes at the time that now says. Signatures go by
// the real clock, as the SDK's do.
func Clocked(s *awsapi.Service, now func() time.Time) *awsapi.Service {
	out := *s
	out.Operations = slices.Clone(s.Operations)
	for i, op := range out.Operations {
		if op.Handle.Call == nil {
			continue
		}
		out.Operations[i].Handle.Call = func(ctx context.Context, call awsapi.Call, in any) (any, error) {
			call.Time = now()
			return op.Handle.Call(ctx, call, in)
		}
	}
	return &out
}
